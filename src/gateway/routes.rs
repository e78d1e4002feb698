//! From what the hub says to what the gateway does: pure. The operator tells by it what gateways do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use skyfleet_api::model_deployment::PlacementStatus;
use skyfleet_api::model_route::{self, Driver, LocalityPolicy};
use skyfleet_api::{ModelDeployment, ModelRoute, UnsupportedFields as _};
use skyfleet_gateway::config::{
    Affinity, AffinityBy, Algorithm, BackendConfig, Config, Ejection, Endpoint, EndpointConfig, Locality, Matching,
    QueueConfig, RateLimits, Rates, Retries, RouteConfig, Timeouts,
};
use skyfleet_gateway::table::Table;

use crate::quantity;

/// The most bytes of a request where the route does not say: what the API server would have filled in.
const REQUEST_BYTES: u64 = 16 << 20;

/// The routes of these objects. `cluster` is the one that the gateway runs in.
pub(super) fn config<'a>(
    routes: impl IntoIterator<Item = &'a ModelRoute>,
    models: impl IntoIterator<Item = &'a ModelDeployment>,
    cluster: Option<&str>,
) -> Config {
    let models: HashMap<_, _> =
        models.into_iter().map(|model| ((model.namespace().unwrap_or_default(), model.name_any()), model)).collect();
    let routes = served(routes).into_iter();
    Config { routes: routes.map(|route| route_config(route, &models, cluster)).collect() }
}

/// Requests that a route would take, and an older one does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The older one, as `namespace/name`.
    pub(crate) by: String,
    /// Which requests, for a person.
    pub(crate) what: String,
}

/// What of a route's requests older ones of these routes, itself among them, take.
pub(crate) fn taken<'a>(route: &ModelRoute, routes: impl IntoIterator<Item = &'a ModelRoute>) -> Vec<Taken> {
    let served = served(routes);
    let (_, conflicts) = Table::new(served.iter().map(|route| (matching(route), Arc::new(()))));
    let is_own = |other: &ModelRoute| (other.namespace(), other.name_any()) == (route.namespace(), route.name_any());
    let own = conflicts.into_iter().filter(|conflict| is_own(served[conflict.route]));
    own.map(|conflict| Taken { by: name(served[conflict.taken_by]), what: conflict.what }).collect()
}

/// The routes that gateways serve. The oldest comes first, and of two that came at once the one whose name does, so that all gateways
/// agree.
fn served<'a>(routes: impl IntoIterator<Item = &'a ModelRoute>) -> Vec<&'a ModelRoute> {
    let mut routes: Vec<_> = routes.into_iter().filter(|route| is_served(route)).collect();
    routes.sort_by_cached_key(|route| {
        let created = route.creation_timestamp().map(|created| created.0);
        (created, route.namespace(), route.name_any())
    });
    routes
}

/// Whether the gateway does what the route says, all of it: a wish passed over in silence would look granted.
pub(crate) fn is_served(route: &ModelRoute) -> bool {
    let spec = &route.spec;
    let is_wanted = !spec.suspend && route.metadata.deletion_timestamp.is_none();
    is_wanted && spec.drivers.contains(&Driver::Gateway) && spec.unsupported_fields().is_empty()
}

fn name(route: &ModelRoute) -> String {
    format!("{}/{}", route.namespace().unwrap_or_default(), route.name_any())
}

fn matching(route: &ModelRoute) -> Matching {
    let spec = &route.spec;
    Matching { hosts: spec.hosts.clone(), path_prefixes: spec.path_prefixes.clone(), models: spec.models.clone() }
}

type Models<'a> = HashMap<(String, String), &'a ModelDeployment>;

