//! Steady load on every member that serves, and how many replicas serve meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::fleet::{MEMBERS, MODEL, Members};
use crate::support::{eventually, get};

/// Between two requests to one member.
const PACE: Duration = Duration::from_millis(50);
/// Between two looks at the members' ready replicas.
const LOOK: Duration = Duration::from_millis(200);

/// What was seen while load ran.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Requests answered, by member.
    pub(super) answered: BTreeMap<String, usize>,
    /// Requests that failed, by member.
    pub(super) failed: BTreeMap<String, usize>,
    /// Ready replicas, over all members that answered, and when they were counted.
    pub(super) ready: Vec<(Instant, i32)>,
}

impl Seen {
    fn take_down(&mut self, member: &str, answered: bool) {
        let outcome = if answered { &mut self.answered } else { &mut self.failed };
        *outcome.entry(member.to_owned()).or_default() += 1;
    }
}

/// Load that runs until it is ended.
pub(super) struct Load {
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Puts load on every member that the status names an endpoint of, and counts ready replicas.
    pub(super) async fn start(members: &Members) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let status = members.status().await;
        for placement in status["placements"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (member, endpoint) = (text(&placement["cluster"]), text(&placement["endpoint"]));
            // A pod is ready a moment before its node's rules lead to it.
            eventually(&endpoint, || get(&endpoint, "/static/hello")).await;
            tasks.spawn(ask_for_ever(member, endpoint, seen.clone()));
        }
        let mut counted = Vec::new();
        for member in MEMBERS {
            counted.push(Api::<Deployment>::default_namespaced(members.client(member).await));
        }
        tasks.spawn(count_for_ever(counted, seen.clone()));
        Self { seen, tasks }
    }

    /// Forgets what was seen up to now.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(super) async fn end(mut self) -> Seen {
        self.tasks.shutdown().await;
        self.take()
    }
}

async fn ask_for_ever(member: String, endpoint: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let answer = timeout(Duration::from_secs(2), get(&endpoint, "/static/hello")).await;
        seen.lock().unwrap().take_down(&member, matches!(answer, Ok(Ok(_))));
        sleep(PACE).await;
    }
}

async fn count_for_ever(members: Vec<Api<Deployment>>, seen: Arc<Mutex<Seen>>) {
    loop {
        let ready = members.iter().map(|api| async {
            let found = timeout(Duration::from_secs(1), api.get_opt(MODEL)).await.ok()?.ok()??;
            found.status?.ready_replicas
        });
        let ready: i32 = futures::future::join_all(ready).await.into_iter().flatten().sum();
        seen.lock().unwrap().ready.push((Instant::now(), ready));
        sleep(LOOK).await;
    }
}
