//! The pods behind the Services of a cluster, by its EndpointSlices: pure.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt as _;

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Of a Service of several ports, the one for requests has this name, or is the first.
const PORT_NAME: &str = "http";

/// Pods that take requests, by namespace and Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods(HashMap<(String, String), BTreeMap<String, Pod>>);

/// A pod that takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) port: u16,
}

impl Pods {
    /// Those of these slices that are ready. A pod that is to end is not, and finishes what it has.
    pub(super) fn new<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Self {
        let mut all = Self::default();
        for slice in slices {
            let Some((service, port)) = slice.labels().get(SERVICE_NAME).zip(port(slice)) else { continue };
            let is_ipv4 = slice.address_type == "IPv4";
            if !is_ipv4 && slice.address_type != "IPv6" {
                continue;
            }
            let pods = all.0.entry((slice.namespace().unwrap_or_default(), service.clone())).or_default();
            for pod in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)).filter_map(|one| pod(one, port)) {
                // A pod with addresses of both versions is one pod.
                if is_ipv4 || !pods.contains_key(&pod.name) {
                    pods.insert(pod.name.clone(), pod);
                }
            }
        }
        all
    }

    /// The pods of a Service, in the order of their names.
    pub(super) fn of(&self, namespace: &str, service: &str) -> impl Iterator<Item = &Pod> {
        self.0.get(&(namespace.to_owned(), service.to_owned())).into_iter().flat_map(BTreeMap::values)
    }
}

fn port(slice: &EndpointSlice) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let named = ports.iter().find(|port| port.name.as_deref() == Some(PORT_NAME));
    named.or_else(|| ports.first())?.port?.try_into().ok()
}

/// Who does not say so is ready: KEP-1672.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

fn pod(endpoint: &Endpoint, port: u16) -> Option<Pod> {
    let address = endpoint.addresses.first()?;
    let name = endpoint.target_ref.as_ref().and_then(|target| target.name.as_ref()).unwrap_or(address);
    Some(Pod { name: name.clone(), address: address.clone(), port })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(service: &str, version: &str, endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"namespace": "ml", "labels": {"kubernetes.io/service-name": service}},
            "addressType": version, "endpoints": endpoints,
            "ports": [{"name": "metrics", "port": 9090}, {"name": "http", "port": 8080}],
        }))
        .expect("an EndpointSlice")
    }

    fn endpoint(name: &str, address: &str, conditions: &Value) -> Value {
        json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": name}, "conditions": conditions})
    }

    #[test]
    fn pods_that_are_ready_once_each_with_the_port_for_requests() {
        let ready = json!({"ready": true});
        let leaving = json!({"ready": false, "serving": true, "terminating": true});
        let first = json!([endpoint("b", "10.0.0.2", &ready), endpoint("c", "10.0.0.3", &leaving)]);
        let second = json!([endpoint("a", "10.0.0.1", &json!({}))]);
        let other_version = json!([endpoint("b", "fd00::2", &ready), endpoint("d", "fd00::4", &ready)]);
        let slices = [
            slice("llama", "IPv6", &other_version),
            slice("llama", "IPv4", &first),
            slice("llama", "IPv4", &second),
            slice("llama", "FQDN", &json!([endpoint("e", "example.com", &ready)])),
            slice("other", "IPv4", &json!([endpoint("o", "10.0.0.9", &ready)])),
        ];
        let pods = Pods::new(&slices);
        let found: Vec<_> = pods.of("ml", "llama").map(|pod| (&*pod.name, &*pod.address, pod.port)).collect();
        assert_eq!(found, [("a", "10.0.0.1", 8080), ("b", "10.0.0.2", 8080), ("d", "fd00::4", 8080)]);
        assert_eq!(pods.of("default", "llama").count(), 0);
    }

    #[test]
    fn what_has_no_service_or_no_port_is_nothing() {
        let mut nameless = slice("llama", "IPv4", &json!([endpoint("a", "10.0.0.1", &json!({}))]));
        nameless.metadata.labels = None;
        let mut portless = slice("llama", "IPv4", &json!([endpoint("a", "10.0.0.1", &json!({}))]));
        portless.ports = None;
        assert_eq!(Pods::new([&nameless, &portless]), Pods::default());
    }
}
