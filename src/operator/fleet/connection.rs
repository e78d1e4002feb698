//! From what a user gives to a connection: only address, authority, token and client certificate are taken; everything that
//! would run a program, read a file of the operator's or weaken TLS is refused with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::ByteString;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use serde_json::json;
use skyfleet_mirror::Sha256;

/// For a TCP and TLS connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request's bytes to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is needed to speak to a member, and nothing else. It holds secrets: it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    server: String,
    certificate_authority: Option<String>,
    token: Option<String>,
    client_certificate: Option<(String, String)>,
}

/// Why what a user gave is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    // The parser's own words could quote a secret.
    #[error("the Secret's content is not one kubeconfig in YAML or JSON")]
    NotAKubeconfig,
    #[error("the kubeconfig has no {0}")]
    Missing(&'static str),
    #[error("the kubeconfig's {field} is refused: {why}")]
    Refused { field: &'static str, why: &'static str },
    // Neither shows the address: there may be a password in it.
    #[error("the server is refused: only https:// keeps the credentials secret")]
    NotHttps,
    #[error("the server is refused: there is a user in its address (user@host); give a token or a client certificate")]
    UserInServer,
    #[error("the Secret needs either `token`, or `tls.crt` and `tls.key`")]
    NoCredentials,
    #[error("`{0}` in the Secret is not text")]
    NotText(&'static str),
    // The TLS library takes such a text for an empty list of authorities: every connection would then fail in the handshake.
    #[error("{0} has no certificate in it: it must be PEM (-----BEGIN CERTIFICATE-----), base64-encoded once")]
    NoAuthority(&'static str),
    #[error("no client can be made of it: {0}")]
    Client(String),
}

impl Connection {
    /// Tells one connection from another without telling what is in it.
    pub(crate) fn fingerprint(&self) -> String {
        let mut all = String::new();
        for part in [
            Some(&self.server),
            self.certificate_authority.as_ref(),
            self.token.as_ref(),
            self.client_certificate.as_ref().map(|(certificate, _)| certificate),
            self.client_certificate.as_ref().map(|(_, key)| key),
        ] {
            let part = part.map_or("", String::as_str);
            let _never_fails_on_a_string = write!(all, "{}:{part}", part.len());
        }
        Sha256::of(all.as_bytes()).to_string()
    }

    /// A client that speaks to the member.
    ///
    /// # Errors
    /// A certificate or key is none.
    pub(crate) async fn client(self) -> Result<Client, ConnectionError> {
        let refused = |error: &dyn std::fmt::Display| ConnectionError::Client(error.to_string());
        let mut config = Config::from_custom_kubeconfig(self.into_kubeconfig()?, &KubeConfigOptions::default())
            .await
            .map_err(|error| refused(&error))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(WRITE_TIMEOUT);
        Client::try_from(config).map_err(|error| refused(&error))
    }

    /// A kubeconfig made anew with what was taken: nothing that was not looked at can be in it.
    fn into_kubeconfig(self) -> Result<Kubeconfig, ConnectionError> {
        let (certificate, key) = self.client_certificate.unzip();
        let auth_info: AuthInfo = serde_json::from_value(json!({
            "token": self.token,
            "client-certificate-data": certificate,
            "client-key-data": key,
        }))
        .map_err(|_| ConnectionError::NotAKubeconfig)?;
        let name = "member".to_owned();
        Ok(Kubeconfig {
            clusters: vec![NamedCluster {
                name: name.clone(),
                cluster: Some(Cluster {
                    server: Some(self.server),
                    certificate_authority_data: self.certificate_authority,
                    ..Cluster::default()
                }),
                other: BTreeMap::new(),
            }],
            auth_infos: vec![NamedAuthInfo { name: name.clone(), auth_info: Some(auth_info), other: BTreeMap::new() }],
            contexts: vec![NamedContext {
                name: name.clone(),
                context: Some(Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() }),
                other: BTreeMap::new(),
            }],
            current_context: Some(name),
            ..Kubeconfig::default()
        })
    }
}

/// From `spec.connection.server`, its `caBundle`, and a Secret with credentials.
pub(crate) fn from_parts(
    server: &str,
    ca_bundle: Option<&ByteString>,
    secret: &BTreeMap<String, ByteString>,
) -> Result<Connection, ConnectionError> {
    let token = text(secret, "token")?.map(|token| token.trim().to_owned());
    let client_certificate = base64(secret, "tls.crt").zip(base64(secret, "tls.key"));
    if token.is_none() && client_certificate.is_none() {
        return Err(ConnectionError::NoCredentials);
    }
    let certificate_authority = authority("spec.connection.caBundle", ca_bundle.and_then(to_base64))?;
    Ok(Connection { server: https(server)?, certificate_authority, token, client_certificate })
}

/// From the current context of a kubeconfig.
pub(crate) fn from_kubeconfig(yaml: &str) -> Result<Connection, ConnectionError> {
    let kubeconfig = Kubeconfig::from_yaml(yaml).map_err(|_| ConnectionError::NotAKubeconfig)?;
    let (cluster, user) = current(kubeconfig)?;
    refuse_cluster(&cluster)?;
    refuse_user(&user)?;
    let server = https(cluster.server.as_deref().ok_or(ConnectionError::Missing("server"))?)?;
    // Secrets of these types don't show themselves; their text is had by serialising.
    let user = serde_json::to_value(&user).map_err(|_| ConnectionError::NotAKubeconfig)?;
    let field = |name: &str| user.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let token = field("token");
    let client_certificate = field("client-certificate-data").zip(field("client-key-data"));
    if token.is_none() && client_certificate.is_none() {
        return Err(ConnectionError::Missing("token, nor client-certificate-data with client-key-data, for its user"));
    }
    let certificate_authority =
        authority("the kubeconfig's certificate-authority-data", cluster.certificate_authority_data)?;
    Ok(Connection { server, certificate_authority, token, client_certificate })
}

fn current(kubeconfig: Kubeconfig) -> Result<(Cluster, AuthInfo), ConnectionError> {
    let name = kubeconfig.current_context.ok_or(ConnectionError::Missing("current-context"))?;
    let context = kubeconfig
        .contexts
        .into_iter()
        .find(|context| context.name == name)
        .and_then(|context| context.context)
        .ok_or(ConnectionError::Missing("context of the name that current-context gives"))?;
    let cluster = kubeconfig
        .clusters
        .into_iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster)
        .ok_or(ConnectionError::Missing("cluster of the name that the current context gives"))?;
    let user = kubeconfig
        .auth_infos
        .into_iter()
        .find(|user| Some(&user.name) == context.user.as_ref())
        .and_then(|user| user.auth_info)
        .ok_or(ConnectionError::Missing("user of the name that the current context gives"))?;
    Ok((cluster, user))
}

