//! Events of the hub's objects. They are written beside the passes, one after the other: to tell what happened must hold up
//! nothing that has to happen, and conditions say what lasts.

use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Events that wait to be written; those beyond are left out.
const WAITING: usize = 4096;
/// For the hub to take one.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// For those that wait when the operator stops.
const LAST_LIMIT: Duration = Duration::from_secs(3);
/// An event's note holds 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Takes events.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<(Event, ObjectReference)>);

/// Writes the events that were taken.
pub(super) struct Writer {
    waiting: mpsc::Receiver<(Event, ObjectReference)>,
    recorder: Recorder,
}

/// The two ends of a queue of events.
pub(super) fn events(recorder: Recorder) -> (Events, Writer) {
    let (sender, waiting) = mpsc::channel(WAITING);
    (Events(sender), Writer { waiting, recorder })
}

impl Events {
    /// Has an event about an object written soon. A note that is too long loses its end.
    pub(crate) fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: &str, warning: bool) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(shortened(note).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, object.object_ref(&()))).is_err() {
            tracing::warn!(
                kind = %K::kind(&()), name = object.meta().name, reason,
                "an event is left out: more of them wait than the hub takes; the status says the same"
            );
        }
    }
}

impl Writer {
    /// Writes events while `work` goes on, and what is left when it has ended.
    pub(super) async fn write_during(mut self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = self.write_all() => work.await,
        }
        self.waiting.close();
        if timeout(LAST_LIMIT, self.write_all()).await.is_err() {
            tracing::warn!(left_out = self.waiting.len(), "the hub did not take the last events in time");
        }
    }

    /// Ends when no more can come.
    async fn write_all(&mut self) {
        while let Some((event, about)) = self.waiting.recv().await {
            let error = match timeout(WRITE_LIMIT, self.recorder.publish(&event, &about)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {WRITE_LIMIT:?}"),
            };
            tracing::warn!(error, "an event could not be written; the status says the same");
        }
    }
}

/// As much of the note as an event holds, up to the end of a character.
fn shortened(note: &str) -> &str {
    &note[..note.floor_char_boundary(LONGEST_NOTE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_its_field_in_bytes() {
        let long = "é".repeat(600);
        assert_eq!(shortened(&long).len(), 1000);
        assert_eq!(shortened("short"), "short");
    }
}
