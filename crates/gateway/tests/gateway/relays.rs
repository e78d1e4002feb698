//! Endpoints that something else carries requests to.

use std::collections::HashMap;
use std::sync::Arc;

use skyfleet_gateway::Relay;
use skyfleet_gateway::config::{Config, Endpoint, EndpointConfig};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpStream;

use crate::replica::{Replica, ok};
use crate::running::{Running, everything};

/// Carries all to one address.
struct To(u16);

impl Relay for To {
    fn open(&self, _endpoint: &Endpoint) -> DuplexStream {
        let (near, mut far) = duplex(1024);
        let port = self.0;
        tokio::spawn(async move {
            let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ended = copy_bidirectional(&mut far, &mut there).await;
        });
        near
    }
}

fn relayed() -> EndpointConfig {
    let (cluster, name, host) = ("gcp-1".to_owned(), "service".to_owned(), "m.ml.svc".to_owned());
    let endpoint = Endpoint { cluster, name, host, port: 80, is_relayed: true };
    EndpointConfig { endpoint, weight: 1, egress_price: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_through_the_relay_of_a_cluster_and_elsewhere_without_one() {
    let replica = Replica::start(|_| ok("carried")).await;
    let running = Running::with(vec![relayed()]).await;
    let (status, body) = running.get("/").await;
    assert_eq!(status, 502);
    assert!(body.contains("--api-servers"), "{body}");
    let relay: Arc<dyn Relay> = Arc::new(To(replica.port));
    running.gateway.set_relays(HashMap::from([("gcp-1".to_owned(), relay)]));
    for _ in 0..5 {
        assert_eq!(running.get("/").await, (200, "carried".to_owned()));
    }
    // What cannot be carried has not been sent.
    running.gateway.set_relays(HashMap::new());
    let near = Replica::named("near").await;
    running.gateway.configure(Config { routes: vec![everything(vec![relayed(), near.endpoint()])] });
    for _ in 0..10 {
        let (status, body) = running.get("/").await;
        assert!(status == 200 && ["near", "carried"].contains(&body.as_str()), "{status} {body}");
    }
    running.until_idle().await;
}
