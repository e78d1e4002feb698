//! Kubernetes itself: one static binary from `e2e/kube`, under the name of every component it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{built, cache_folder, go, go_version, run};
use crate::error::LabError;

/// The Kubernetes version of the lab's clusters, as `e2e/kube/go.mod` requires it.
pub const KUBERNETES_VERSION: &str = "v1.34.4";

const SOURCES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../kube/go.mod")),
    ("go.sum", include_str!("../../kube/go.sum")),
    ("main.go", include_str!("../../kube/main.go")),
];

const COMPONENTS: [&str; 7] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"];

/// The folder with `etcd`, `kube-apiserver`, `kubectl` and the others; the first call builds them, in about five minutes.
/// Blocks: call it off the async threads.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn kubernetes() -> Result<PathBuf, LabError> {
    let cache = cache_folder();
    fs::create_dir_all(&cache).map_err(LabError::file("make the folder", &cache))?;
    let flags = linker_flags();
    let version = go_version(&cache)?;
    let mut inputs: Vec<&[u8]> = SOURCES.iter().map(|(_, content)| content.as_bytes()).collect();
    inputs.extend([flags.as_bytes(), version.as_bytes()]);
    built("kubernetes", &inputs, |folder| build(folder, &flags))
}

/// Without these the components call themselves v0.0.0-master.
fn linker_flags() -> String {
    let (major, minor) = KUBERNETES_VERSION
        .trim_start_matches('v')
        .rsplit_once('.')
        .and_then(|(rest, _)| rest.split_once('.'))
        .unwrap_or_default();
    format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION} \
         -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
    )
}

fn build(folder: &Path, flags: &str) -> Result<(), LabError> {
    let sources = folder.join("source");
    fs::create_dir(&sources).map_err(LabError::file("make the folder", &sources))?;
    for (name, content) in SOURCES {
        let path = sources.join(name);
        fs::write(&path, content).map_err(LabError::file("write", &path))?;
    }
    let binary = folder.join("kube");
    eprintln!("building Kubernetes {KUBERNETES_VERSION} (once on this machine, about five minutes)");
    run(go(&sources).args(["build", "-trimpath", "-ldflags", flags, "-o"]).arg(&binary).arg("."))?;
    for component in COMPONENTS {
        let link = folder.join(component);
        symlink("kube", &link).map_err(LabError::file("make the link", &link))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_flags_agree_with_the_module() {
        assert!(SOURCES[0].1.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}\n")));
        assert!(linker_flags().contains("gitMajor=1 ") && linker_flags().contains("gitMinor=34 "));
    }
}
