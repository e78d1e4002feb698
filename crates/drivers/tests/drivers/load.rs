//! Steady load, and what became of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::balancer::LONG;
use crate::client::{Asked, Client, PAUSE, Unanswered};

/// What became of requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many each replica answered.
    pub answered: BTreeMap<String, usize>,
    /// Kept connections that ended as the next request was on its way.
    pub raced: usize,
    /// Everything else that was no good answer.
    pub failed: Vec<String>,
}

impl Outcome {
    pub fn total(&self) -> usize {
        self.answered.values().sum()
    }

    #[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
    pub fn share(&self, name: &str) -> f64 {
        self.answered.get(name).map_or(0.0, |count| *count as f64 / self.total() as f64)
    }
}

/// Clients that ask one after the other, each over one connection as long as that lasts.
pub struct Load {
    clients: JoinSet<()>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Load {
    pub fn start(address: SocketAddr, host: &'static str, path: &'static str, clients: usize) -> Self {
        let (mut all, outcome) = (JoinSet::new(), Arc::<Mutex<Outcome>>::default());
        for _ in 0..clients {
            all.spawn(ask_for_ever(Client::new(address), Asked { host, path, header: None }, outcome.clone()));
        }
        Self { clients: all, outcome }
    }

    pub fn so_far(&self) -> Outcome {
        self.outcome.lock().unwrap().clone()
    }

    /// Waits until exactly these have answered lately, and others no more.
    pub async fn is_answered_by(&self, expected: &[&str]) {
        let began = Instant::now();
        let mut answering = Vec::new();
        while began.elapsed() < LONG {
            let before = self.so_far().answered;
            let enough = self.so_far().total() + 20 * expected.len();
            while self.so_far().total() < enough && began.elapsed() < LONG {
                sleep(PAUSE).await;
            }
            let now = self.so_far().answered;
            answering =
                now.into_iter().filter(|(name, count)| before.get(name) != Some(count)).map(|(name, _)| name).collect();
            if answering == expected {
                return;
            }
        }
        panic!("{answering:?} answer instead of {expected:?}; failed: {:?}", self.so_far().failed);
    }

    /// Ends it, and tells all.
    pub async fn stop(mut self) -> Outcome {
        self.clients.shutdown().await;
        self.so_far()
    }
}

/// Until so many have been answered.
pub async fn ask(
    address: SocketAddr,
    host: &'static str,
    path: &'static str,
    clients: usize,
    requests: usize,
) -> Outcome {
    let load = Load::start(address, host, path, clients);
    let began = Instant::now();
    while load.so_far().total() < requests {
        assert!(began.elapsed() < LONG, "too slow: {:?}", load.so_far());
        sleep(PAUSE).await;
    }
    load.stop().await
}

async fn ask_for_ever(mut client: Client, asked: Asked<'static>, outcome: Arc<Mutex<Outcome>>) {
    loop {
        let answer = client.get(asked).await;
        {
            let mut outcome = outcome.lock().unwrap();
            match answer {
                Ok(answer) if answer.status == StatusCode::OK => {
                    *outcome.answered.entry(answer.server().unwrap().to_owned()).or_default() += 1;
                }
                Ok(answer) => outcome.failed.push(format!("{}: {:?}", answer.status, answer.body)),
                Err(Unanswered::Raced) => outcome.raced += 1,
                Err(Unanswered::Failed(why)) => outcome.failed.push(why),
            }
        }
        sleep(PAUSE).await;
    }
}