const IN_THE_OPERATOR: &str = "it would be read or run inside the operator";

fn refuse_cluster(cluster: &Cluster) -> Result<(), ConnectionError> {
    refuse_if(
        cluster.certificate_authority.is_some(),
        "certificate-authority",
        "it names a file: use certificate-authority-data",
    )?;
    refuse_if(cluster.proxy_url.is_some(), "proxy-url", "the credentials would pass through a proxy")?;
    refuse_if(
        cluster.insecure_skip_tls_verify == Some(true),
        "insecure-skip-tls-verify",
        "anybody could answer as the cluster",
    )?;
    refuse_if(cluster.tls_server_name.is_some(), "tls-server-name", "give the server by the name in its certificate")
}

fn refuse_user(user: &AuthInfo) -> Result<(), ConnectionError> {
    refuse_if(user.exec.is_some(), "exec", IN_THE_OPERATOR)?;
    refuse_if(user.auth_provider.is_some(), "auth-provider", IN_THE_OPERATOR)?;
    refuse_if(user.token_file.is_some(), "tokenFile", "it names a file: use token")?;
    refuse_if(user.client_certificate.is_some(), "client-certificate", "it names a file: use client-certificate-data")?;
    refuse_if(user.client_key.is_some(), "client-key", "it names a file: use client-key-data")?;
    refuse_if(
        user.username.is_some() || user.password.is_some(),
        "username and password",
        "Kubernetes no longer accepts them",
    )?;
    let impersonates =
        user.impersonate.is_some() || user.impersonate_groups.is_some() || user.impersonate_uid.is_some();
    refuse_if(impersonates, "act-as", "give the credentials of the user itself")
}

fn refuse_if(refused: bool, field: &'static str, why: &'static str) -> Result<(), ConnectionError> {
    if refused { Err(ConnectionError::Refused { field, why }) } else { Ok(()) }
}

fn https(server: &str) -> Result<String, ConnectionError> {
    let Some(rest) = server.strip_prefix("https://") else { return Err(ConnectionError::NotHttps) };
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(ConnectionError::UserInServer);
    }
    Ok(server.to_owned())
}

fn authority(field: &'static str, base64: Option<String>) -> Result<Option<String>, ConnectionError> {
    let Some(base64) = base64 else { return Ok(None) };
    let pem = serde_json::from_value::<ByteString>(json!(base64)).map(|decoded| decoded.0).unwrap_or_default();
    if String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        Ok(Some(base64))
    } else {
        Err(ConnectionError::NoAuthority(field))
    }
}

