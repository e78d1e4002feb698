//! helm, as a user installs Skyfleet with it.

use std::path::PathBuf;

use crate::error::LabError;
use crate::tools::{built, go, go_version, run};

/// The version of helm the charts are tested with.
pub const HELM_VERSION: &str = "v4.2.4";

/// The helm binary; the first call builds it.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn helm() -> Result<PathBuf, LabError> {
    let anywhere = std::env::temp_dir();
    let version = go_version(&anywhere)?;
    let folder = built("helm", &[HELM_VERSION.as_bytes(), version.as_bytes()], |folder| {
        eprintln!("building helm {HELM_VERSION} (once on this machine, about three minutes)");
        let package = format!("helm.sh/helm/v4/cmd/helm@{HELM_VERSION}");
        run(go(&anywhere).env("GOBIN", folder).args(["install", "-trimpath", "-ldflags", "-s -w", &package]))?;
        Ok(())
    })?;
    Ok(folder.join("helm"))
}
