//! NGINX in a cluster, set up as an Ingress controller sets it up: by the names that requests and handshakes ask for.

use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use skyfleet_e2e::{Cluster, install};

use super::certificates::Issued;
use crate::paced::MODEL;

/// Where it listens, at the node's address.
pub(super) const PORT: u16 = 8443;

/// Starts it, with the model's Service behind this name.
pub(super) async fn start(cluster: &Cluster, host: &str, shown: &Issued) {
    install::check_balancers().unwrap();
    let services = Api::<Service>::default_namespaced(cluster.client().await.unwrap());
    let service = services.get(MODEL).await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let folder = cluster.folder().join("nginx");
    std::fs::create_dir(&folder).unwrap();
    for (name, content) in [
        ("tls.crt", &shown.certificate),
        ("tls.key", &shown.key),
        ("nginx.conf", &configuration(&format!("{}:{PORT}", cluster.address()), host, &service)),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let mut command = std::process::Command::new("nginx");
    command.arg("-p").arg(&folder).args(["-e", "stderr", "-c", "nginx.conf"]);
    cluster.spawn("nginx", &command).unwrap();
}

/// What it has seen: a line for each request, with status, name asked for, and name in the handshake.
pub(super) fn seen(cluster: &Cluster) -> Vec<String> {
    let log = std::fs::read_to_string(cluster.folder().join("nginx/access.log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Who asks for no name that is known gets what Ingress controllers call the default backend.
fn configuration(listen: &str, host: &str, service: &str) -> String {
    format!(
        r#"
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
events {{}}
http {{
    log_format names '$status $http_host $ssl_server_name $http_x_forwarded_host';
    access_log access.log names;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    ssl_certificate tls.crt;
    ssl_certificate_key tls.key;
    server {{
        listen {listen} ssl default_server;
        location / {{ return 404 "default backend\n"; }}
    }}
    server {{
        listen {listen} ssl;
        server_name {host};
        location / {{
            proxy_pass http://{service}:80;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_buffering off;
        }}
    }}
}}
"#
    )
}
