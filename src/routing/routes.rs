//! From what the hub says to what the gateway does: pure. The operator tells by it what gateways do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use skyfleet_api::model_route::{self, Driver, LocalityPolicy};
use skyfleet_api::{ModelDeployment, ModelRoute};
use skyfleet_gateway::config::{
    Affinity, AffinityBy, Algorithm, BackendConfig, Config, Ejection, EndpointConfig, HealthConfig, HedgingConfig,
    Locality, Matching, Protocol, QueueConfig, RateLimits, Rates, Retries, RouteConfig, ShadowConfig, Timeouts,
    UpstreamTls,
};
use skyfleet_gateway::table::Table;

use super::fleet::{Fleet, Replicas};
use crate::quantity;

/// The most bytes of a request where the route does not say: what the API server would have filled in.
const REQUEST_BYTES: u64 = 16 << 20;

/// Where replicas say whether they are well, if the route does not say: so do vLLM, SGLang, TGI and llama.cpp.
const HEALTH: &str = "/health";

/// The routes of these objects that a driver carries out.
pub(crate) fn config<'a>(
    driver: Driver,
    routes: impl IntoIterator<Item = &'a ModelRoute>,
    models: impl IntoIterator<Item = &'a ModelDeployment>,
    fleet: Fleet<'_>,
) -> Config {
    let models: HashMap<_, _> =
        models.into_iter().map(|model| ((model.namespace().unwrap_or_default(), model.name_any()), model)).collect();
    let routes = served(driver, routes).into_iter();
    Config { routes: routes.map(|route| route_config(route, &models, fleet)).collect() }
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
    let routes: Vec<_> = routes.into_iter().collect();
    let mut all = Vec::new();
    for driver in &route.spec.drivers {
        let served = served(*driver, routes.iter().copied());
        let (_, conflicts) = Table::new(served.iter().map(|route| (matching(route), Arc::new(()))));
        let is_own =
            |other: &ModelRoute| (other.namespace(), other.name_any()) == (route.namespace(), route.name_any());
        let own = conflicts.into_iter().filter(|conflict| is_own(served[conflict.route]));
        for taken in own.map(|conflict| Taken { by: name(served[conflict.taken_by]), what: conflict.what }) {
            // With several drivers it is the same once more.
            if !all.contains(&taken) {
                all.push(taken);
            }
        }
    }
    all
}

/// The routes that a driver carries out. The oldest comes first, and of two that came at once the one whose name does, so that all
/// agree.
fn served<'a>(driver: Driver, routes: impl IntoIterator<Item = &'a ModelRoute>) -> Vec<&'a ModelRoute> {
    let mut routes: Vec<_> = routes.into_iter().filter(|route| is_served(driver, route)).collect();
    routes.sort_by_cached_key(|route| {
        let created = route.creation_timestamp().map(|created| created.0);
        (created, route.namespace(), route.name_any())
    });
    routes
}

/// Whether anybody is to carry the route out.
pub(crate) fn is_served_by_any(route: &ModelRoute) -> bool {
    route.spec.drivers.iter().any(|driver| is_served(*driver, route))
}

/// Whether a driver is to carry the route out.
pub(crate) fn is_served(driver: Driver, route: &ModelRoute) -> bool {
    let spec = &route.spec;
    !spec.suspend && route.metadata.deletion_timestamp.is_none() && spec.drivers.contains(&driver)
}

pub(super) fn name(route: &ModelRoute) -> String {
    format!("{}/{}", route.namespace().unwrap_or_default(), route.name_any())
}

fn matching(route: &ModelRoute) -> Matching {
    let spec = &route.spec;
    Matching { hosts: spec.hosts.clone(), path_prefixes: spec.path_prefixes.clone(), models: spec.models.clone() }
}

type Models<'a> = HashMap<(String, String), &'a ModelDeployment>;

