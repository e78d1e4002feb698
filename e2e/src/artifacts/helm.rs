//! helm, as a user installs Skyfleet with it.

use std::path::PathBuf;

use crate::error::LabError;
use crate::tools::go_program;

/// The version of helm the charts are tested with.
pub const HELM_VERSION: &str = "v4.2.4";

/// The helm binary; the first call builds it.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn helm() -> Result<PathBuf, LabError> {
    go_program("helm", "helm.sh/helm/v4/cmd/helm", HELM_VERSION)
}
