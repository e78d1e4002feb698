//! What TLS towards replicas goes by: the Secrets that served routes name, each read by its name and kept in memory only.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};
use skyfleet_api::ModelRoute;
use skyfleet_api::model_route::{self, Driver};
use skyfleet_gateway::config::{ClientCertificate, Config, TlsSettings, UpstreamTls};
use skyfleet_gateway::tls::PrivatePem;
use tokio::time::timeout;

use super::routes::{is_served, name};

/// How often they are read again. They are not watched: that would need the right to list all Secrets.
pub(super) const EVERY: Duration = Duration::from_secs(30);
/// How long the hub may take for one.
const LIMIT: Duration = Duration::from_secs(10);
/// How many are read at once.
const AT_ONCE: usize = 16;

/// Which keys of Secrets a route with this needs, each with the name of the Secret.
pub(crate) fn wanted(tls: &model_route::UpstreamTls) -> impl Iterator<Item = (&str, &'static str)> {
    let authorities = tls.ca_secret_ref.iter().map(|of| (of.name.as_str(), CA));
    let client = tls.client_certificate_secret_ref.iter();
    authorities.chain(client.flat_map(|of| [CERTIFICATE, KEY].map(|key| (of.name.as_str(), key))))
}

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The Secrets that routes name, as they were read last. None of it is logged.
pub(super) struct Secrets {
    hub: Client,
    driver: Driver,
    known: Known,
}

/// By namespace and name.
type Known = BTreeMap<(String, String), Found>;

/// What is known of a Secret.
enum Found {
    Data(BTreeMap<String, Vec<u8>>),
    Missing,
    /// It could never be read, and this is why.
    Unreadable(String),
}

impl Secrets {
    pub(super) fn new(hub: Client, driver: Driver) -> Self {
        Self { hub, driver, known: Known::new() }
    }

    /// Whether any is named.
    pub(super) fn are_named(&self) -> bool {
        !self.known.is_empty()
    }

    /// Reads those that these routes name: all of them, or those only that are not known yet. What cannot be read stays as it was.
    pub(super) async fn read(&mut self, routes: &[ModelRoute], all: bool) {
        let named = named(self.driver, routes);
        self.known.retain(|name, _| named.contains(name));
        let new = named.into_iter().filter(|name| all || !self.known.contains_key(name));
        let reads: Vec<_> =
            futures::stream::iter(new.map(|name| get(&self.hub, name))).buffer_unordered(AT_ONCE).collect().await;
        for (name, read) in reads {
            take(&mut self.known, name, read);
        }
    }

    /// Has these routes speak TLS as they say.
    pub(super) fn fill(&self, routes: &[ModelRoute], config: &mut Config) {
        let spoken = routes.iter().filter_map(|route| Some((name(route), route, route.spec.tls.as_ref()?)));
        let mut spoken: BTreeMap<_, _> = spoken.map(|(name, route, tls)| (name, (route, tls))).collect();
        for route in &mut config.routes {
            if let Some((of, tls)) = spoken.remove(&route.name) {
                route.tls = Some(upstream_tls(&of.namespace().unwrap_or_default(), tls, &self.known));
            }
        }
    }
}

