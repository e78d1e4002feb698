//! What is known of the common inference servers: their image, port, arguments and the path that says they are ready.
//!
//! From their own documentation: vLLM `vllm serve` (port 8000, `/health`), Text Embeddings Inference `text-embeddings-router`
//! (`/health`), Triton `tritonserver` (port 8000, KServe v2 `/v2/health/ready`), llama.cpp `llama-server` (`/health`, 503
//! while the model loads).

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use skyfleet_api::model_deployment::{Model, Preset, Runtime};

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
