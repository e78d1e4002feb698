//! Why the lab could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::backend::Backend;
use crate::image::ImageError;

/// Any failure of the lab; its message says what to do where the lab knows.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces, cgroups and mounts need root.
    #[error("the lab makes network namespaces, cgroups and mounts, which takes root: run it as root, e.g. with sudo")]
    NotRoot,
    /// A name that cannot be used for a lab or a cluster.
    #[error(
        "{name:?} is no name for a lab or a cluster: use 1 to 20 of a-z, 0-9 and -, beginning and ending with a letter or digit"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// A cluster that the lab does not have.
    #[error("the lab {lab} has no cluster {cluster}; it has: {known}")]
    UnknownCluster {
        /// The lab.
        lab: String,
        /// The cluster asked for.
        cluster: String,
        /// The names there are.
        known: String,
    },
    /// A lab that is not there.
    #[error("there is no lab {lab} on this machine: start it with `lab up --name {lab}`")]
    NoLab {
        /// The lab asked for.
        lab: String,
    },
    /// A lab that is made otherwise than asked.
    #[error("the lab {lab} is made of {made} and not of {asked}: end it first, with `lab down --name {lab}`")]
    OtherBackend {
        /// The lab.
        lab: String,
        /// What it is made of.
        made: Backend,
        /// What was asked for.
        asked: Backend,
    },
    /// A cluster without nodes was asked for something that takes a node.
    #[error("the cluster {cluster} is a control plane only: it has no node to {action}; start it without --no-pods")]
    NoNode {
        /// The cluster.
        cluster: String,
        /// What was asked.
        action: &'static str,
    },
    /// Packages or programs are missing and were not installed.
    #[error("{0}")]
    Missing(String),
    /// Every address range is in use.
    #[error("all {0} address ranges of this machine's labs are in use: end a lab with `lab down --name NAME`")]
    AddressesUsedUp(u8),
    /// A file operation.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// The verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A state file that is not what the lab wrote.
    #[error("{path} is damaged ({reason}): `lab down` removes the lab all the same")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command line.
        command: String,
        /// Its standard error, or why it could not run.
        reason: String,
    },
    /// A component ended while it should run.
    #[error("{component} of {cluster} ended; the last lines of its log {log}:\n{tail}")]
    Ended {
        /// e.g. kube-apiserver.
        component: String,
        /// The cluster.
        cluster: String,
        /// The whole log.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// Something did not become true in time.
    #[error("waited {seconds} s in vain for {what} of {cluster} ({last}); see the logs in {logs}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The cluster.
        cluster: String,
        /// The limit.
        seconds: u64,
        /// The last answer.
        last: String,
        /// The folder of the logs.
        logs: PathBuf,
    },
    /// A downloaded file is not the one expected.
    #[error(
        "{file} has the SHA-256 {found} instead of {expected}: it was changed on its way or at its source; nothing of it is used"
    )]
    Checksum {
        /// Which file.
        file: String,
        /// As published.
        expected: &'static str,
        /// As downloaded.
        found: String,
    },
    /// An image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An object store could not be run or told something.
    #[error(transparent)]
    Store(#[from] crate::object_store::ObjectStoreError),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The kubeconfig of a cluster cannot be used.
    #[error("cannot make a client for {cluster}: {reason}")]
    Client {
        /// The cluster.
        cluster: String,
        /// The cause.
        reason: String,
    },
}

impl LabError {
    /// For `map_err`: a file operation failed.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
