//! What several clusters say, on a clock that goes on by itself when nothing else does.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::belief::Last;
use super::stand_in::{ApiServer, State};
use super::{Asked, Known, Said, follow};

/// A gateway that asks.
struct Asking {
    known: watch::Sender<Known>,
    said: watch::Receiver<Said>,
    _task: AbortOnDropHandle<()>,
}

impl Asking {
    fn start(own: Option<&ApiServer>, others: &[(&str, &Arc<Client>)]) -> Self {
        let (known, asked) = watch::channel(Known::default());
        let own = own.map(|server| ("own".to_owned(), (*server.client()).clone()));
        let (saying, said) = watch::channel(Said::new());
        let task = AbortOnDropHandle::new(tokio::spawn(follow(Asked { own, known: asked, namespace: None }, saying)));
        let asking = Self { known, said, _task: task };
        asking.may_ask(others);
        asking
    }

    /// For these there are kubeconfigs from now on.
    fn may_ask(&self, others: &[(&str, &Arc<Client>)]) {
        let all = others.iter().map(|(name, client)| ((*name).to_owned(), (*client).clone()));
        self.known.send_replace(Arc::new(all.collect()));
    }

    /// Waits until this is what is known.
    async fn until(&mut self, expected: &[&str]) {
        let waiting = timeout(Duration::from_hours(1), async {
            while self.now() != expected {
                self.said.changed().await.expect("it goes on");
            }
        });
        let has_come = waiting.await.is_ok();
        assert!(has_come, "{:?} instead of {expected:?}", self.now());
    }

    /// The pods of each cluster, with `old` where it could not be watched for a while.
    fn now(&self) -> Vec<String> {
        let text = |(name, last): (&String, &Last)| {
            let pods: Vec<_> = last.pods.of("ml", "llama").map(|pod| pod.address.as_str()).collect();
            format!("{name}{}: {}", if last.is_old { ", old" } else { "" }, pods.join(" "))
        };
        let mut all: Vec<_> = self.said.borrow().iter().map(text).collect();
        all.sort();
        all
    }
}

#[tokio::test(start_paused = true)]
async fn each_cluster_is_followed_as_long_as_there_is_a_kubeconfig() {
    let [own, a, b] = [&["10.0.0.1"], &["10.1.0.1"], &["10.2.0.1"]].map(|pods| ApiServer::new(State::Has(pods)));
    let (client_a, client_b) = (a.client(), b.client());
    let mut asking = Asking::start(Some(&own), &[("a", &client_a), ("b", &client_b)]);
    asking.until(&["a: 10.1.0.1", "b: 10.2.0.1", "own: 10.0.0.1"]).await;
    a.becomes(State::Has(&[]));
    asking.until(&["a: ", "b: 10.2.0.1", "own: 10.0.0.1"]).await;
    a.becomes(State::Has(&["10.1.0.2", "10.1.0.3"]));
    own.becomes(State::Has(&["10.0.0.2"]));
    asking.until(&["a: 10.1.0.2 10.1.0.3", "b: 10.2.0.1", "own: 10.0.0.2"]).await;
    asking.may_ask(&[("b", &client_b)]);
    asking.until(&["b: 10.2.0.1", "own: 10.0.0.2"]).await;
    // What is new of the others is told on.
    b.becomes(State::Has(&["10.2.0.2"]));
    asking.until(&["b: 10.2.0.2", "own: 10.0.0.2"]).await;
}

#[tokio::test(start_paused = true)]
async fn another_kubeconfig_changes_nothing_until_it_leads_somewhere() {
    let (before, after) = (ApiServer::new(State::Has(&["10.1.0.1"])), ApiServer::new(State::Gone));
    let mut asking = Asking::start(None, &[("a", &before.client())]);
    asking.until(&["a: 10.1.0.1"]).await;
    asking.may_ask(&[("a", &after.client())]);
    sleep(Duration::from_secs(59)).await;
    assert_eq!(asking.now(), ["a: 10.1.0.1"]);
    asking.until(&["a, old: 10.1.0.1"]).await;
    after.becomes(State::Has(&["10.1.0.2"]));
    asking.until(&["a: 10.1.0.2"]).await;
    let asked = before.requests();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(before.requests(), asked, "the one before is not asked any more");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_last_gets_old_when_nothing_is_heard_any_more() {
    let server = ApiServer::new(State::Has(&["10.1.0.1"]));
    let mut asking = Asking::start(None, &[("a", &server.client())]);
    asking.until(&["a: 10.1.0.1"]).await;
    // A short break is none, even if nothing has changed meanwhile.
    server.becomes(State::Gone);
    sleep(Duration::from_secs(20)).await;
    server.becomes(State::Has(&["10.1.0.1"]));
    sleep(Duration::from_mins(10)).await;
    assert_eq!(asking.now(), ["a: 10.1.0.1"]);
    server.becomes(State::Gone);
    sleep(Duration::from_secs(59)).await;
    assert_eq!(asking.now(), ["a: 10.1.0.1"]);
    asking.until(&["a, old: 10.1.0.1"]).await;
    server.becomes(State::Has(&["10.1.0.1"]));
    asking.until(&["a: 10.1.0.1"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_knows_nothing_and_asks_seldom() {
    let server = ApiServer::new(State::Forbids);
    let mut asking = Asking::start(None, &[("a", &server.client())]);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(asking.now(), Vec::<String>::new());
    assert!((2..=21).contains(&server.requests()), "{} requests in ten minutes", server.requests());
    server.becomes(State::Has(&["10.1.0.1"]));
    asking.until(&["a: 10.1.0.1"]).await;
    // A right that is taken away is soon as one that was never there.
    server.becomes(State::Forbids);
    asking.until(&[]).await;
    server.becomes(State::Has(&["10.1.0.1"]));
    asking.until(&["a: 10.1.0.1"]).await;
    server.becomes(State::Gone);
    asking.until(&["a, old: 10.1.0.1"]).await;
    server.becomes(State::Forbids);
    asking.until(&[]).await;
}
