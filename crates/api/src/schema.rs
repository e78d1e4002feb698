//! Schemas that the derive cannot express.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object whose fields the API server keeps as they are. Used where the full schema (a pod template) would make the
/// definition larger than `kubectl apply` can carry; the operator checks the content and says what is wrong.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Conditions, merged by type so that several field managers can each own theirs.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "maxLength": 316 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "maxLength": 32768 }
            }
        }
    })
}

/// A map from a resource's name (`cpu`, `memory`, `nvidia.com/gpu`) to a Kubernetes quantity.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true }
    })
}

/// As [`quantities`], checked: a person writes these.
pub(crate) fn amounts(_: &mut SchemaGenerator) -> Schema {
    let amount = quantity("0", "must be a quantity of at least 0, such as 4, 500m or 16Gi");
    json_schema!({ "type": "object", "maxProperties": 32, "additionalProperties": amount })
}

/// Memory of a GPU. Nodes tell it in MiB, and 40 means 40 bytes: who writes that means more.
pub(crate) fn gpu_memory(_: &mut SchemaGenerator) -> Schema {
    quantity("1Mi", "must be a quantity of at least 1Mi, such as 40Gi")
}

fn quantity(least: &str, message: &str) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('{least}'))"),
            "message": message
        }]
    })
}

/// What a container requests and may use at most.
pub(crate) fn resource_requirements(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": { "requests": amounts(generator), "limits": amounts(generator) }
    })
}

/// Taints that a pod tolerates.
pub(crate) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "properties": {
                "key": { "type": "string", "maxLength": 316 },
                "operator": { "type": "string", "enum": ["Exists", "Equal"] },
                "value": { "type": "string", "maxLength": 63 },
                "effect": { "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"] },
                "tolerationSeconds": { "type": "integer", "format": "int64", "minimum": 0 }
            }
        }
    })
}

/// A label selector with the bounds and the rules that the Kubernetes type leaves to the code that uses it.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": {
                "description": "The label has this value.",
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": { "type": "string", "maxLength": 63 }
            },
            "matchExpressions": {
                "description": "All of these hold.",
                "type": "array",
                "maxItems": 32,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "description": "The label's key.", "type": "string", "minLength": 1, "maxLength": 316 },
                        "operator": {
                            "description": "How its value is compared.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"]
                        },
                        "values": {
                            "description": "The values, for In and NotIn.",
                            "type": "array",
                            "maxItems": 64,
                            "items": { "type": "string", "maxLength": 63 }
                        }
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn need values; Exists and DoesNotExist take none"
                    }]
                }
            }
        }
    })
}

/// A map from a resource's name to a price, a decimal number.
pub(crate) fn prices(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 32 }
    })
}
