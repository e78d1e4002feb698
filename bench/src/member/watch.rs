//! Watches.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::answer::{Form, Refusal};
use super::selector::Selector;
use super::server::Shared;
use super::store::{Event, Key};
use super::target::{Query, Target};

/// For a watch that does not say how long it shall be.
const USUAL_SECONDS: u64 = 1800;

struct Watch {
    shared: Arc<Shared>,
    target: Target,
    selector: Selector,
    form: Form,
    bookmarks: bool,
    /// What there is, for a watch that begins with a list.
    initial: bool,
    version: u64,
    versions: Receiver<u64>,
    end: Instant,
    over: bool,
}

/// The events of a collection from the version that the query names, one JSON line each.
pub(super) fn events(
    shared: Arc<Shared>,
    target: Target,
    query: &Query,
    form: Form,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let from = query.number("resourceVersion").filter(|version| *version > 0);
    let watch = Watch {
        versions: shared.store.versions(),
        version: from.unwrap_or_default(),
        initial: from.is_none() || query.is_true("sendInitialEvents"),
        shared,
        target,
        selector: query.selector(),
        form,
        bookmarks: query.is_true("allowWatchBookmarks"),
        end: Instant::now() + Duration::from_secs(query.number("timeoutSeconds").unwrap_or(USUAL_SECONDS)),
        over: false,
    };
    stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok(Bytes::from(lines)), watch))
    })
}

impl Watch {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            self.shared.hole.passed().await;
            if self.over {
                return None;
            }
            let lines = if self.initial { self.what_there_is() } else { self.what_is_new() };
            if !lines.is_empty() {
                return Some(lines);
            }
            tokio::select! {
                // The store lives as long as this watch.
                _new = self.versions.changed() => {}
                () = sleep_until(self.end) => {
                    self.over = true;
                    if self.bookmarks && !self.shared.hole.is_on() {
                        return Some(self.bookmark(false));
                    }
                }
            }
        }
    }

    fn what_there_is(&mut self) -> String {
        self.initial = false;
        let page = self.shared.store.list(&self.target.resource, |key, object| self.wants(key, object), None, None);
        self.version = page.version;
        let mut lines: String = page.items.iter().map(|object| self.line("ADDED", object)).collect();
        if self.bookmarks {
            lines += &self.bookmark(true);
        }
        lines
    }

    fn what_is_new(&mut self) -> String {
        self.versions.mark_unchanged();
        let Some((events, version)) = self.shared.store.events_after(&self.target.resource, self.version) else {
            self.over = true;
            let gone = Refusal::new(StatusCode::GONE, "Expired", "too old resource version").status();
            return format!("{}\n", json!({"type": "ERROR", "object": gone}));
        };
        self.version = version;
        let wanted = |event: &&Event| self.wants(&event.key, &event.object);
        events.iter().filter(wanted).map(|event| self.line(event.type_, &event.object)).collect()
    }

    fn wants(&self, key: &Key, object: &Value) -> bool {
        self.target.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.selector.matches(object)
    }

    fn line(&self, type_: &str, object: &Arc<Value>) -> String {
        format!("{{\"type\":\"{type_}\",\"object\":{}}}\n", self.form.of_object(object))
    }

    fn bookmark(&self, after_all: bool) -> String {
        let (kind, version) = self.target.kind().unwrap_or(("Object", "v1"));
        let annotations = if after_all { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
        let metadata = json!({"resourceVersion": self.version.to_string(), "annotations": annotations});
        let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }
}
