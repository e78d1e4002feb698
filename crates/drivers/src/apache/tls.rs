//! TLS towards replicas: pure.

use std::collections::BTreeMap;
use std::path::Path;

use skyfleet_gateway::config::TlsSettings;

use super::names;
use super::settings::Settings;
use super::wanted::Pem;

/// The directives of a section, and the files that they name. A file's name tells what is in it: one that is used never changes.
pub(super) fn section(settings: &Settings, tls: &TlsSettings) -> (Vec<String>, BTreeMap<String, Pem>) {
    let mut files = BTreeMap::new();
    let mut file = |text: Vec<u8>| {
        let name = file_name(&text);
        let path = settings.certificate(&name);
        files.insert(name, Pem(text));
        path
    };
    let authorities = tls.authorities.clone().map_or_else(|| settings.authorities.clone(), &mut file);
    let mut section = vec![
        "SSLProxyEngine On".to_owned(),
        "SSLProxyVerify require".to_owned(),
        "SSLProxyVerifyDepth 10".to_owned(),
        "SSLProxyCheckPeerName On".to_owned(),
        "SSLProxyCheckPeerExpire On".to_owned(),
        directive("SSLProxyCACertificateFile", &authorities),
    ];
    if let Some(client) = &tls.client {
        let text = [&*client.certificate, b"\n", client.key.reveal()].concat();
        section.push(directive("SSLProxyMachineCertificateFile", &file(text)));
    }
    (section, files)
}

/// The name of the file of a certificate.
pub(super) fn file_name(text: &[u8]) -> String {
    format!("{}.pem", names::digest(text))
}

fn directive(name: &str, path: &Path) -> String {
    format!("{name} \"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::ClientCertificate;
    use skyfleet_gateway::tls::PrivatePem;

    use super::*;

    #[test]
    fn certificates_are_checked_and_keys_are_not_shown() {
        let client = ClientCertificate { certificate: b"cert".to_vec(), key: PrivatePem::new(b"secret".to_vec()) };
        let tls = TlsSettings { authorities: Some(b"ca".to_vec()), client: Some(client), server_name: None };
        let (section, files) = section(&Settings::default(), &tls);
        assert_eq!(files[&file_name(b"ca")].0, b"ca");
        assert_eq!(files[&file_name(b"cert\nsecret")].0, b"cert\nsecret");
        assert!(!format!("{files:?}").contains("secret"));
        for expected in ["SSLProxyVerify require", "SSLProxyCheckPeerName On"] {
            assert!(section.iter().any(|line| line == expected), "{section:?}");
        }
        let (section, files) = super::section(&Settings::default(), &TlsSettings::default());
        assert_eq!(section[5], "SSLProxyCACertificateFile \"/etc/ssl/certs/ca-certificates.crt\"");
        assert!(files.is_empty());
    }
}
