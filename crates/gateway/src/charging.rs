//! Who asks, and for how much.

use http::HeaderMap;
use skyfleet_balance::affinity::hash;

use crate::body::Content;
use crate::limits::Reached;
use crate::openai;
use crate::proxy::Client;
use crate::record::Record;
use crate::route::Route;

/// Who asks, as far as limits and queues tell clients apart.
pub(crate) fn who(route: &Route, headers: &HeaderMap, client: Client) -> u64 {
    let header = route.config.limits.client_header.as_ref();
    match header.and_then(|name| headers.get(name)) {
        Some(value) => hash(value.as_bytes()),
        None => hash(client.address.ip().to_string().as_bytes()),
    }
}

/// Reserves the request, and the tokens that it is likely to use, where they are limited.
pub(crate) fn reserve(route: &Route, who: u64, content: &Content, record: &mut Record) -> Result<(), Reached> {
    let Some(limiter) = &route.limiter else { return Ok(()) };
    let (prompt, answer) = match content {
        Content::Whole(Some(body)) if route.config.limits.counts_tokens() => openai::expected_tokens(body),
        Content::Whole(_) | Content::Streamed(_) | Content::Kept(_) => (0, 0),
    };
    record.prompt_tokens = prompt;
    record.charge = Some(limiter.reserve(who, prompt.saturating_add(answer))?);
    Ok(())
}
