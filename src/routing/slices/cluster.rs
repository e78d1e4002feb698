//! The EndpointSlices of one cluster, as they change.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Error, ResourceExt as _};
use skyfleet_api::labels;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::belief::{Last, Said};
use crate::routing::pods::Pods;
use crate::watching;

/// After so long without a watch the hub may know better. The operator needs half of it to call a cluster silent: of one that is lost to
/// both the hub says so by then.
const OLD: Duration = Duration::from_mins(1);
/// Who has no right is asked again after this: rights that are given later count by then.
const REFUSED: Duration = Duration::from_secs(30);
/// Changes that are looked at together, if they come together.
const AT_ONCE: usize = 1024;

/// Tells what the EndpointSlices of a cluster say, as long as it is polled. That they cannot be watched is said once.
pub(super) async fn follow(cluster: String, api: Api<EndpointSlice>, said: Arc<watch::Sender<Said>>) {
    let (mut changes, mut contact) = (pin!(changes(api)), Contact::new(cluster, said));
    loop {
        let again = contact.again;
        let next = async {
            sleep_until(again).await;
            changes.next().await
        };
        tokio::select! {
            change = next => match change {
                Some(Ok(pods)) => contact.heard(pods),
                Some(Err(error)) => contact.failed(&error),
                None => return,
            },
            () = sleep_until(contact.old.unwrap_or(again)), if contact.old.is_some() => contact.ages(),
        }
    }
}

/// How it stands with a cluster.
struct Contact {
    cluster: String,
    said: Arc<watch::Sender<Said>>,
    is_broken: bool,
    /// It answers, and says no.
    is_refused: bool,
    backoff: ExponentialBackoff,
    /// When it is asked.
    again: Instant,
    /// When what it said last becomes old.
    old: Option<Instant>,
}

impl Contact {
    fn new(cluster: String, said: Arc<watch::Sender<Said>>) -> Self {
        let (backoff, again) = (watching::backoff(), Instant::now());
        Self { cluster, said, is_broken: false, is_refused: false, backoff, again, old: None }
    }

    fn heard(&mut self, pods: Pods) {
        if self.is_broken {
            tracing::info!(cluster = self.cluster, "its EndpointSlices are watched again");
        }
        self.backoff.reset();
        (self.old, self.is_broken) = (None, false);
        let last = Last { pods: Arc::new(pods), is_old: false };
        self.said.send_modify(|said| drop(said.insert(self.cluster.clone(), last)));
    }

    fn failed(&mut self, error: &watcher::Error) {
        self.is_refused = is_refusal(error);
        if !self.is_broken {
            tell(&self.cluster, error);
            (self.old, self.is_broken) = (Some(Instant::now() + OLD), true);
        } else if self.old.is_none() {
            self.ages();
        }
        self.again = Instant::now() + pause(error, self.backoff.next().unwrap_or_default());
    }

    fn ages(&mut self) {
        self.old = None;
        self.said.send_if_modified(|said| match said.get_mut(&self.cluster) {
            // Who may not know any more goes by the hub, as one that never might.
            Some(_) if self.is_refused => said.remove(&self.cluster).is_some(),
            Some(last) => !std::mem::replace(&mut last.is_old, true),
            None => false,
        });
    }
}

/// What all slices say, whenever that has changed. After an error another watch begins: only such a one says that it stands.
fn changes(api: Api<EndpointSlice>) -> impl Stream<Item = Result<Pods, watcher::Error>> {
    stream::unfold(None, move |watch: Option<BoxStream<'static, _>>| {
        let api = api.clone();
        async move {
            let mut watch = watch.unwrap_or_else(|| one_watch(api));
            let change: Result<_, _> = watch.next().await?;
            let goes_on = change.is_ok();
            Some((change, goes_on.then_some(watch)))
        }
    })
}

fn one_watch(api: Api<EndpointSlice>) -> BoxStream<'static, Result<Pods, watcher::Error>> {
    // A slice has the labels of its Service.
    let own = watching::config().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
    let (slices, writer) = reflector::store();
    let events = watcher::watcher(api, own).modify(|slice| slice.managed_fields_mut().clear()).reflect(writer);
    let changes = events.ready_chunks(AT_ONCE).filter_map(move |events| {
        let is_change = |event: &Event<_>| matches!(event, Event::InitDone | Event::Apply(_) | Event::Delete(_));
        let pods = match events.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(events) if !events.iter().any(is_change) => None,
            Ok(_) => Some(Ok(Pods::new(slices.state().iter().map(AsRef::as_ref)))),
            Err(error) => Some(Err(error)),
        };
        ready(pods)
    });
    changes.boxed()
}

fn pause(error: &watcher::Error, usual: Duration) -> Duration {
    if is_refusal(error) { REFUSED.max(usual) } else { usual }
}

/// Whether the API server knows who asks, and says no.
fn is_refusal(error: &watcher::Error) -> bool {
    use watcher::Error as Of;
    let (Of::InitialListFailed(error) | Of::WatchStartFailed(error) | Of::WatchFailed(error)) = error else {
        return false;
    };
    matches!(error, Error::Api(status) if status.is_forbidden())
}

fn tell(cluster: &str, error: &watcher::Error) {
    let help = if is_refusal(error) {
        "let the kubeconfig's user get, list and watch endpointslices for live endpoints"
    } else {
        "the gateway goes on by what they said last"
    };
    tracing::warn!(cluster, %error, help, "its EndpointSlices cannot be watched");
}
