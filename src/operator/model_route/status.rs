//! Says who answers the requests of a route.

use std::collections::BTreeMap;

use jiff::Timestamp;
use skyfleet_api::conditions::{Finding, conditions};
use skyfleet_api::model_route::RouteClusterStatus;
use skyfleet_api::{ModelRoute, ModelRouteStatus};

use super::replicas::{Count, Replicas};
use super::requests::{Told, enter};

/// The status of a route with these replicas, and with what gateways tell, if that is known.
pub(super) fn status(
    route: &ModelRoute,
    replicas: Replicas,
    told: Option<&BTreeMap<String, Told>>,
    findings: &[Finding],
    now: Timestamp,
) -> ModelRouteStatus {
    let earlier = route.status.clone().unwrap_or_default();
    let Count { endpoints, ready } = replicas.total;
    let cluster = |(cluster, count): (String, Count)| {
        let mut known = earlier.clusters.iter().find(|known| known.cluster == cluster).cloned().unwrap_or_default();
        // As long as nothing is known of the gateways, what they have told stays.
        if let Some(told) = told {
            enter(&mut known, told.get(&cluster));
        }
        RouteClusterStatus { cluster, endpoints: count.endpoints, ready_endpoints: count.ready, ..known }
    };
    ModelRouteStatus {
        observed_generation: route.metadata.generation,
        conditions: conditions(&earlier.conditions, findings, route.metadata.generation, now),
        endpoints,
        ready_endpoints: ready,
        ready: format!("{ready}/{endpoints}"),
        backends: replicas.backends,
        clusters: replicas.clusters.into_iter().map(cluster).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::conditions::{ConditionType, is_true};

    use super::super::tests::{clusters, models, placement, route};
    use super::*;
    use crate::routing::Fleet;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    #[test]
    fn the_same_replicas_later_give_the_same_status_and_what_gateways_told_stays_until_more_is_known() {
        let mut route = route(&json!({}));
        let placements = json!([placement("gcp-1", 0, Some("h:2")), placement("aws-1", 5, Some("h:1"))]);
        let models = models(&[("m", placements)]);
        let clusters = clusters();
        let count = |route: &ModelRoute| Replicas::count(route, &models, Fleet::from_outside(&clusters));
        let fine = Finding::ready("fine");
        let look = |route: &ModelRoute, second| status(route, count(route), None, &fine, at(second));
        let mut first = look(&route, 10);
        assert!(is_true(&first.conditions, ConditionType::Ready));
        assert_eq!((first.ready.as_str(), first.ready_endpoints, first.endpoints), ("5/6", 5, 6));
        assert_eq!(first.clusters.iter().map(|of| &*of.cluster).collect::<Vec<_>>(), ["aws-1", "gcp-1"]);
        first.clusters[0].in_flight = Some(7);
        route.status = Some(first.clone());
        assert_eq!(look(&route, 99), first);
        let nobody = BTreeMap::new();
        let known = status(&route, count(&route), Some(&nobody), &fine, at(99));
        assert_eq!(known.clusters[0].in_flight, None);
    }
}
