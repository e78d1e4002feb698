//! Counts the replicas that answer a route's requests: pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use skyfleet_api::ModelRoute;
use skyfleet_api::model_deployment::PlacementStatus;
use skyfleet_api::model_route::{Backend, BackendStatus};

use super::dereference::Models;
use crate::routing::{self, Fleet, is_served_by_any};

/// Replicas, and how many of them get requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) endpoints: i32,
    pub(super) ready: i32,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.endpoints += other.endpoints;
        self.ready += other.ready;
    }
}

/// The replicas that a route leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replicas {
    pub(super) total: Count,
    /// In the order of the spec.
    pub(super) backends: Vec<BackendStatus>,
    pub(super) clusters: BTreeMap<String, Count>,
}

impl Replicas {
    /// The replicas of a route's backends, and who of them gets requests from gateways that see the fleet so.
    pub(super) fn count(route: &ModelRoute, models: &Models, fleet: Fleet<'_>) -> Self {
        let mut replicas = Self::default();
        let namespace = route.namespace().unwrap_or_default();
        let residency = route.spec.locality.residency.as_ref();
        for backend in &route.spec.backends {
            let gets_requests = is_served_by_any(route) && backend.weight() > 0;
            let mut of_backend = Count::default();
            let model = &*backend.model_deployment_ref.name;
            for placement in placements(backend, models) {
                let reached = || fleet.endpoints(routing::Replicas { namespace: &namespace, model, placement });
                let is_used = gets_requests && fleet.may_use(&placement.cluster, residency) && !reached().is_empty();
                let ready = if is_used { placement.ready } else { 0 };
                let count = Count { endpoints: placement.replicas.max(placement.ready), ready };
                if count.endpoints > 0 {
                    replicas.clusters.entry(placement.cluster.clone()).or_default().add(count);
                }
                of_backend.add(count);
            }
            replicas.total.add(of_backend);
            replicas.backends.push(BackendStatus {
                model_deployment: backend.model_deployment_ref.name.clone(),
                share_percent: 0,
                endpoints: of_backend.endpoints,
                ready_endpoints: of_backend.ready,
            });
        }
        replicas.share_out(&route.spec.backends);
        replicas
    }

    /// The backends that have a ready endpoint share the requests, by their weights.
    fn share_out(&mut self, backends: &[Backend]) {
        let answers = |backend: &BackendStatus| backend.ready_endpoints > 0;
        let weights = || backends.iter().map(|backend| backend.weight.unwrap_or(1));
        let total: i32 = self.backends.iter().zip(weights()).filter(|(of, _)| answers(of)).map(|(_, w)| w).sum();
        for (backend, weight) in self.backends.iter_mut().zip(weights()).filter(|(of, _)| answers(of)) {
            backend.share_percent = (200 * weight + total) / (2 * total);
        }
    }
}

/// Where replicas of a backend are.
pub(super) fn placements<'a>(backend: &Backend, models: &'a Models) -> &'a [PlacementStatus] {
    let model = models.get(&backend.model_deployment_ref.name).and_then(Option::as_ref);
    model.and_then(|model| model.status.as_ref()).map(|status| &*status.placements).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{clusters, models, placement, route};
    use super::*;

    fn of(backend: &BackendStatus) -> (i32, i32, i32) {
        (backend.share_percent, backend.ready_endpoints, backend.endpoints)
    }

    #[test]
    fn backends_that_answer_share_by_weight() {
        let backend = |name: &str, weight: Value| json!({"modelDeploymentRef": {"name": name}, "weight": weight});
        let backends = ["a", "b", "c", "none"].map(|name| backend(name, json!(1)));
        let parked = backend("d", json!(0));
        let route = route(&json!({"backends": backends.into_iter().chain([parked]).collect::<Vec<_>>()}));
        let everywhere = json!([placement("aws-1", 2, Some("h:1")), placement("gcp-1", 0, Some("h:2"))]);
        let all = ["a", "b", "c", "d"].map(|name| (name, everywhere.clone()));
        let replicas = Replicas::count(&route, &models(&all), Fleet::from_outside(&clusters()));
        let backends: Vec<_> = replicas.backends.iter().map(of).collect();
        assert_eq!(backends, [(33, 2, 3), (33, 2, 3), (33, 2, 3), (0, 0, 0), (0, 0, 3)]);
        assert_eq!(replicas.total, Count { endpoints: 12, ready: 6 });
        let clusters = [("aws-1", Count { endpoints: 8, ready: 6 }), ("gcp-1", Count { endpoints: 4, ready: 0 })];
        assert_eq!(replicas.clusters, clusters.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn a_route_that_nobody_is_to_carry_out_leads_nowhere() {
        let models = models(&[("m", json!([placement("aws-1", 2, Some("h:1"))]))]);
        let clusters = clusters();
        let total = |spec: &Value| Replicas::count(&route(spec), &models, Fleet::from_outside(&clusters)).total;
        for spec in [json!({}), json!({"drivers": ["NGINX"]})] {
            assert_eq!(total(&spec), Count { endpoints: 2, ready: 2 });
        }
        assert_eq!(total(&json!({"suspend": true})), Count { endpoints: 2, ready: 0 });
    }

    #[test]
    fn replicas_where_requests_must_not_go_get_none() {
        let placements = json!([
            placement("aws-1", 2, Some("h:1")),
            placement("gcp-1", 1, Some("h:2")),
            placement("unknown", 1, Some("h:3")),
        ]);
        let models = models(&[("m", placements)]);
        let clusters = clusters();
        for (residency, ready) in [
            (json!({"regions": ["eu-central-1"]}), 2),
            (json!({"providers": ["gcp"]}), 1),
            (json!({"providers": ["gcp"], "regions": ["eu-central-1"]}), 0),
            (json!({}), 3),
        ] {
            let route = route(&json!({"locality": {"residency": residency}}));
            let total = Replicas::count(&route, &models, Fleet::from_outside(&clusters)).total;
            assert_eq!(total, Count { endpoints: 4, ready }, "{residency}");
        }
    }
}
