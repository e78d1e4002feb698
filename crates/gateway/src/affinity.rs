//! What a request has in common with others that go to the same endpoint.

use http::request;
use skyfleet_balance::affinity::{hash, prefix_key};

use crate::body::Content;
use crate::config::{Affinity, AffinityBy};
use crate::cookie::{self, Session};
use crate::openai;
use crate::proxy::Client;
use crate::worker::Worker;

/// The key of a request, and the session that begins with it.
pub(crate) fn of(
    affinity: &Affinity,
    (head, content): (&request::Parts, &Content),
    client: Client,
    worker: &Worker,
) -> (Option<u64>, Option<Box<Session>>) {
    let key = match &affinity.by {
        AffinityBy::Cookie { name, ttl } => {
            if let Some(value) = cookie::value(&head.headers, name) {
                return (Some(hash(value)), None);
            }
            let session = Session::new(name, *ttl, client.scheme, worker.random());
            return (Some(session.key), Some(Box::new(session)));
        }
        AffinityBy::Header(name) => head.headers.get(name).map(|value| hash(value.as_bytes())),
        AffinityBy::ClientAddress => Some(hash(client.address.ip().to_string().as_bytes())),
        AffinityBy::PromptPrefix(bytes) => match content {
            Content::Whole(Some(body)) => openai::prompt(body).and_then(|prompt| prefix_key(prompt, *bytes, 1)),
            Content::Whole(None) | Content::Streamed(_) | Content::Kept(_) => None,
        },
    };
    (key, None)
}
