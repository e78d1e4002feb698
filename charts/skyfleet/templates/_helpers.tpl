{{- define "skyfleet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* 50 characters leave room for the longest suffix of a derived name. */ -}}
{{- define "skyfleet.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "skyfleet.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "skyfleet.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "skyfleet.selectorLabels" -}}
{{ include "skyfleet.releaseLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "skyfleet.labels" -}}
{{ include "skyfleet.selectorLabels" . }}
{{ include "skyfleet.chartLabels" . }}
{{- end }}

{{- define "skyfleet.gatewaySelectorLabels" -}}
{{ include "skyfleet.releaseLabels" . }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "skyfleet.gatewayLabels" -}}
{{ include "skyfleet.gatewaySelectorLabels" . }}
{{ include "skyfleet.chartLabels" . }}
{{- end }}

{{- define "skyfleet.releaseLabels" -}}
app.kubernetes.io/name: {{ include "skyfleet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "skyfleet.chartLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: skyfleet
{{- end }}

{{- define "skyfleet.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "skyfleet.serviceAccountName" -}}
{{- default (ternary (include "skyfleet.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}