fn route_config(route: &ModelRoute, models: &Models<'_>, cluster: Option<&str>) -> RouteConfig {
    let (namespace, spec) = (route.namespace().unwrap_or_default(), &route.spec);
    let backend = |backend: &model_route::Backend| {
        let name = &backend.model_deployment_ref.name;
        let model = models.get(&(namespace.clone(), name.clone()));
        let placements = model.and_then(|model| model.status.as_ref()).map(|status| &*status.placements);
        let endpoints = placements.unwrap_or_default().iter();
        BackendConfig {
            name: name.clone(),
            weight: backend.weight(),
            model: backend.model_name.clone(),
            endpoints: endpoints.filter_map(|placement| endpoint(placement, cluster)).collect(),
        }
    };
    RouteConfig {
        name: name(route),
        matching: matching(route),
        backends: spec.backends.iter().map(backend).collect(),
        algorithm: match spec.algorithm {
            model_route::Algorithm::RoundRobin => Algorithm::RoundRobin,
            model_route::Algorithm::LeastConnection => Algorithm::LeastConnection,
            model_route::Algorithm::LeastResponseTime => Algorithm::LeastResponseTime,
        },
        locality: cluster.filter(|_| spec.locality.policy == LocalityPolicy::PreferLocal).map(|cluster| Locality {
            cluster: cluster.to_owned(),
            spill_over_percent: unsigned(spec.locality.spill_over_percent),
        }),
        timeouts: timeouts(&spec.timeouts),
        retries: Retries {
            attempts: unsigned(spec.retries.attempts),
            budget_percent: unsigned(spec.retries.budget_percent),
            on_first_frame_error: spec.retries.on_first_frame_error,
        },
        affinity: spec.affinity.as_ref().and_then(affinity),
        ejection: Ejection {
            consecutive_errors: unsigned(spec.outlier_ejection.consecutive_errors),
            base: Duration::from_secs(unsigned(spec.outlier_ejection.base_ejection_seconds).into()),
            most_percent: unsigned(spec.outlier_ejection.max_percent),
        },
        slow_start: Duration::from_secs(unsigned(spec.slow_start_seconds).into()),
        queue: spec.limits.queue.as_ref().map(|queue| QueueConfig {
            most: unsigned(queue.max_requests),
            timeout: Duration::from_secs(unsigned(queue.timeout_seconds).into()),
        }),
        limits: rate_limits(&spec.limits),
        most_in_flight: spec.limits.max_in_flight_per_replica.map(unsigned),
        request_bytes: quantity::whole(&spec.limits.request_bytes.0).unwrap_or(REQUEST_BYTES),
    }
}

fn rate_limits(limits: &model_route::RouteLimits) -> RateLimits {
    let rates = |requests: Option<i32>, tokens: Option<i32>| Rates {
        requests_per_minute: requests.map(|requests| unsigned(requests).into()),
        tokens_per_minute: tokens.map(|tokens| unsigned(tokens).into()),
    };
    let client = limits.per_client.as_ref();
    let header = client.and_then(|client| client.header.as_ref());
    let total = limits.total.as_ref();
    RateLimits {
        client_header: header.map(|header| header.name.to_ascii_lowercase()),
        per_client: client.map(|client| rates(client.requests_per_minute, client.tokens_per_minute)),
        total: total.map(|total| rates(total.requests_per_minute, total.tokens_per_minute)),
    }
}

fn affinity(affinity: &model_route::Affinity) -> Option<Affinity> {
    let by = match affinity {
        model_route::Affinity { header: Some(header), .. } => AffinityBy::Header(header.name.to_ascii_lowercase()),
        model_route::Affinity { prompt_prefix: Some(prefix), .. } => {
            AffinityBy::PromptPrefix(unsigned(prefix.bytes).try_into().ok()?)
        }
        model_route::Affinity { client_address: true, .. } => AffinityBy::ClientAddress,
        _ => return None,
    };
    Some(Affinity { by, bound_percent: unsigned(affinity.bound_percent) })
}

fn timeouts(timeouts: &model_route::Timeouts) -> Timeouts {
    let seconds = |seconds| Duration::from_secs(unsigned(seconds).into());
    Timeouts {
        connect: Duration::from_millis(unsigned(timeouts.connect_milliseconds).into()),
        first_byte: seconds(timeouts.first_byte_seconds),
        idle: seconds(timeouts.idle_seconds),
    }
}

/// The API server lets no negative numbers through.
fn unsigned(number: i32) -> u32 {
    number.try_into().unwrap_or_default()
}

/// Whether a gateway outside of all clusters can send requests to replicas of a placement.
pub(crate) fn is_reached_from_outside(placement: &PlacementStatus) -> bool {
    endpoint(placement, None).is_some()
}

