//! What a load balancer's driver is.

use std::collections::BTreeMap;
use std::future::Future;

use skyfleet_gateway::config::Config;

use crate::{DriverError, Lack, Shown};

/// Keeps one load balancer to what routes say. Nothing that a person wrote in its configuration, outside of what is the driver's, is touched.
pub trait Driver: Send + Sync {
    /// What the load balancer is to have.
    type Wanted: Clone + PartialEq + Send + Sync;
    /// What it has.
    type Actual: Send + Sync;
    /// A change that is done or not done, and never half.
    type Step: std::fmt::Debug + Send + Sync;

    /// Its name, for a person.
    fn name(&self) -> &'static str;

    /// What the load balancer is to have, and what it cannot do: pure. Each route stands for itself: one that cannot be carried out at all,
    /// as a [`Lack`] says, has no servers, and takes no other with it. Its requests are answered with 503, and go by no other route.
    fn plan(&self, config: &Config) -> Plan<Self::Wanted>;

    /// The least changes from what it has to what it is to have, in the order in which they are done: pure. None is left when the two are alike,
    /// apart from servers that drain. After each of them, all that serves goes on serving, and whoever stops there can go on from it.
    fn steps(&self, actual: &Self::Actual, wanted: &Self::Wanted) -> Vec<Self::Step>;

    /// What the load balancer has, in words that all have in common: pure.
    fn shown(&self, actual: &Self::Actual) -> Shown;

    /// What the load balancer really has: asked of itself, not of what was written.
    ///
    /// # Errors
    /// It does not answer, or what it says is not understood.
    fn read(&self) -> impl Future<Output = Result<Self::Actual, DriverError>> + Send;

    /// Does a change.
    ///
    /// # Errors
    /// It does not answer, or refuses; then what it had before is there still.
    fn perform(&self, step: &Self::Step) -> impl Future<Output = Result<(), DriverError>> + Send;
}

/// What a load balancer is to have, and what of the routes it cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<W> {
    /// What it is to have.
    pub wanted: W,
    /// What it cannot do, by the names of routes.
    pub lacks: BTreeMap<String, Vec<Lack>>,
}
