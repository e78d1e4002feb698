//! Requests as they are on the wire.

use std::net::SocketAddr;

use skyfleet_gateway::config::{BackendConfig, Endpoint, EndpointConfig, RouteConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::balancer::LONG;
use crate::routes::{HOST, route};

/// The whole answer to `METHOD URI` with further lines of a head, over a connection of its own.
pub async fn ask(address: SocketAddr, line: &str, head: &str, body: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{head}\r\n{body}");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(LONG, exchange).await.expect("an answer")
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// The route of the usual host to a server.
pub fn to_server(host: &str, port: u16) -> RouteConfig {
    let (cluster, name, host) = ("aws-1".to_owned(), "x".to_owned(), host.to_owned());
    let endpoint = Endpoint { cluster, name, host, port, is_relayed: false };
    let endpoints = vec![EndpointConfig { endpoint, weight: 1, egress_price: 0 }];
    let backends = vec![BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints }];
    RouteConfig { backends, ..route("llama", HOST, &[]) }
}