/// Where the replicas of a placement are reached, each of them with the same share.
fn endpoint(placement: &PlacementStatus, cluster: Option<&str>) -> Option<EndpointConfig> {
    let weight = unsigned(placement.ready);
    let (host, port) = placement.endpoint.as_deref()?.rsplit_once(':')?;
    // The name of a Service means something only where it is.
    let is_inside = host.rsplit('.').next() == Some("svc");
    if weight == 0 || is_inside && cluster != Some(&placement.cluster) {
        return None;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let endpoint =
        Endpoint { cluster: placement.cluster.clone(), name: "service".to_owned(), host, port: port.parse().ok()? };
    Some(EndpointConfig { endpoint, weight, egress_price: 0 })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use skyfleet_api::{ModelDeployment, ModelRoute};

    use super::{Taken, config, taken};

    fn route(name: &str, created: &str, spec: &Value) -> ModelRoute {
        let mut all = json!({"models": [name], "backends": [{"modelDeploymentRef": {"name": "llama"}, "weight": 3}]});
        let fields = spec.as_object().expect("fields").clone();
        all.as_object_mut().expect("an object").extend(fields);
        let metadata = json!({"name": name, "namespace": "ml", "creationTimestamp": created});
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute", "metadata": metadata, "spec": all,
        }))
        .expect("a ModelRoute")
    }

    fn model(namespace: &str, placements: &Value) -> ModelDeployment {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "llama", "namespace": namespace},
            "spec": {"runtime": {"preset": "vllm"}, "replicas": 1, "model": {"name": "m", "image": {}}},
            "status": {"placements": placements},
        }))
        .expect("a ModelDeployment")
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const NEW: &str = "2026-02-01T00:00:00Z";

    fn endpoints(placements: &Value, cluster: Option<&str>) -> Vec<(String, u16, u32)> {
        let (route, model) = (route("a", OLD, &json!({})), model("ml", placements));
        let config = config([&route], [&model], cluster);
        let endpoints = config.routes[0].backends[0].endpoints.iter();
        endpoints.map(|one| (one.endpoint.host.clone(), one.endpoint.port, one.weight)).collect()
    }

    #[test]
    fn replicas_that_are_ready_and_can_be_reached_get_requests() {
        let placement = |cluster: &str, ready: i32, endpoint: Value| json!({"cluster": cluster, "desired": 2, "ready": ready, "endpoint": endpoint});
        let placements = json!([
            placement("a", 2, json!("10.0.0.1:30001")),
            placement("b", 0, json!("10.0.0.2:30001")),
            placement("c", 1, json!("llama.ml.svc:80")),
            placement("d", 1, Value::Null),
            placement("e", 1, json!("[fd00::1]:30001")),
            placement("f", 1, json!("nonsense")),
        ]);
        let outside = [("10.0.0.1".to_owned(), 30001, 2), ("fd00::1".to_owned(), 30001, 1)];
        assert_eq!(endpoints(&placements, None), outside);
        assert_eq!(endpoints(&placements, Some("a")), outside);
        let inside = ("llama.ml.svc".to_owned(), 80, 1);
        assert_eq!(endpoints(&placements, Some("c")), [outside[0].clone(), inside, outside[1].clone()]);
    }

    #[test]
    fn a_model_is_one_of_the_same_namespace() {
        let placements = json!([{"cluster": "a", "desired": 1, "ready": 1, "endpoint": "h:1"}]);
        let config = config([&route("a", OLD, &json!({}))], [&model("other", &placements)], None);
        assert!(config.routes[0].backends[0].endpoints.is_empty());
    }

    #[test]
    fn older_routes_come_first_and_what_cannot_be_done_is_not_begun() {
        let routes = [
            route("young", NEW, &json!({})),
            route("b", OLD, &json!({})),
            route("a", OLD, &json!({"timeouts": {"connectMilliseconds": 5}})),
            route("suspended", OLD, &json!({"suspend": true})),
            route("elsewhere", OLD, &json!({"drivers": ["NGINX"]})),
        ];
        let config = config(&routes, [], None);
        assert_eq!(config.routes.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["ml/a", "ml/b", "ml/young"]);
        let first = &config.routes[0];
        assert_eq!(
            (first.timeouts.connect.as_millis(), first.backends[0].weight, first.request_bytes),
            (5, 3, 16 << 20)
        );
    }

    #[test]
    fn of_routes_for_the_same_requests_the_younger_is_told_who_has_them() {
        let same = |name: &str, created: &str, extra: &Value| {
            let mut route = route(name, created, extra);
            route.spec.models = vec!["m".to_owned()];
            route
        };
        let routes = [same("new", NEW, &json!({})), same("old", OLD, &json!({})), route("other", OLD, &json!({}))];
        let what = r#"host any, path any, model "m""#.to_owned();
        assert_eq!(taken(&routes[0], &routes), [Taken { by: "ml/old".to_owned(), what }]);
        assert_eq!((taken(&routes[1], &routes), taken(&routes[2], &routes)), (vec![], vec![]));
        let suspended = [routes[0].clone(), same("old", OLD, &json!({"suspend": true}))];
        assert_eq!(taken(&routes[0], &suspended), []);
    }
}
