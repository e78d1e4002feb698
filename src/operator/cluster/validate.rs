//! Checks a Cluster: a connection without anything dangerous in it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use skyfleet_api::ClusterSpec;
use skyfleet_api::conditions::Reason;

use super::dereference::secret_name;
use crate::operator::fleet::{Connection, from_kubeconfig, from_parts};

/// Why a Cluster is not connected to: the reason and the message of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The connection that a Cluster and its Secret give.
pub(super) fn connection(
    spec: &ClusterSpec,
    secret: Option<&BTreeMap<String, ByteString>>,
    namespace: &str,
) -> Result<Connection, Refusal> {
    let name = secret_name(spec).unwrap_or_default();
    let Some(data) = secret else {
        let message = format!("there is no Secret {name:?} in the operator's namespace {namespace:?}: make it there");
        return Err(Refusal::new(Reason::ReferenceNotFound, message));
    };
    let refused = |why: String| Refusal::new(Reason::InvalidCredentials, format!("Secret {name:?}: {why}"));
    if let Some(reference) = &spec.connection.kubeconfig_secret_ref {
        let content = data.get(&reference.key).ok_or_else(|| refused(format!("it has no key {:?}", reference.key)))?;
        let text = std::str::from_utf8(&content.0).map_err(|_| refused(format!("{:?} is not text", reference.key)))?;
        return from_kubeconfig(text).map_err(|error| refused(error.to_string()));
    }
    let server = spec.connection.server.as_deref().unwrap_or_default();
    from_parts(server, spec.connection.ca_bundle.as_ref(), data).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(connection: &serde_json::Value) -> ClusterSpec {
        serde_json::from_value(json!({"provider": "aws", "region": "r", "connection": connection})).expect("a spec")
    }

    fn secret(key: &str, value: &str) -> BTreeMap<String, ByteString> {
        BTreeMap::from([(key.to_owned(), ByteString(value.as_bytes().to_vec()))])
    }

    fn refusal(spec: &ClusterSpec, secret: Option<&BTreeMap<String, ByteString>>) -> Refusal {
        match connection(spec, secret, "skyfleet-system") {
            Ok(_) => panic!("it was taken"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        let kubeconfig = spec(&json!({"kubeconfigSecretRef": {"name": "k", "key": "kubeconfig"}}));
        for (secret, reason, said) in [
            (None, Reason::ReferenceNotFound, "no Secret \"k\" in the operator's namespace"),
            (Some(secret("other", "x")), Reason::InvalidCredentials, "no key \"kubeconfig\""),
            (Some(secret("kubeconfig", "{}")), Reason::InvalidCredentials, "current-context"),
        ] {
            let refusal = refusal(&kubeconfig, secret.as_ref());
            assert_eq!(refusal.reason, reason);
            assert!(refusal.message.contains(said), "{}", refusal.message);
        }
    }

    #[test]
    fn a_server_with_a_token_is_a_connection() {
        let spec = spec(&json!({"server": "https://a", "credentialsSecretRef": {"name": "c"}}));
        assert!(connection(&spec, Some(&secret("token", "t")), "n").is_ok());
    }
}