fn route_config(route: &ModelRoute, models: &Models<'_>, fleet: Fleet<'_>) -> RouteConfig {
    let (namespace, spec) = (route.namespace().unwrap_or_default(), &route.spec);
    let backend = |name: &String, weight: u32, model_name: &Option<String>| {
        let model = models.get(&(namespace.clone(), name.clone())).copied();
        BackendConfig {
            name: name.clone(),
            weight,
            model: model_name.clone(),
            endpoints: model.map(|model| endpoints(&spec.locality, model, fleet)).unwrap_or_default(),
        }
    };
    let backends = spec.backends.iter().map(|of| backend(&of.model_deployment_ref.name, of.weight(), &of.model_name));
    RouteConfig {
        name: name(route),
        matching: matching(route),
        backends: backends.collect(),
        shadow: spec.shadow.as_ref().map(|shadow| ShadowConfig {
            backend: backend(&shadow.model_deployment_ref.name, 1, &shadow.model_name),
            percent: unsigned(shadow.percent),
        }),
        algorithm: match spec.algorithm {
            model_route::Algorithm::RoundRobin => Algorithm::RoundRobin,
            model_route::Algorithm::LeastConnection => Algorithm::LeastConnection,
            model_route::Algorithm::LeastResponseTime => Algorithm::LeastResponseTime,
        },
        locality: fleet.own().filter(|_| spec.locality.policy == LocalityPolicy::PreferLocal).map(|cluster| Locality {
            cluster: cluster.to_owned(),
            spill_over_percent: unsigned(spec.locality.spill_over_percent),
        }),
        timeouts: timeouts(&spec.timeouts),
        retries: Retries {
            attempts: unsigned(spec.retries.attempts),
            budget_percent: unsigned(spec.retries.budget_percent),
            on_first_frame_error: spec.retries.on_first_frame_error,
        },
        hedging: spec.hedging.as_ref().map(|hedging| HedgingConfig {
            after: Duration::from_millis(unsigned(hedging.after_milliseconds).into()),
            budget_percent: unsigned(hedging.budget_percent),
        }),
        affinity: spec.affinity.as_ref().and_then(affinity),
        ejection: Ejection {
            consecutive_errors: unsigned(spec.outlier_ejection.consecutive_errors),
            base: Duration::from_secs(unsigned(spec.outlier_ejection.base_ejection_seconds).into()),
            most_percent: unsigned(spec.outlier_ejection.max_percent),
        },
        health: spec.health_check.as_ref().map(|check| health(check, spec.protocol)),
        slow_start: Duration::from_secs(unsigned(spec.slow_start_seconds).into()),
        queue: spec.limits.queue.as_ref().map(|queue| QueueConfig {
            most: unsigned(queue.max_requests),
            timeout: Duration::from_secs(unsigned(queue.timeout_seconds).into()),
        }),
        limits: rate_limits(&spec.limits),
        most_in_flight: spec.limits.max_in_flight_per_replica.map(unsigned),
        request_bytes: quantity::whole(&spec.limits.request_bytes.0).unwrap_or(REQUEST_BYTES),
        protocol: match spec.protocol {
            model_route::Protocol::Http => Protocol::Http1,
            model_route::Protocol::Grpc => Protocol::Http2,
        },
        // Whoever reads Secrets fills it in, and until then nothing goes in clear text.
        tls: spec.tls.as_ref().map(|_| UpstreamTls::NotReady("its Secrets were not read yet".to_owned())),
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
        model_route::Affinity { cookie: Some(cookie), .. } => AffinityBy::Cookie {
            name: cookie.name.clone(),
            ttl: cookie.ttl_seconds.map(|seconds| Duration::from_secs(unsigned(seconds).into())),
        },
        model_route::Affinity { prompt_prefix: Some(prefix), .. } => {
            AffinityBy::PromptPrefix(unsigned(prefix.bytes).try_into().ok()?)
        }
        model_route::Affinity { client_address: true, .. } => AffinityBy::ClientAddress,
        _ => return None,
    };
    Some(Affinity { by, bound_percent: unsigned(affinity.bound_percent) })
}

/// Without a path, servers of gRPC are asked as those are.
fn health(check: &model_route::HealthCheck, protocol: model_route::Protocol) -> HealthConfig {
    let seconds = |seconds| Duration::from_secs(unsigned(seconds).into());
    HealthConfig {
        path: check.path.clone().or_else(|| (protocol == model_route::Protocol::Http).then(|| HEALTH.to_owned())),
        interval: seconds(check.interval_seconds),
        timeout: seconds(check.timeout_seconds),
        rise: unsigned(check.healthy_threshold),
        fall: unsigned(check.unhealthy_threshold),
    }
}

fn timeouts(timeouts: &model_route::Timeouts) -> Timeouts {
    let seconds = |seconds| Duration::from_secs(unsigned(seconds).into());
    Timeouts {
        connect: Duration::from_millis(unsigned(timeouts.connect_milliseconds).into()),
        first_byte: seconds(timeouts.first_byte_seconds),
        idle: seconds(timeouts.idle_seconds),
        request: timeouts.request_seconds.map(seconds),
    }
}

/// The API server lets no negative numbers through.
fn unsigned(number: i32) -> u32 {
    number.try_into().unwrap_or_default()
}

