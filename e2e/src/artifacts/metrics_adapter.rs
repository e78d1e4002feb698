//! An adapter that serves `custom.metrics.k8s.io`, as a HorizontalPodAutoscaler needs one: the sample that SIG Instrumentation
//! keeps with its library for adapters. It serves the values that are posted to it.

use std::path::PathBuf;

use crate::error::LabError;
use crate::tools::go_program;

/// The version of the library and its sample.
pub const METRICS_ADAPTER_VERSION: &str = "v1.36.0";

/// The adapter's program; the first call builds it.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn metrics_adapter() -> Result<PathBuf, LabError> {
    go_program("metrics-adapter", "sigs.k8s.io/custom-metrics-apiserver/test-adapter", METRICS_ADAPTER_VERSION)
}
