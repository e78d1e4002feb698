//! What of a route the load balancers cannot do that are to carry it out: pure.

use skyfleet_api::ModelRoute;
use skyfleet_api::model_route::Driver;
use skyfleet_drivers::Driver as _;
use skyfleet_drivers::apache::{self, Apache};
use skyfleet_drivers::haproxy::{self, HAProxy};
use skyfleet_drivers::nginx::{self, Nginx};
use skyfleet_drivers::{Lack, Plan};
use skyfleet_gateway::config::{Config, TlsSettings, UpstreamTls};

use super::dereference::Models;
use crate::routing::{Fleet, config};

/// What each driver of a route lacks, in the order of the spec.
pub(super) fn of(route: &ModelRoute, models: &Models, fleet: Fleet<'_>) -> Vec<(Driver, Lack)> {
    let mut all = Vec::new();
    for driver in route.spec.drivers.iter().copied().filter(|driver| *driver != Driver::Gateway) {
        let mut config = config(driver, [route], models.values().flatten(), fleet);
        for wanted in &mut config.routes {
            // Secrets are for those that speak TLS to read; whether they are there was looked at before.
            let server_name = route.spec.tls.as_ref().and_then(|tls| tls.server_name.clone());
            let settings = TlsSettings { server_name, ..TlsSettings::default() };
            wanted.tls = wanted.tls.take().map(|_| UpstreamTls::Spoken(settings));
        }
        all.extend(lacks(driver, &config).into_iter().map(|lack| (driver, lack)));
    }
    all
}

fn lacks(driver: Driver, config: &Config) -> Vec<Lack> {
    match driver {
        Driver::Gateway => vec![],
        Driver::Nginx => all(Nginx::new(nginx::Settings::default()).plan(config)),
        Driver::HAProxy => all(HAProxy::new(haproxy::Settings::default()).plan(config)),
        Driver::Apache => {
            // Which modules there are only its agent knows.
            let modules = apache::Modules { hcheck: true, http2: true, ssl: true };
            all(Apache::new(apache::Settings { modules, ..apache::Settings::default() }).plan(config))
        }
    }
}

fn all<W>(plan: Plan<W>) -> Vec<Lack> {
    plan.lacks.into_values().flatten().collect()
}

/// Why a load balancer does not carry the route out at all, if one does not.
pub(super) fn refused(lacks: &[(Driver, Lack)]) -> Option<String> {
    let refused = lacks.iter().filter(|(_, lack)| lack.is_refused);
    let said: Vec<_> = refused.map(|(driver, lack)| said(*driver, lack)).collect();
    let help = "change that, or take the load balancer out of spec.drivers";
    (!said.is_empty()).then(|| format!("not carried out: {}: {help}", said.join("; ")))
}

/// What load balancers cannot do of it, if there is anything.
pub(super) fn limited(lacks: &[(Driver, Lack)]) -> Option<String> {
    let said: Vec<_> = lacks.iter().map(|(driver, lack)| said(*driver, lack)).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn said(driver: Driver, Lack { field, instead, .. }: &Lack) -> String {
    format!("{}, {field}: {instead}", name(driver))
}

/// For a person.
pub(super) fn name(driver: Driver) -> &'static str {
    match driver {
        Driver::Gateway => "the gateways",
        Driver::Nginx => "NGINX",
        Driver::HAProxy => "HAProxy",
        Driver::Apache => "Apache httpd",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{clusters, models, placement, route};
    use super::*;

    #[test]
    fn only_who_is_to_carry_it_out_is_asked_and_says_what_it_lacks() {
        let models = models(&[("m", json!([placement("aws-1", 2, Some("10.0.0.1:30001"))]))]);
        let clusters = clusters();
        let of = |spec| of(&route(&spec), &models, Fleet::from_outside(&clusters));
        let fast = "LeastResponseTime";
        assert_eq!(of(json!({"algorithm": fast})), []);
        let plain = json!({"algorithm": "RoundRobin", "drivers": ["HAProxy"], "models": [], "hosts": ["h"]});
        assert_eq!(limited(&of(plain)), None);
        let hedged =
            json!({"algorithm": fast, "drivers": ["Gateway", "NGINX", "Apache"], "hedging": {"afterMilliseconds": 9}});
        let said = limited(&of(hedged)).expect("they cannot do that");
        for (name, field) in
            [("NGINX", "spec.algorithm"), ("Apache httpd", "spec.algorithm"), ("NGINX", "spec.hedging")]
        {
            assert!(said.contains(&format!("{name}, {field}: ")), "{said}");
        }
        assert!(!said.contains("gateways"), "{said}");
    }

    #[test]
    fn what_cannot_be_carried_out_at_all_is_refused() {
        let models = models(&[("m", json!([placement("aws-1", 2, Some("10.0.0.1:30001"))]))]);
        let clusters = clusters();
        let backends = json!([{"modelDeploymentRef": {"name": "m"}, "modelName": "other"}]);
        let spec = json!({"drivers": ["HAProxy"], "backends": backends});
        let said =
            refused(&of(&route(&spec), &models, Fleet::from_outside(&clusters))).expect("bodies are not changed");
        assert!(said.contains("HAProxy, spec.backends") && said.contains("take the load balancer out"), "{said}");
    }
}
