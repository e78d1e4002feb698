//! The worlds that are simulated.

use std::time::Duration;

use crate::failure::Failure;

use super::replica::{Replica, Slowdown, Takes, Time};

/// A replica that is there later.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// When the gateways are told of it.
    pub at: Duration,
    /// What it is like.
    pub replica: Replica,
}

/// A world.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// They know nothing of each other.
    pub gateways: usize,
    /// Requests that come in a second, to all gateways.
    pub per_second: f64,
    /// They come for so long; what has come is then brought to its end.
    pub duration: Duration,
    /// Those that are there from the beginning.
    pub replicas: Vec<Replica>,
    /// One that joins them.
    pub join: Option<Join>,
    /// How long an answer goes on after its first byte. It keeps its slot for so long.
    pub stream: Time,
}

impl Scenario {
    pub(super) fn replica(&self, index: usize) -> Option<&Replica> {
        self.replicas.get(index).or(self.join.as_ref().map(|join| &join.replica))
    }

    /// The experiment of "Beyond Round Robin: Load Balancing for Latency" (Jenson and Oanta, Buoyant, 2016): one client, 1,000 requests
    /// a second, eleven servers that take 167 ms (standard deviation 5 ms), one of which takes 2 s for half of the minute. Found there
    /// with Finagle: within one second are about 95% of the requests with round robin, 99% with least loaded, 99.9% with peak EWMA.
    #[must_use]
    pub fn published() -> Self {
        let server = Replica { slots: usize::MAX, first_byte: Time::Normal(0.167, 0.005), slowdown: None };
        let mut replicas = vec![server; 11];
        let takes = Takes::Fixed(Duration::from_secs(2));
        slow_down(&mut replicas, 5, Slowdown { from: Duration::from_secs(15), until: Duration::from_secs(45), takes });
        let duration = Duration::from_mins(1);
        Self { gateways: 1, per_second: 1000.0, duration, replicas, join: None, stream: Time::Zero }
    }

    /// Four gateways and ten replicas, of which two are five times slower, and one more is ten times slower for a third of the minute.
    /// With 300 requests a second to all, the two have slots to spare even when each gets a tenth, but not the one that slows down.
    /// With 1,000, equal shares are too much for all three.
    #[must_use]
    pub fn heterogeneous(per_second: f64) -> Self {
        let fast = Replica { slots: 48, first_byte: Time::LogNormal(0.2, 0.4), slowdown: None };
        let slow = Replica { first_byte: Time::LogNormal(1.0, 0.4), ..fast.clone() };
        let mut replicas = [vec![slow; 2], vec![fast; 8]].concat();
        let takes = Takes::Times(10.0);
        slow_down(&mut replicas, 5, Slowdown { from: Duration::from_secs(20), until: Duration::from_secs(40), takes });
        let duration = Duration::from_mins(1);
        Self { gateways: 4, per_second, duration, replicas, join: None, stream: Time::Zero }
    }

    /// The same replicas answer with streams of five seconds on average.
    #[must_use]
    pub fn streams() -> Self {
        Self { per_second: 50.0, stream: Time::Exponential(5.0), ..Self::heterogeneous(50.0) }
    }

    /// Four gateways and ten replicas, one of which fails all requests for a third of the minute, each after this time.
    #[must_use]
    pub fn broken(after: Duration, failure: Failure) -> Self {
        let mut replicas = vec![Replica { slots: 48, first_byte: Time::LogNormal(0.2, 0.4), slowdown: None }; 10];
        let takes = Takes::Fails(after, failure);
        slow_down(&mut replicas, 5, Slowdown { from: Duration::from_secs(20), until: Duration::from_secs(40), takes });
        let duration = Duration::from_mins(1);
        Self { gateways: 4, per_second: 300.0, duration, replicas, join: None, stream: Time::Zero }
    }

    /// So many gateways and nine equal replicas, to which another one comes after 20 s that nobody knows anything of.
    #[must_use]
    pub fn newcomer(gateways: usize) -> Self {
        let replica = Replica { slots: 48, first_byte: Time::LogNormal(0.2, 0.4), slowdown: None };
        let join = Join { at: Duration::from_secs(20), replica: replica.clone() };
        let duration = Duration::from_secs(80);
        let replicas = vec![replica; 9];
        Self { gateways, per_second: 1000.0, duration, replicas, join: Some(join), stream: Time::Zero }
    }
}

fn slow_down(replicas: &mut [Replica], index: usize, slowdown: Slowdown) {
    if let Some(replica) = replicas.get_mut(index) {
        replica.slowdown = Some(slowdown);
    }
}
