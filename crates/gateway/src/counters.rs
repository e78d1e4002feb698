//! What is counted of what few requests do, and of what only some routes ask for.

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::grpc;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

/// What becomes of copies: the status of the answer, none, one that was not read to its end, or it was not sent.
const COPIED: [&str; 8] = ["2xx", "3xx", "4xx", "5xx", "failed", "cut_off", "dropped", "no_replica"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCopy {
    route: String,
    backend: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCheck {
    route: String,
    backend: String,
    member_cluster: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    route: String,
    backend: String,
    code: &'static str,
}

/// Whose checks are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OfChecks {
    pub(crate) route: String,
    pub(crate) backend: String,
    pub(crate) member_cluster: String,
}

/// All of it. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    hedges: Family<OfRoute, Counter>,
    hedges_won: Family<OfRoute, Counter>,
    copies: Family<OfCopy, Counter>,
    checks: Family<OfCheck, Counter>,
    clients_left: Counter,
    grpc_failures: Family<OfCall, Counter>,
}

/// Those of one route that hedges, at hand.
pub(crate) struct HedgeCounters {
    pub(crate) sent: Counter,
    pub(crate) won: Counter,
}

/// Those of the copies to one backend, at hand.
pub(crate) struct ShadowCounters([Counter; COPIED.len()]);

/// Those of the checks of a backend in one cluster, at hand.
pub(crate) struct CheckCounters {
    passed: Counter,
    failed: Counter,
}

impl CheckCounters {
    pub(crate) fn count(&self, passed: bool) {
        if passed {
            self.passed.inc()
        } else {
            self.failed.inc()
        };
    }
}

/// What became of a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Copied {
    Answered(StatusCode),
    /// No answer came, or it broke off.
    Failed,
    /// It took too long, or was too much.
    CutOff,
    /// Too many were under way.
    Dropped,
    /// There was nobody to send it to.
    NoReplica,
}

impl ShadowCounters {
    pub(crate) fn count(&self, copied: Copied) {
        let place = match copied {
            Copied::Answered(status) => usize::from(status.as_u16() / 100).clamp(2, 5) - 2,
            Copied::Failed => 4,
            Copied::CutOff => 5,
            Copied::Dropped => 6,
            Copied::NoReplica => 7,
        };
        self.0[place].inc();
    }
}

impl Counters {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        registry.register("hedges", "Second requests sent because the first took long", counters.hedges.clone());
        let help = "Second requests whose answer the client got";
        registry.register("hedges_won", help, counters.hedges_won.clone());
        let help = "Copies of requests to a shadow, by what became of them";
        registry.register("shadow_requests", help, counters.copies.clone());
        registry.register("health_checks", "Health checks of endpoints, by how they went", counters.checks.clone());
        let help = "Requests whose clients left before an answer began";
        registry.register("clients_left", help, counters.clients_left.clone());
        let help = "Calls of gRPC that a replica answered with another status than OK";
        registry.register("grpc_failures", help, counters.grpc_failures.clone());
        counters
    }

    pub(crate) fn client_left(&self) {
        self.clients_left.inc();
    }

    /// A call of gRPC was answered with a status that is not OK.
    pub(crate) fn call_failed(&self, route: &str, backend: &str, status: u8) {
        let of = OfCall { route: route.to_owned(), backend: backend.to_owned(), code: grpc::name(status) };
        self.grpc_failures.get_or_create(&of).inc();
    }

    /// A backend has left.
    pub(crate) fn forget_calls(&self, route: &str, backend: &str) {
        for code in grpc::names() {
            self.grpc_failures.remove(&OfCall { route: route.to_owned(), backend: backend.to_owned(), code });
        }
    }

    pub(crate) fn of_hedges(&self, route: &str) -> HedgeCounters {
        let of = OfRoute { route: route.to_owned() };
        HedgeCounters { sent: self.hedges.get_or_create(&of).clone(), won: self.hedges_won.get_or_create(&of).clone() }
    }

    /// A route hedges no more, or is gone.
    pub(crate) fn forget_hedges(&self, route: &str) {
        let of = OfRoute { route: route.to_owned() };
        self.hedges.remove(&of);
        self.hedges_won.remove(&of);
    }

    pub(crate) fn of_shadow(&self, route: &str, backend: &str) -> ShadowCounters {
        ShadowCounters(copies(route, backend).map(|of| self.copies.get_or_create(&of).clone()))
    }

    pub(crate) fn of_checks(&self, of: &OfChecks) -> CheckCounters {
        let [passed, failed] = checks(of).map(|of| self.checks.get_or_create(&of).clone());
        CheckCounters { passed, failed }
    }

    /// Nobody of these is checked any more.
    pub(crate) fn forget_checks(&self, of: &OfChecks) {
        for of in checks(of) {
            self.checks.remove(&of);
        }
    }

    /// A shadow has left.
    pub(crate) fn forget_shadow(&self, route: &str, backend: &str) {
        for of in copies(route, backend) {
            self.copies.remove(&of);
        }
    }
}

fn copies(route: &str, backend: &str) -> [OfCopy; COPIED.len()] {
    COPIED.map(|outcome| OfCopy { route: route.to_owned(), backend: backend.to_owned(), outcome })
}

fn checks(OfChecks { route, backend, member_cluster }: &OfChecks) -> [OfCheck; 2] {
    ["passed", "failed"].map(|outcome| OfCheck {
        route: route.clone(),
        backend: backend.clone(),
        member_cluster: member_cluster.clone(),
        outcome,
    })
}
