//! The members: one client and one watch set each, and what is known of them.

mod connection;
mod contact;
mod inventory;
mod loads;
mod member;
mod objects;

pub(crate) use connection::{Connection, ConnectionError, from_kubeconfig, from_parts};
pub(crate) use contact::{Access, Report};
pub(crate) use member::Member;
pub(crate) use objects::Objects;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::{Cluster, ModelDeployment};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::metrics::Metrics;

/// Who is told that something changed in a member.
#[derive(Clone)]
pub(crate) struct Triggers {
    /// What is known of a member changed.
    pub(crate) clusters: mpsc::Sender<ObjectRef<DeserializeGuard<Cluster>>>,
    /// An object of a ModelDeployment changed in a member.
    pub(crate) models: mpsc::Sender<ObjectRef<DeserializeGuard<ModelDeployment>>>,
}

/// The members this operator is connected to.
pub(crate) struct Fleet {
    hub_id: String,
    triggers: Triggers,
    metrics: Metrics,
    members: RwLock<BTreeMap<String, Entry>>,
}

struct Entry {
    fingerprint: String,
    member: Arc<Member>,
    /// Ends the member's probes and watches when the member is replaced or leaves.
    _tasks: AbortOnDropHandle<()>,
}

impl Fleet {
    pub(crate) fn new(hub_id: String, triggers: Triggers, metrics: Metrics) -> Self {
        Self { hub_id, triggers, metrics, members: RwLock::default() }
    }

    /// The member of this name over this connection. A connection that changed (a rotated token, another address) replaces
    /// the client and the watches; the same one keeps them.
    ///
    /// # Errors
    /// No client can be made of the connection.
    pub(crate) async fn connect(&self, name: &str, connection: Connection) -> Result<Arc<Member>, ConnectionError> {
        let fingerprint = connection.fingerprint();
        let known =
            self.read().get(name).filter(|entry| entry.fingerprint == fingerprint).map(|entry| entry.member.clone());
        if let Some(member) = known {
            return Ok(member);
        }
        let (member, tasks) =
            Member::start(name, connection, &self.hub_id, self.triggers.clone(), self.metrics.clone()).await?;
        let entry = Entry { fingerprint, member: member.clone(), _tasks: tasks };
        self.write().insert(name.to_owned(), entry);
        Ok(member)
    }

    /// Ends the probes and watches of a member that has left or whose connection is refused.
    pub(crate) fn disconnect(&self, name: &str) {
        if self.write().remove(name).is_some() {
            self.metrics.member_left(name);
        }
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<Arc<Member>> {
        self.read().get(name).map(|entry| entry.member.clone())
    }

    /// All of them.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.read().values().map(|entry| entry.member.clone()).collect()
    }

    // A panic while the lock is held can't leave the map half-changed: each critical section is one map operation.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.members.write().unwrap_or_else(PoisonError::into_inner)
    }
}
