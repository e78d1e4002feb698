//! Installs the operator on the hub with helm, from the charts of this work tree.

use std::path::Path;

use super::{Fleet, HUB};
use crate::LabError;
use crate::command::output_of;

/// The operator's namespace on the hub.
pub const OPERATOR_NAMESPACE: &str = "skyfleet-system";

/// Installs or upgrades both charts and waits until the operator's pods are ready.
pub(super) async fn install(fleet: &Fleet) -> Result<(), LabError> {
    upgrade(fleet, "skyfleet-crds", &[]).await?;
    let (repository, tag) = fleet.artifacts.skyfleet.repository_and_tag();
    let values = [format!("image.repository={repository}"), format!("image.tag={tag}"), "log.format=text".to_owned()];
    upgrade(fleet, "skyfleet", &values).await
}

async fn upgrade(fleet: &Fleet, chart: &str, values: &[String]) -> Result<(), LabError> {
    release_lock(fleet, chart).await?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(chart);
    let path = path.to_string_lossy();
    let mut arguments = vec!["upgrade", "--install", chart, &path, "--wait", "--timeout", "5m"];
    arguments.extend(values.iter().flat_map(|value| ["--set-string", value.as_str()]));
    helm(fleet, &arguments).await.map(drop)
}

/// A helm that was killed leaves its release locked ("another operation is in progress"): what it left is removed first.
async fn release_lock(fleet: &Fleet, chart: &str) -> Result<(), LabError> {
    let listed = helm(fleet, &["list", "--pending", "--short", "--filter", &format!("^{chart}$")]).await?;
    if listed.trim() == chart {
        helm(fleet, &["uninstall", chart, "--wait"]).await?;
    }
    Ok(())
}

async fn helm(fleet: &Fleet, arguments: &[&str]) -> Result<String, LabError> {
    let mut command = tokio::process::Command::new(&fleet.artifacts.helm);
    command.arg("--kubeconfig").arg(fleet.lab.cluster(HUB)?.kubeconfig());
    command.args(["--namespace", OPERATOR_NAMESPACE]).args(arguments);
    output_of(command, "").await
}
