//! What is counted of what only some routes ask for.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

/// All of it. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    hedges: Family<OfRoute, Counter>,
    hedges_won: Family<OfRoute, Counter>,
}

/// Those of one route that hedges, at hand.
pub(crate) struct HedgeCounters {
    pub(crate) sent: Counter,
    pub(crate) won: Counter,
}

impl Counters {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        registry.register("hedges", "Second requests sent because the first took long", counters.hedges.clone());
        let help = "Second requests whose answer the client got";
        registry.register("hedges_won", help, counters.hedges_won.clone());
        counters
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
}