/// Those that served routes name, each once.
fn named(driver: Driver, routes: &[ModelRoute]) -> Vec<(String, String)> {
    let served = routes.iter().filter(|route| is_served(driver, route));
    let spoken = served.filter_map(|route| Some((route, route.spec.tls.as_ref()?)));
    let named = spoken.flat_map(|(route, tls)| {
        wanted(tls).map(|(name, _)| (route.namespace().unwrap_or_default(), name.to_owned())).collect::<Vec<_>>()
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    named.dedup();
    named
}

type Read = Result<Option<BTreeMap<String, Vec<u8>>>, String>;

async fn get(hub: &Client, (namespace, name): (String, String)) -> ((String, String), Read) {
    let api = Api::<Secret>::namespaced(hub.clone(), &namespace);
    let read = match timeout(LIMIT, api.get_opt(&name)).await {
        Ok(Ok(secret)) => Ok(secret.map(data)),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err("the hub does not let the gateway read it (see gateway.upstreamTls of the chart)".to_owned())
        }
        Ok(Err(error)) => Err(format!("it cannot be read: {error}")),
        Err(_) => Err(format!("the hub did not answer within {LIMIT:?}")),
    };
    ((namespace, name), read)
}

fn data(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

fn take(known: &mut Known, name: (String, String), read: Read) {
    let error = match read {
        Ok(Some(data)) => return drop(known.insert(name, Found::Data(data))),
        Ok(None) => return drop(known.insert(name, Found::Missing)),
        Err(error) => error,
    };
    let (namespace, secret) = &name;
    tracing::warn!(
        namespace,
        secret,
        error,
        "a Secret for TLS with replicas cannot be read: what is known of it stays"
    );
    known.entry(name).or_insert(Found::Unreadable(error));
}

fn upstream_tls(namespace: &str, tls: &model_route::UpstreamTls, known: &Known) -> UpstreamTls {
    settings(namespace, tls, known).map_or_else(UpstreamTls::NotReady, UpstreamTls::Spoken)
}

/// How TLS is spoken, or why it cannot be.
fn settings(namespace: &str, tls: &model_route::UpstreamTls, known: &Known) -> Result<TlsSettings, String> {
    let value = |secret: &str, key: &str| value(known, (namespace, secret), key);
    let authorities = tls.ca_secret_ref.as_ref().map(|of| value(&of.name, CA)).transpose()?;
    let client = match &tls.client_certificate_secret_ref {
        None => None,
        Some(of) => {
            let key = PrivatePem::new(value(&of.name, KEY)?);
            Some(ClientCertificate { certificate: value(&of.name, CERTIFICATE)?, key })
        }
    };
    Ok(TlsSettings { authorities, client, server_name: tls.server_name.clone() })
}

fn value(known: &Known, (namespace, name): (&str, &str), key: &str) -> Result<Vec<u8>, String> {
    let secret = format!("the Secret {namespace}/{name}");
    match known.get(&(namespace.to_owned(), name.to_owned())) {
        Some(Found::Data(data)) => data.get(key).cloned().ok_or_else(|| format!("{secret} has no key {key}")),
        Some(Found::Missing) => Err(format!("{secret} is not there")),
        Some(Found::Unreadable(why)) => Err(format!("{secret}: {why}")),
        None => Err(format!("{secret} was not read yet")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn route(tls: &Value, suspend: bool) -> ModelRoute {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "r", "namespace": "ml"},
            "spec": {
                "models": ["m"], "backends": [{"modelDeploymentRef": {"name": "m"}}], "tls": tls, "suspend": suspend,
            },
        }))
        .expect("a ModelRoute")
    }

    fn all() -> Value {
        json!({"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "own"}, "serverName": "h"})
    }

    fn name(secret: &str) -> (String, String) {
        ("ml".to_owned(), secret.to_owned())
    }

    fn with(keys: &[&str]) -> BTreeMap<String, Vec<u8>> {
        keys.iter().map(|key| ((*key).to_owned(), key.as_bytes().to_vec())).collect()
    }

    #[test]
    fn only_what_served_routes_name_is_read() {
        assert_eq!(named(Driver::Gateway, &[route(&all(), false), route(&all(), false)]), [name("ca"), name("own")]);
        assert_eq!(named(Driver::Gateway, &[route(&json!({}), false), route(&all(), true)]), []);
    }

    #[test]
    fn routes_speak_tls_by_what_was_read_and_else_say_why_not() {
        let route = route(&all(), false);
        let tls = route.spec.tls.as_ref().expect("TLS");
        let mut known = Known::new();
        let said = |known: &Known| match upstream_tls("ml", tls, known) {
            UpstreamTls::NotReady(why) => why,
            UpstreamTls::Spoken(settings) => format!("{settings:?}"),
        };
        assert_eq!(said(&known), "the Secret ml/ca was not read yet");
        for (secret, read, expected) in [
            ("ca", Err("no way".to_owned()), "the Secret ml/ca: no way"),
            ("ca", Ok(None), "the Secret ml/ca is not there"),
            ("ca", Ok(Some(with(&["tls.crt"]))), "the Secret ml/ca has no key ca.crt"),
            ("ca", Ok(Some(with(&["ca.crt"]))), "the Secret ml/own was not read yet"),
            ("own", Ok(Some(with(&["tls.crt"]))), "the Secret ml/own has no key tls.key"),
            ("own", Ok(Some(with(&["tls.crt", "tls.key"]))), "TlsSettings"),
            // What is known stays while it cannot be read, and goes with the Secret.
            ("own", Err("no way".to_owned()), "TlsSettings"),
            ("own", Ok(None), "the Secret ml/own is not there"),
        ] {
            take(&mut known, name(secret), read);
            assert!(said(&known).starts_with(expected), "{} is not {expected}", said(&known));
        }
        take(&mut known, name("own"), Ok(Some(with(&["tls.crt", "tls.key"]))));
        let settings = settings("ml", tls, &known).expect("all is there");
        assert_eq!((settings.authorities, settings.server_name), (Some(b"ca.crt".to_vec()), Some("h".to_owned())));
        assert!(!format!("{:?}", settings.client).contains("116, 108, 115, 46, 107"), "the key is not shown");
    }
}
