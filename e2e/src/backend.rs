//! Which of two ways a lab's clusters are made in.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::kind;
use crate::state::{LabState, lab_folder};

/// Overrides what the machine says; an argument overrides both.
const VARIABLE: &str = "SKYFLEET_LAB_BACKEND";

/// An engine that does not answer by then is of no use to a lab.
const LIMIT: Duration = Duration::from_secs(20);

/// What makes a lab's clusters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The lab itself, in network namespaces and cgroups: takes nothing but Linux
    #[default]
    Namespaces,
    /// kind, in containers of this machine's Docker engine
    Kind,
}

impl Backend {
    /// The backend of a lab: `asked`, or else `SKYFLEET_LAB_BACKEND`, or else what the lab is made of already, or else kind
    /// where both Docker and kind are there, and namespaces elsewhere.
    ///
    /// # Errors
    /// When the variable names none, when kind is asked for where it cannot be used, or when the lab's state is damaged.
    pub async fn for_lab(lab: &str, asked: Option<Self>) -> Result<Self, LabError> {
        let variable = std::env::var(VARIABLE).ok();
        let asked = match (asked, variable) {
            (None, Some(name)) => Some(Self::named(&name)?),
            (asked, _) => asked,
        };
        let recorded = LabState::read(&lab_folder(lab)?)?.map(|state| state.backend);
        match (asked, recorded) {
            (Some(Self::Kind), _) => kind_is_usable().await.map(|()| Self::Kind).map_err(|reason| {
                LabError::Missing(format!("kind cannot be used on this machine: {reason}; use --backend namespaces"))
            }),
            (Some(Self::Namespaces), _) => Ok(Self::Namespaces),
            (None, Some(recorded)) => Ok(recorded),
            (None, None) => Ok(if kind_is_usable().await.is_ok() { Self::Kind } else { Self::Namespaces }),
        }
    }

    fn named(name: &str) -> Result<Self, LabError> {
        <Self as ValueEnum>::from_str(name, false).map_err(|_| {
            LabError::Missing(format!("{VARIABLE} is {name:?}: set it to kind or namespaces, or unset it"))
        })
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Kind => "kind",
        })
    }
}

/// Why kind cannot be used, if so.
async fn kind_is_usable() -> Result<(), String> {
    let path = Path::new("/proc/sys/kernel/hostname");
    let machine = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let ask = async { Ok::<_, LabError>((kind::engine_name().await?, kind::version().await?)) };
    let answer = tokio::time::timeout(LIMIT, ask).await.map_err(|_| format!("no answer in {} s", LIMIT.as_secs()))?;
    let (engine, _version) = answer.map_err(|error| error.to_string())?;
    is_here(engine.trim(), machine.trim())
}

/// The lab mounts folders into the nodes and enters their networks, which takes an engine on this very machine: no
/// `DOCKER_HOST` elsewhere, no virtual machine as Docker Desktop's, no socket handed into a container.
fn is_here(engine: &str, machine: &str) -> Result<(), String> {
    if engine == machine { Ok(()) } else { Err(format!("Docker runs on {engine:?} and not on {machine:?}")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_takes_the_names_that_are_shown() {
        for backend in [Backend::Namespaces, Backend::Kind] {
            assert_eq!(Backend::named(&backend.to_string()).unwrap(), backend);
        }
        let refusal = Backend::named("docker").unwrap_err().to_string();
        assert!(refusal.contains("SKYFLEET_LAB_BACKEND is \"docker\""), "{refusal}");
    }

    #[test]
    fn an_engine_elsewhere_is_of_no_use() {
        is_here("vm", "vm").unwrap();
        for elsewhere in ["docker-desktop", "build-7", ""] {
            assert!(is_here(elsewhere, "vm").is_err(), "{elsewhere}");
        }
    }
}
