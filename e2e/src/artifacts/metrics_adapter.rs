//! An adapter that serves `custom.metrics.k8s.io`, as a HorizontalPodAutoscaler needs one: the sample that SIG Instrumentation
//! keeps with its library for adapters. It serves the values that are posted to it.

use std::path::PathBuf;

use crate::error::LabError;
use crate::tools::{built, go, go_version, run};

/// The version of the library and its sample.
pub const METRICS_ADAPTER_VERSION: &str = "v1.36.0";

/// The adapter's program; the first call builds it.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn metrics_adapter() -> Result<PathBuf, LabError> {
    let anywhere = std::env::temp_dir();
    let version = go_version(&anywhere)?;
    let folder = built("metrics-adapter", &[METRICS_ADAPTER_VERSION.as_bytes(), version.as_bytes()], |folder| {
        eprintln!("building the metrics adapter {METRICS_ADAPTER_VERSION} (once on this machine, about two minutes)");
        let package = format!("sigs.k8s.io/custom-metrics-apiserver/test-adapter@{METRICS_ADAPTER_VERSION}");
        run(go(&anywhere).env("GOBIN", folder).args(["install", "-trimpath", "-ldflags", "-s -w", &package]))?;
        Ok(())
    })?;
    Ok(folder.join("test-adapter"))
}
