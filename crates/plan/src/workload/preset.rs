//! What is known of the common inference servers: their image, port, arguments and the path that says they are ready.
//!
//! From their own documentation: vLLM `vllm serve` (port 8000, `/health`), Text Embeddings Inference `text-embeddings-router`
//! (`/health`), Triton `tritonserver` (port 8000, KServe v2 `/v2/health/ready`), llama.cpp `llama-server` (`/health`, 503
//! while the model loads; `/metrics` with `--metrics`).

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use skyfleet_api::model_deployment::{Model, Preset, Runtime, RuntimeMetrics};

/// The image the container runs. The API server has checked that a custom one is named.
pub(super) fn image(runtime: &Runtime) -> String {
    runtime.image.clone().unwrap_or_else(|| {
        match runtime.preset {
            Preset::Custom => "",
            Preset::Vllm => "vllm/vllm-openai:v0.10.2",
            Preset::Tei => "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8",
            Preset::Triton => "nvcr.io/nvidia/tritonserver:25.08-py3",
            Preset::LlamaCpp => "ghcr.io/ggml-org/llama.cpp:server",
        }
        .to_owned()
    })
}

/// The port the container listens on.
pub(super) fn port(runtime: &Runtime) -> i32 {
    runtime.port.unwrap_or(match runtime.preset {
        Preset::Vllm | Preset::Triton => 8000,
        Preset::Custom | Preset::Tei | Preset::LlamaCpp => 8080,
    })
}

/// The preset's command, where the image has none that serves.
pub(super) fn command(runtime: &Runtime) -> Option<Vec<String>> {
    (runtime.preset == Preset::Triton).then(|| vec!["tritonserver".to_owned()])
}

/// The preset's arguments, then the user's.
pub(super) fn args(model: &Model, runtime: &Runtime) -> Vec<String> {
    let (path, name, port) = (&model.mount_path, &model.name, port(runtime));
    let preset = match runtime.preset {
        Preset::Custom => vec![],
        Preset::Vllm => {
            vec![format!("--model={path}"), format!("--served-model-name={name}"), format!("--port={port}")]
        }
        Preset::Tei => vec![format!("--model-id={path}"), format!("--port={port}")],
        Preset::Triton => vec![format!("--model-repository={path}"), format!("--http-port={port}")],
        Preset::LlamaCpp => vec![
            format!("--model={path}/model.gguf"),
            format!("--alias={name}"),
            "--host=0.0.0.0".to_owned(),
            format!("--port={port}"),
            "--metrics".to_owned(),
        ],
    };
    preset.into_iter().chain(runtime.args.iter().cloned()).collect()
}

/// The probe of readiness where the user gives none; a custom server has only its port to be known by.
pub(super) fn readiness(runtime: &Runtime) -> Probe {
    let port = IntOrString::Int(port(runtime));
    let path = match runtime.preset {
        Preset::Custom => {
            let tcp_socket = Some(k8s_openapi::api::core::v1::TCPSocketAction { port, host: None });
            return Probe { tcp_socket, period_seconds: Some(5), ..Probe::default() };
        }
        Preset::Triton => "/v2/health/ready",
        Preset::Vllm | Preset::Tei | Preset::LlamaCpp => "/health",
    };
    let http_get = Some(HTTPGetAction { path: Some(path.to_owned()), port, ..HTTPGetAction::default() });
    Probe { http_get, period_seconds: Some(5), timeout_seconds: Some(5), ..Probe::default() }
}

/// Where the program's load is read: what the user says, and what the preset knows of the rest. The port is always there.
/// `None` where there is nothing to look for.
#[must_use]
pub fn metrics(runtime: &Runtime) -> Option<RuntimeMetrics> {
    let known = known_metrics(runtime.preset);
    let said = runtime.metrics.clone();
    let path = said.as_ref().map_or_else(|| "/metrics".to_owned(), |said| said.path.clone());
    let said = said.unwrap_or_default();
    let metrics = RuntimeMetrics {
        path,
        port: said.port.or(known.port).or_else(|| Some(port(runtime))),
        in_flight: said.in_flight.or(known.in_flight),
        queued: said.queued.or(known.queued),
        requests: said.requests.or(known.requests),
        errors: said.errors.or(known.errors),
        time_to_first_token: said.time_to_first_token.or(known.time_to_first_token),
    };
    let names = [&metrics.in_flight, &metrics.queued, &metrics.requests, &metrics.errors, &metrics.time_to_first_token];
    names.iter().any(|name| name.is_some()).then_some(metrics)
}

