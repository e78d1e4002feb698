//! A small steady load that counts what fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::calls::Calls;
use crate::support::post;

/// Between an answer and the same client's next request.
const PAUSE: Duration = Duration::from_millis(40);

/// What clients of HTTP and of gRPC send all the time.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Counted>>,
}

/// How many went well, and why the others did not.
#[derive(Debug, Default)]
struct Counted {
    answered: usize,
    failed: Vec<String>,
}

impl Load {
    /// Two clients that ask for the model, and one that calls.
    pub(super) fn start(address: &str, model: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asking = (0..2).map(|_| {
            let (stop, address) = (stop.clone(), address.to_owned());
            tokio::spawn(until(stop, async move || ask(&address, model).await))
        });
        let (stops, address) = (stop.clone(), address.to_owned());
        let calling = tokio::spawn(async move {
            let mut calls = Calls::connect(&address).await;
            until(stops, async move || calls.call("ModelInfer", "x").await.map(drop)).await
        });
        Self { clients: asking.chain([calling]).collect(), stop }
    }

    /// How many were answered by clients of HTTP and of gRPC; none may have failed.
    pub(super) async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = Vec::new();
        for client in self.clients {
            let counted = client.await.unwrap();
            assert!(counted.failed.is_empty(), "{} answered, and {:?}", counted.answered, counted.failed);
            answered.push(counted.answered);
        }
        let calls = answered.pop().unwrap();
        (answered.iter().sum(), calls)
    }
}

async fn until(stop: Arc<AtomicBool>, mut ask: impl AsyncFnMut() -> Result<(), String>) -> Counted {
    let mut counted = Counted::default();
    while !stop.load(Ordering::Relaxed) {
        match ask().await {
            Ok(()) => counted.answered += 1,
            Err(error) => counted.failed.push(error),
        }
        sleep(PAUSE).await;
    }
    counted
}

/// A short stream of the model, whole.
pub(super) async fn ask(address: &str, model: &str) -> Result<(), String> {
    let body = json!({"model": model, "stream": true, "max_tokens": 1, "messages": []}).to_string();
    let answer = post(address, "/v1/chat/completions", &body).await?;
    if answer.contains("data: [DONE]") { Ok(()) } else { Err(answer) }
}
