//! The certificates and kubeconfigs of a cluster: an authority of its own, made once and kept over restarts.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::addresses::{API_SERVER_PORT, Index};
use crate::error::LabError;
use crate::state::write_atomically;

/// Where a cluster's keys and kubeconfigs are.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
}

/// Who a certificate speaks for: Kubernetes takes the common name as the user, the organisation as the group.
struct Identity<'a> {
    file: &'a str,
    user: &'a str,
    group: Option<&'a str>,
}

/// Who the API server is to servers of further APIs, which take a caller's name from it and from nobody else.
pub(crate) const FRONT_PROXY: &str = "front-proxy-client";

const CLIENTS: [Identity; 6] = [
    Identity { file: "admin", user: "skyfleet-lab-admin", group: Some("system:masters") },
    Identity { file: "apiserver-kubelet-client", user: "kube-apiserver-kubelet-client", group: Some("system:masters") },
    Identity { file: "controller-manager", user: "system:kube-controller-manager", group: None },
    Identity { file: "scheduler", user: "system:kube-scheduler", group: None },
    Identity { file: "proxy", user: "system:kube-proxy", group: None },
    Identity { file: FRONT_PROXY, user: FRONT_PROXY, group: None },
];

impl Credentials {
    pub(crate) fn in_folder(cluster_folder: &Path) -> Self {
        Self { folder: cluster_folder.join("pki") }
    }

    /// `ca.crt`, `apiserver.key` and the like.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The kubeconfig of `admin`, `controller-manager`, `scheduler`, `proxy` or `node`.
    pub(crate) fn kubeconfig(&self, identity: &str) -> PathBuf {
        self.folder.join(format!("{identity}.kubeconfig"))
    }

    /// Makes everything, unless it has been made.
    pub(crate) fn create(&self, node: &str, index: Index) -> Result<(), LabError> {
        let complete = self.file("complete");
        if complete.exists() {
            return Ok(());
        }
        let authority = authority(node)?;
        self.write("ca.crt", &authority.pem())?;
        self.write("ca.key", &authority.key().serialize_pem())?;
        let service_accounts = KeyPair::generate()?;
        self.write("service-account.key", &service_accounts.serialize_pem())?;
        self.write("service-account.pub", &service_accounts.public_key_pem())?;

        let kubernetes = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        let addresses = [IpAddr::from([127, 0, 0, 1]), index.node().into(), index.kubernetes_service().into()];
        self.issue(&authority, "apiserver", &server(&kubernetes, &addresses)?)?;
        self.issue(&authority, "kubelet", &server(&[node], &[index.node().into()])?)?;

        let node_user = format!("system:node:{node}");
        let node_client = Identity { file: "node", user: &node_user, group: Some("system:nodes") };
        for identity in CLIENTS.iter().chain([&node_client]) {
            self.issue(&authority, identity.file, &client(identity)?)?;
            self.write_kubeconfig(node, index, identity)?;
        }
        write_atomically(&complete, b"")
    }

    fn issue(
        &self,
        authority: &CertifiedIssuer<'_, KeyPair>,
        name: &str,
        params: &CertificateParams,
    ) -> Result<(), LabError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, content: &str) -> Result<(), LabError> {
        write_atomically(&self.file(name), content.as_bytes())
    }

    fn write_kubeconfig(&self, cluster: &str, index: Index, identity: &Identity<'_>) -> Result<(), LabError> {
        let read = |name: String| {
            let path = self.file(&name);
            fs::read(&path).map(ByteString).map_err(LabError::file("read", &path))
        };
        let Identity { file, user, .. } = identity;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [{ "name": cluster, "cluster": {
                "server": format!("https://{}:{API_SERVER_PORT}", index.node()),
                "certificate-authority-data": read("ca.crt".into())?,
            } }],
            "users": [{ "name": user, "user": {
                "client-certificate-data": read(format!("{file}.crt"))?,
                "client-key-data": read(format!("{file}.key"))?,
            } }],
            "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": user } }],
        });
        let path = self.kubeconfig(file);
        let text = serde_yaml::to_string(&kubeconfig)
            .map_err(|error| LabError::State { path: path.clone(), reason: error.to_string() })?;
        write_atomically(&path, text.as_bytes())
    }
}

fn authority(cluster: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = named(&format!("skyfleet-lab-{cluster}"), None, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server(names: &[&str], addresses: &[IpAddr]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = named(names.first().copied().unwrap_or_default(), None, names)?;
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client(identity: &Identity<'_>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = named(identity.user, identity.group, &[])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn named(common_name: &str, organisation: Option<&str>, dns_names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(dns_names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
