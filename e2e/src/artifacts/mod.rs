//! What the lab runs besides Kubernetes: the images of this work tree's programs, the model they serve, helm, and an
//! adapter of metrics. Everything is made once and kept in the cache folder; everything blocks, so call it off the async
//! threads.

mod cargo;
mod helm;
mod images;
mod libraries;
mod metrics_adapter;
mod model;
mod moto;
mod pyarrow;

pub use helm::{HELM_VERSION, helm};
pub use images::{BuiltImage, inference_server_image, paced_server_image, skyfleet_image, skyfleet_program};
pub use metrics_adapter::{METRICS_ADAPTER_VERSION, metrics_adapter};
pub use model::{MODEL_FILES, ModelFile, model};
pub use moto::{MOTO_VERSION, moto, python_with_moto};
pub use pyarrow::{PYARROW_VERSION, pyarrow, python_with_pyarrow};

use std::path::Path;

/// The root of the work tree this crate was compiled in.
fn work_tree() -> &'static Path {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    e2e.parent().unwrap_or(e2e)
}
