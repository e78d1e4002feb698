//! Load on the example's replicas, and what they report of it.

use std::time::Duration;

use serde_json::{Value, json};
use skyfleet_e2e::fleet::{Fleet, HUB, NAMESPACE, embed};
use tokio::task::JoinSet;

use super::fleet_state::json;

/// Requests that are under way at any moment, in each cluster.
const CLIENTS: usize = 4;

/// What the example inference server reports.
pub(super) fn metrics() -> Value {
    json!({
        "inFlight": "inference_requests_in_flight", "queued": "inference_requests_queued",
        "requests": "inference_requests_total", "errors": "inference_request_errors_total",
        "timeToFirstToken": "inference_request_duration_seconds",
    })
}

/// Clients that ask without a pause until they are ended.
pub(super) struct Load(JoinSet<()>);

impl Load {
    /// Puts load on some members.
    pub(super) async fn start(fleet: &Fleet, members: &[&str]) -> Self {
        let mut load = Self(JoinSet::new());
        let status = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
        let placements = status["status"]["placements"].as_array().unwrap();
        for placement in placements.iter().filter(|of| members.contains(&of["cluster"].as_str().unwrap())) {
            let endpoint = placement["endpoint"].as_str().unwrap();
            for _ in 0..CLIENTS {
                load.0.spawn(ask_for_ever(endpoint.to_owned(), "a rather long sentence ".repeat(20), Duration::ZERO));
            }
        }
        load
    }

    /// Adds one client of a member that asks for little, now and then.
    pub(super) async fn trickle(&mut self, fleet: &Fleet, member: &str) {
        let status = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
        let placements = status["status"]["placements"].as_array().unwrap();
        let placement = placements.iter().find(|of| of["cluster"] == member).unwrap();
        let endpoint = placement["endpoint"].as_str().unwrap().to_owned();
        self.0.spawn(ask_for_ever(endpoint, "short".to_owned(), Duration::from_millis(500)));
    }

    pub(super) async fn end(mut self) {
        self.0.shutdown().await;
    }
}

async fn ask_for_ever(endpoint: String, text: String, pause: Duration) {
    loop {
        let failed = embed(&endpoint, &text).await.is_err();
        tokio::time::sleep(if failed { Duration::from_millis(100) } else { pause }).await;
    }
}