/// Where the replicas of a model are reached that the route may use.
fn endpoints(locality: &model_route::Locality, model: &ModelDeployment, fleet: Fleet<'_>) -> Vec<EndpointConfig> {
    let (namespace, name) = (model.namespace().unwrap_or_default(), model.name_any());
    let placements = model.status.as_ref().map(|status| &*status.placements).unwrap_or_default();
    let allowed = placements.iter().filter(|placement| fleet.may_use(&placement.cluster, locality.residency.as_ref()));
    let endpoints = allowed.flat_map(|placement| {
        let egress_price = match locality.policy {
            LocalityPolicy::PreferLocal => fleet.egress_price(&placement.cluster),
            LocalityPolicy::Any => 0,
        };
        let endpoints = fleet.endpoints(Replicas { namespace: &namespace, model: &name, placement });
        endpoints.into_iter().map(move |endpoint| EndpointConfig { egress_price, ..endpoint })
    });
    endpoints.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use skyfleet_api::{ModelDeployment, ModelRoute};
    use skyfleet_gateway::config::{Affinity, AffinityBy, Config, HealthConfig, HedgingConfig};

    use super::super::fleet::{Clusters, Fleet};
    use super::{Driver, Protocol, Taken, UpstreamTls, taken};

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

    fn config<'a>(
        routes: impl IntoIterator<Item = &'a ModelRoute>,
        models: impl IntoIterator<Item = &'a ModelDeployment>,
    ) -> Config {
        super::config(Driver::Gateway, routes, models, Fleet::from_outside(&Clusters::new()))
    }

    fn clusters() -> Clusters {
        let cluster = |(name, provider, region, price): (&str, &str, &str, Option<&str>)| {
            let connection = json!({"kubeconfigSecretRef": {"name": name}});
            let spec =
                json!({"provider": provider, "region": region, "connection": connection, "egressPricePerGB": price});
            let all = json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec});
            (name.to_owned(), serde_json::from_value(all).expect("a Cluster"))
        };
        let all = [
            ("a", "aws", "eu-central-1", Some("0.09")),
            ("b", "aws", "eu-central-1", Some("0.09")),
            ("c", "gcp", "us-east1", Some("0.12")),
            ("d", "onPremises", "cellar", None),
        ];
        all.map(cluster).into()
    }

    /// Where requests go, and the price of the answers.
    fn endpoints(spec: &Value, placements: &Value, fleet: Fleet<'_>) -> Vec<(String, u32, u64)> {
        let config = super::config(Driver::Gateway, [&route("a", OLD, spec)], [&model("ml", placements)], fleet);
        let endpoints = config.routes[0].backends[0].endpoints.iter();
        endpoints
            .map(|one| (format!("{}:{}", one.endpoint.host, one.endpoint.port), one.weight, one.egress_price))
            .collect()
    }

    fn placement(cluster: &str, ready: i32, endpoint: Option<&str>) -> Value {
        json!({"cluster": cluster, "desired": 2, "ready": ready, "endpoint": endpoint})
    }

    fn hosts(found: &[(String, u32, u64)]) -> Vec<(&str, u32)> {
        found.iter().map(|(host, weight, _)| (host.as_str(), *weight)).collect()
    }

    #[test]
    fn replicas_that_are_ready_and_can_be_reached_get_requests() {
        let placements = json!([
            placement("a", 2, Some("10.0.0.1:30001")),
            placement("b", 0, Some("10.0.0.2:30001")),
            placement("c", 1, Some("llama.ml.svc:80")),
            placement("d", 1, None),
            placement("e", 1, Some("[fd00::1]:30001")),
            placement("f", 1, Some("nonsense")),
        ]);
        let clusters = clusters();
        let from = |own| endpoints(&json!({}), &placements, Fleet::from_outside(&clusters).within(own));
        let outside = [("10.0.0.1:30001", 2), ("fd00::1:30001", 1)];
        assert_eq!(hosts(&from(None)), outside);
        assert_eq!(hosts(&from(Some("a"))), outside);
        assert_eq!(hosts(&from(Some("c"))), [outside[0], ("llama.ml.svc:80", 1), outside[1]]);
    }

    #[test]
    fn answers_have_the_price_of_their_way() {
        let placements = ["a", "b", "c", "d", "unknown"].map(|cluster| placement(cluster, 1, Some("10.0.0.1:30001")));
        let clusters = clusters();
        let prices = |own, policy: &str| -> Vec<u64> {
            let spec = json!({"locality": {"policy": policy}});
            let found = endpoints(&spec, &json!(placements), Fleet::from_outside(&clusters).within(own));
            found.into_iter().map(|(_, _, price)| price / 1_000_000).collect()
        };
        assert_eq!(prices(None, "PreferLocal"), [90, 90, 120, 0, 0]);
        // Within a region they cost nothing.
        assert_eq!(prices(Some("a"), "PreferLocal"), [0, 0, 120, 0, 0]);
        assert_eq!(prices(Some("a"), "Any"), [0; 5]);
    }

    #[test]
    fn requests_go_only_where_residency_lets_them() {
        let placements = json!([
            placement("a", 1, Some("a:1")),
            placement("c", 1, Some("c:1")),
            placement("unknown", 1, Some("unknown:1")),
        ]);
        let clusters = clusters();
        for (residency, expected) in [
            (json!({"regions": ["eu-central-1"]}), vec![("a:1", 1)]),
            (json!({"providers": ["gcp"]}), vec![("c:1", 1)]),
            (json!({"regions": [""]}), vec![]),
        ] {
            let spec = json!({"locality": {"residency": residency}});
            let found = endpoints(&spec, &placements, Fleet::from_outside(&clusters));
            assert_eq!(hosts(&found), expected, "{residency}");
        }
    }

    #[test]
    fn a_model_is_one_of_the_same_namespace() {
        let placements = json!([placement("a", 1, Some("h:1"))]);
        let config = config([&route("a", OLD, &json!({}))], [&model("other", &placements)]);
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
        let config = config(&routes, []);
        assert_eq!(config.routes.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["ml/a", "ml/b", "ml/young"]);
        let first = &config.routes[0];
        assert_eq!(
            (first.timeouts.connect.as_millis(), first.backends[0].weight, first.request_bytes),
            (5, 3, 16 << 20)
        );
    }

    #[test]
    fn what_a_route_asks_for_is_done() {
        let shadow = json!({"modelDeploymentRef": {"name": "llama"}, "percent": 5, "modelName": "trial"});
        let of = |spec: &Value| {
            let placements = json!([{"cluster": "a", "desired": 1, "ready": 1, "endpoint": "h:1"}]);
            let mut config = config([&route("a", OLD, spec)], [&model("ml", &placements)]);
            config.routes.remove(0)
        };
        let plain = of(&json!({}));
        assert_eq!((plain.timeouts.request, plain.hedging, plain.affinity), (None, None, None));
        assert_eq!((plain.shadow, plain.health), (None, None));
        let all = of(&json!({
            "timeouts": {"requestSeconds": 900},
            "affinity": {"cookie": {"name": "replica", "ttlSeconds": 60}},
            "hedging": {"afterMilliseconds": 800},
            "shadow": shadow,
            "healthCheck": {"intervalSeconds": 7},
        }));
        let seconds = Duration::from_secs;
        assert_eq!(all.timeouts.request, Some(seconds(900)));
        let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(seconds(60)) };
        assert_eq!(all.affinity, Some(Affinity { by, bound_percent: 125 }));
        assert_eq!(all.hedging, Some(HedgingConfig { after: Duration::from_millis(800), budget_percent: 5 }));
        let shadow = all.shadow.expect("a shadow");
        assert_eq!((shadow.percent, shadow.backend.model.as_deref()), (5, Some("trial")));
        assert_eq!(shadow.backend.endpoints, all.backends[0].endpoints);
        let path = Some("/health".to_owned());
        let health = HealthConfig { path, interval: seconds(7), timeout: seconds(2), rise: 2, fall: 3 };
        assert_eq!(all.health, Some(health));
        let own = of(&json!({"healthCheck": {"path": "/readyz"}, "affinity": {"cookie": {"name": "c"}}}));
        assert_eq!(own.health.expect("checks").path.as_deref(), Some("/readyz"));
        let by = AffinityBy::Cookie { name: "c".to_owned(), ttl: None };
        assert_eq!(own.affinity.expect("affinity").by, by);
    }

    #[test]
    fn what_is_spoken_to_replicas_is_never_less_than_asked_for() {
        let spoken = |spec: &Value| config([&route("a", OLD, spec)], []).routes.remove(0);
        let plain = spoken(&json!({}));
        assert_eq!((plain.protocol, plain.tls), (Protocol::Http1, None));
        let both = spoken(&json!({"protocol": "GRPC", "tls": {}}));
        assert_eq!(both.protocol, Protocol::Http2);
        let checked = spoken(&json!({"protocol": "GRPC", "healthCheck": {}}));
        assert_eq!(checked.health.expect("checks").path, None, "as servers of gRPC are asked");
        assert!(matches!(both.tls, Some(UpstreamTls::NotReady(_))));
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
