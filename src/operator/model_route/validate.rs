//! Checks a ModelRoute: what it names is there, no other takes its requests, and somebody answers them.

use skyfleet_api::ModelRoute;
use skyfleet_api::conditions::{ConditionType, Finding, Reason};
use skyfleet_api::model_deployment::PlacementStatus;

use super::dereference::{Found, Models, Secrets, model_names};
use super::lacks;
use super::replicas::{Replicas, placements};
use crate::routing::{Fleet, Taken, is_inside, taken, wanted_secrets};

/// What is to be said of a route, the first that needs a person before what passes by itself.
pub(super) fn validate(route: &ModelRoute, found: &Found, replicas: &Replicas, fleet: Fleet<'_>) -> Vec<Finding> {
    if route.spec.suspend {
        let message = "spec.suspend is set: requests are answered as if the route were not there";
        return vec![Finding::new(ConditionType::Ready, false, Reason::Suspended, message)];
    }
    if let Some(message) = missing(route, &found.models) {
        return Finding::stalled(Reason::ReferenceNotFound, message);
    }
    if let Some((reason, message)) = secrets_missing(route, &found.secrets) {
        return Finding::stalled(reason, message);
    }
    let others = found.others.iter().filter_map(|other| other.0.as_ref().ok());
    if let Some(message) = conflict(&taken(route, others.chain([route]))) {
        return Finding::stalled(Reason::RouteConflict, message);
    }
    let lacks = lacks::of(route, &found.models, fleet);
    if let Some(message) = lacks::refused(&lacks) {
        return Finding::stalled(Reason::DriverRefuses, message);
    }
    let limited = lacks::limited(&lacks);
    let limited = limited.map(|message| Finding::new(ConditionType::Limited, true, Reason::DriverLacks, message));
    let served = if replicas.total.ready == 0 {
        nobody(route, &found.models)
    } else {
        let drivers: Vec<_> = route.spec.drivers.iter().map(|driver| lacks::name(*driver)).collect();
        Finding::ready(format!("somebody is there to answer, for {}", drivers.join(", ")))
    };
    served.into_iter().chain(limited).collect()
}

fn missing(route: &ModelRoute, models: &Models) -> Option<String> {
    let is_missing = |name: &&str| !models.get(*name).is_some_and(Option::is_some);
    let name = model_names(&route.spec).find(is_missing)?;
    let is_answering = route.spec.backends.iter().any(|backend| backend.model_deployment_ref.name == name);
    let copies = if is_answering {
        ""
    } else {
        ", which is to get copies of requests (spec.shadow); they are answered all the same"
    };
    Some(format!(
        "there is no ModelDeployment {name:?} in this namespace{copies}: make it, or take it out of the route"
    ))
}

/// What TLS with replicas lacks, as far as it may be seen.
fn secrets_missing(route: &ModelRoute, secrets: &Secrets) -> Option<(Reason, String)> {
    route.spec.tls.iter().flat_map(wanted_secrets).find_map(|(name, key)| match secrets.get(name)? {
        None => {
            let message = format!("there is no Secret {name:?} in this namespace, which spec.tls names: requests are refused until it is there");
            Some((Reason::ReferenceNotFound, message))
        }
        Some(keys) if !keys.contains(key) => {
            let message = format!("the Secret {name:?}, which spec.tls names, has no key {key}: requests are refused until it has");
            Some((Reason::InvalidCredentials, message))
        }
        Some(_) => None,
    })
}

fn conflict(taken: &[Taken]) -> Option<String> {
    let Taken { by, what } = taken.first()?;
    let more = match taken.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more like this)"),
    };
    Some(format!(
        "the older ModelRoute {by} takes the requests with {what}{more}, and this one those that are left: change or delete \
         one of them"
    ))
}