fn text(secret: &BTreeMap<String, ByteString>, key: &'static str) -> Result<Option<String>, ConnectionError> {
    secret
        .get(key)
        .map(|value| String::from_utf8(value.0.clone()).map_err(|_| ConnectionError::NotText(key)))
        .transpose()
}

fn base64(secret: &BTreeMap<String, ByteString>, key: &str) -> Option<String> {
    secret.get(key).and_then(to_base64)
}

/// A kubeconfig carries PEM base64-encoded, as a Secret does in JSON.
fn to_base64(value: &ByteString) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    const SERVER: &str = "server: 'https://10.0.0.1:6443'";
    /// How an authority begins.
    const AUTHORITY: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";

    #[test]
    fn address_authority_and_token_are_taken() {
        let text = kubeconfig(&format!("{SERVER}, certificate-authority-data: {AUTHORITY}"), "token: t0ken");
        let Ok(connection) = from_kubeconfig(&text) else { panic!("a good kubeconfig") };
        assert_eq!(connection.server, "https://10.0.0.1:6443");
        assert_eq!(connection.certificate_authority.as_deref(), Some(AUTHORITY));
        assert_eq!(connection.token.as_deref(), Some("t0ken"));
    }

    #[test]
    fn whatever_runs_reads_or_weakens_is_refused_by_name() {
        for (cluster, user, field) in [
            ("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}", "exec"),
            ("", "auth-provider: {name: gcp, config: {}}", "auth-provider"),
            ("", "tokenFile: /var/run/token", "tokenFile"),
            ("", "client-certificate: /tmp/a, client-key-data: a2V5", "client-certificate"),
            ("", "client-certificate-data: Y2VydA==, client-key: /tmp/k", "client-key"),
            ("", "username: a, password: b", "username and password"),
            ("", "token: t, as: admin", "act-as"),
            ("certificate-authority: /tmp/ca", "token: t", "certificate-authority"),
            ("proxy-url: 'http://proxy:8080'", "token: t", "proxy-url"),
            ("insecure-skip-tls-verify: true", "token: t", "insecure-skip-tls-verify"),
            ("tls-server-name: other", "token: t", "tls-server-name"),
        ] {
            let cluster = if cluster.is_empty() { SERVER.to_owned() } else { format!("{SERVER}, {cluster}") };
            let Err(error) = from_kubeconfig(&kubeconfig(&cluster, user)) else { panic!("{field} was taken") };
            assert!(
                matches!(&error, ConnectionError::Refused { field: found, .. } if *found == field),
                "{field}: {error}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, said) in [
            ("{}".to_owned(), "current-context"),
            (kubeconfig(SERVER, ""), "token, nor client-certificate-data"),
            (kubeconfig("server: 'http://10.0.0.1'", "token: t"), "only https://"),
            (kubeconfig("server: 'https://a:b@10.0.0.1'", "token: t"), "there is a user in its address"),
            (
                kubeconfig(&format!("{SERVER}, certificate-authority-data: Y2E="), "token: t"),
                "has no certificate in it",
            ),
            ("\tno yaml".to_owned(), "not one kubeconfig"),
        ] {
            let Err(error) = from_kubeconfig(&text) else { panic!("{text:?} was taken") };
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_secret_needs_a_token_or_a_whole_certificate() {
        let secret = |keys: &[&str]| {
            keys.iter().map(|key| ((*key).to_owned(), ByteString(b"value\n".to_vec()))).collect::<BTreeMap<_, _>>()
        };
        for keys in [vec!["token"], vec!["tls.crt", "tls.key"], vec!["token", "tls.crt"]] {
            assert!(from_parts("https://a", None, &secret(&keys)).is_ok(), "{keys:?}");
        }
        for keys in [vec![], vec!["tls.crt"], vec!["password"]] {
            assert!(
                matches!(from_parts("https://a", None, &secret(&keys)), Err(ConnectionError::NoCredentials)),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn another_token_is_another_connection() {
        let fingerprint = |token: &str| {
            from_kubeconfig(&kubeconfig(SERVER, &format!("token: {token}")))
                .map(|connection| connection.fingerprint())
                .ok()
        };
        assert_eq!(fingerprint("a"), fingerprint("a"));
        assert_ne!(fingerprint("a"), fingerprint("b"));
        assert!(!fingerprint("t0ken").unwrap_or_default().contains("t0ken"));
    }
}