/// The metrics of each program by its own documentation; what it does not count is absent.
fn known_metrics(preset: Preset) -> RuntimeMetrics {
    let name = |name: &str| Some(name.to_owned());
    match preset {
        Preset::Custom => RuntimeMetrics::default(),
        // https://docs.vllm.ai/en/latest/design/metrics/. `request_success` has no request that failed before the engine took
        // it up, and only later versions than the preset's have those it failed at: the server's own count of answers has.
        Preset::Vllm => RuntimeMetrics {
            in_flight: name("vllm:num_requests_running"),
            queued: name("vllm:num_requests_waiting"),
            requests: name(r#"vllm:request_success_total + http_requests_total{status="5xx"}"#),
            errors: name(r#"http_requests_total{status="5xx"}"#),
            time_to_first_token: name("vllm:time_to_first_token_seconds"),
            ..RuntimeMetrics::default()
        },
        // https://github.com/huggingface/text-embeddings-inference. `te_request_count` counts a request with a single input
        // twice, when it comes and when it is answered, and `te_request_success` not at all: the duration counts each once.
        Preset::Tei => RuntimeMetrics {
            queued: name("te_queue_size"),
            requests: name("te_request_duration_count + te_request_failure"),
            errors: name(r#"te_request_failure{err="inference"}"#),
            time_to_first_token: name("te_request_duration"),
            ..RuntimeMetrics::default()
        },
        // https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html. The histogram
        // is there with `--metrics-config=histogram_latencies=true`, and for decoupled models only.
        Preset::Triton => RuntimeMetrics {
            port: Some(8002),
            queued: name("nv_inference_pending_request_count"),
            requests: name("nv_inference_request_success + nv_inference_request_failure"),
            errors: name(
                r#"nv_inference_request_failure{reason="BACKEND"} + nv_inference_request_failure{reason="OTHER"}"#,
            ),
            time_to_first_token: name("nv_inference_first_response_histogram_ms"),
            ..RuntimeMetrics::default()
        },
        // https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md. It counts tokens, not requests.
        Preset::LlamaCpp => RuntimeMetrics {
            in_flight: name("llamacpp:requests_processing"),
            queued: name("llamacpp:requests_deferred"),
            ..RuntimeMetrics::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(runtime: Value) -> Option<RuntimeMetrics> {
        metrics(&serde_json::from_value(runtime).expect("a Runtime"))
    }

    #[test]
    fn what_the_user_says_of_metrics_wins_and_the_port_is_always_known() {
        let said = json!({"path": "/m", "port": 9000, "queued": "mine"});
        let merged = found(json!({"preset": "triton", "metrics": said})).expect("Triton has metrics");
        assert_eq!((merged.path.as_str(), merged.port, merged.queued.as_deref()), ("/m", Some(9000), Some("mine")));
        assert!(merged.requests.is_some_and(|name| name.starts_with("nv_")), "what is not said is the preset's");
        for (runtime, port) in [
            (json!({"preset": "triton", "port": 9000}), 8002),
            (json!({"preset": "vllm", "port": 9000}), 9000),
            (json!({"preset": "tei"}), 8080),
            (json!({"image": "i", "port": 9000, "metrics": {"queued": "q"}}), 9000),
        ] {
            let metrics = found(runtime.clone()).expect("something to look for");
            assert_eq!((metrics.port, metrics.path.as_str()), (Some(port), "/metrics"), "{runtime}");
        }
    }

    #[test]
    fn of_a_custom_program_nothing_is_known_that_is_not_said() {
        assert_eq!(found(json!({"image": "i", "port": 1})), None);
        assert_eq!(found(json!({"image": "i", "port": 1, "metrics": {"path": "/m"}})), None);
    }
}