/// Why no replica gets requests.
fn nobody(route: &ModelRoute, models: &Models) -> Vec<Finding> {
    let backends = || route.spec.backends.iter().filter(|backend| backend.weight() > 0);
    let ready = || backends().flat_map(|backend| placements(backend, models)).filter(|placement| placement.ready > 0);
    // None of them is reached from outside.
    let is_inside = |placement: &&PlacementStatus| placement.endpoint.as_deref().is_some_and(is_inside);
    if let Some(inside) = ready().find(is_inside) {
        let message = format!(
            "replicas are ready and have a Service of type ClusterIP, which only their own cluster reaches: set \
             spec.service.type of the ModelDeployment to NodePort or LoadBalancer; a gateway in that cluster ({}), or one with \
             a kubeconfig for its API server, answers although this says otherwise",
            inside.cluster
        );
        return Finding::stalled(Reason::NoEndpoints, message);
    }
    if ready().any(|placement| placement.endpoint.is_some()) {
        let message = "replicas are ready only in clusters where spec.locality.residency does not let requests go: allow them \
                       there, or place the ModelDeployment by the same residency";
        return Finding::stalled(Reason::NoEndpoints, message);
    }
    if ready().next().is_some() {
        let message = "replicas are ready, and their Service has no address yet: see it in their cluster";
        return Finding::reconciling(Reason::NoEndpoints, message);
    }
    let names: Vec<_> = backends().map(|backend| backend.model_deployment_ref.name.as_str()).collect();
    let message = format!("no replica is ready of {}: see the ModelDeployment", names.join(", "));
    Finding::reconciling(Reason::NoEndpoints, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::super::tests::{clusters, models, placement, route};
    use super::*;

    fn findings(spec: &Value, models: Models, others: &[ModelRoute]) -> Vec<Finding> {
        let route = route(spec);
        let clusters = clusters();
        let fleet = Fleet::from_outside(&clusters);
        let replicas = Replicas::count(&route, &models, fleet);
        let others = others.iter().cloned().map(|other| Arc::new(DeserializeGuard(Ok(other)))).collect();
        validate(&route, &Found { models, others, secrets: Secrets::new() }, &replicas, fleet)
    }

    fn answering() -> Models {
        models(&[("m", json!([placement("aws-1", 2, Some("10.0.0.1:30001"))]))])
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        let other = json!({"modelDeploymentRef": {"name": "gone"}});
        let both = json!([{"modelDeploymentRef": {"name": "m"}}, other]);
        let shadow = json!({"modelDeploymentRef": {"name": "trial"}, "percent": 5});
        let copies = "\"trial\" in this namespace, which is to get copies";
        for (spec, reason, said, stalled) in [
            (json!({"shadow": shadow}), Reason::ReferenceNotFound, copies, true),
            (json!({"drivers": ["Gateway", "NGINX"]}), Reason::AsSpecified, "for the gateways, NGINX", false),
            (json!({"suspend": true}), Reason::Suspended, "spec.suspend", false),
            (json!({"backends": both}), Reason::ReferenceNotFound, "no ModelDeployment \"gone\"", true),
            (json!({}), Reason::AsSpecified, "", false),
        ] {
            let findings = findings(&spec, answering(), &[]);
            assert_eq!(findings[0].reason, reason, "{spec}");
            assert!(findings[0].message.contains(said), "{}", findings[0].message);
            assert_eq!(findings.iter().any(|finding| finding.kind == ConditionType::Stalled), stalled, "{spec}");
        }
    }

    #[test]
    fn secrets_that_tls_lacks_are_told() {
        let spec = json!({"tls": {"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "own"}}});
        let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect());
        let ca = || ("ca", keys(&["ca.crt"]));
        for (secrets, reason, said) in [
            (vec![], Reason::AsSpecified, ""),
            (vec![("ca", None)], Reason::ReferenceNotFound, "no Secret \"ca\""),
            (
                vec![ca(), ("own", keys(&["tls.crt"]))],
                Reason::InvalidCredentials,
                "\"own\", which spec.tls names, has no key tls.key",
            ),
            (vec![ca(), ("own", keys(&["tls.crt", "tls.key"]))], Reason::AsSpecified, ""),
        ] {
            let (route, models) = (route(&spec), answering());
            let clusters = clusters();
            let fleet = Fleet::from_outside(&clusters);
            let replicas = Replicas::count(&route, &models, fleet);
            let secrets = secrets.into_iter().map(|(name, keys)| (name.to_owned(), keys)).collect();
            let findings = validate(&route, &Found { models, others: Vec::new(), secrets }, &replicas, fleet);
            assert_eq!(findings[0].reason, reason);
            assert!(findings[0].message.contains(said), "{}", findings[0].message);
        }
    }

    #[test]
    fn requests_of_an_older_route_are_in_conflict() {
        let mut older = route(&json!({"models": ["m", "n"]}));
        older.metadata.name = Some("older".to_owned());
        older.metadata.creation_timestamp = None;
        let said = |spec: &Value| findings(spec, answering(), &[older.clone()])[0].clone();
        let one = said(&json!({}));
        assert_eq!(one.reason, Reason::RouteConflict);
        assert!(one.message.contains("ModelRoute ml/older takes the requests with host any, path any, model \"m\","));
        assert!(said(&json!({"models": ["m", "n"]})).message.contains("(and 1 more like this)"));
        assert_eq!(said(&json!({"models": ["o"]})).reason, Reason::AsSpecified);
        assert_eq!(said(&json!({"hosts": ["h"]})).reason, Reason::AsSpecified);
    }

    #[test]
    fn it_is_told_why_nobody_answers() {
        for (placements, said, stalled) in [
            (json!([]), "no replica is ready of m", false),
            (json!([placement("aws-1", 0, Some("10.0.0.1:30001"))]), "no replica is ready of m", false),
            (json!([placement("aws-1", 1, None)]), "no address yet", false),
            (json!([placement("aws-1", 1, Some("m.ml.svc:80"))]), "NodePort or LoadBalancer", true),
            (json!([placement("elsewhere", 1, Some("10.0.0.1:30001"))]), "spec.locality.residency", true),
        ] {
            let spec = json!({"locality": {"residency": {"providers": ["aws"]}}});
            let findings = findings(&spec, models(&[("m", placements)]), &[]);
            assert_eq!(findings[0].reason, Reason::NoEndpoints);
            assert!(findings[0].message.contains(said), "{}", findings[0].message);
            assert_eq!(findings[1].kind == ConditionType::Stalled, stalled, "{said}");
        }
    }
}
