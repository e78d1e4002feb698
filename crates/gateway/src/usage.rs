//! How many tokens an answer says it took, counted as it passes: pure.

use serde::Deserialize;

/// Of an answer that is no stream, so many bytes are looked at.
const MOST: usize = 4 << 20;
/// Of a stream, an event that is longer is not looked into.
const LONGEST_EVENT: usize = 256 << 10;

/// What OpenAI's API calls `usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Tokens {
    #[serde(default)]
    pub(crate) prompt_tokens: u64,
    #[serde(default)]
    pub(crate) completion_tokens: u64,
}

/// Looks at an answer as it passes.
#[derive(Debug)]
pub(crate) enum Meter {
    /// A document.
    Document(Vec<u8>),
    /// Events, of which the last but one says it, if the client asked for that.
    Events(Events),
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The beginning of a line.
    line: Vec<u8>,
    is_too_long: bool,
    /// Each is about a token.
    count: u64,
    told: Option<Tokens>,
}

#[derive(Deserialize)]
struct Said {
    usage: Option<Tokens>,
}

impl Meter {
    /// For an answer of this content type; `None` where nothing is to be found.
    pub(crate) fn of(content_type: &[u8]) -> Option<Self> {
        let is = |kind: &[u8]| content_type.get(..kind.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(kind));
        if is(b"text/event-stream") {
            Some(Self::Events(Events::default()))
        } else {
            is(b"application/json").then(|| Self::Document(Vec::new()))
        }
    }

    pub(crate) fn take(&mut self, piece: &[u8]) {
        match self {
            Self::Document(all) => {
                if all.len() + piece.len() <= MOST {
                    all.extend_from_slice(piece);
                }
            }
            Self::Events(events) => events.take(piece),
        }
    }

    /// As far as it is known. Where a stream does not say it, each event counts as a token of the answer.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Document(all) => serde_json::from_slice::<Said>(all).ok()?.usage,
            Self::Events(Events { told: Some(told), .. }) => Some(*told),
            Self::Events(Events { count, .. }) => {
                (*count > 0).then_some(Tokens { prompt_tokens: 0, completion_tokens: *count })
            }
        }
    }
}

impl Events {
    fn take(&mut self, piece: &[u8]) {
        let mut lines = piece.split(|byte| *byte == b'\n');
        let mut rest = lines.next();
        for next in lines {
            self.extend(rest.replace(next).unwrap_or_default());
            self.end_line();
        }
        self.extend(rest.unwrap_or_default());
    }

    fn extend(&mut self, piece: &[u8]) {
        self.is_too_long |= self.line.len() + piece.len() > LONGEST_EVENT;
        if !self.is_too_long {
            self.line.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self) {
        if let Some(data) = self.line.strip_prefix(b"data:").map(<[u8]>::trim_ascii)
            && data != b"[DONE]"
        {
            self.count += 1;
            // Most events have none.
            if data.windows(USAGE.len()).any(|part| part == USAGE)
                && let Ok(Said { usage: Some(told) }) = serde_json::from_slice(data)
            {
                self.told = Some(told);
            }
        }
        self.line.clear();
        self.is_too_long = false;
    }
}

const USAGE: &[u8] = b"\"usage\"";

#[cfg(test)]
mod tests {
    use super::{Meter, Tokens};

    fn tokens(kind: &str, text: &str, piece: usize) -> Option<(u64, u64)> {
        let mut meter = Meter::of(kind.as_bytes())?;
        text.as_bytes().chunks(piece).for_each(|piece| meter.take(piece));
        meter.tokens().map(|Tokens { prompt_tokens, completion_tokens }| (prompt_tokens, completion_tokens))
    }

    #[test]
    fn tokens_are_found_however_an_answer_is_cut() {
        let document = r#"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}}"#;
        let embedding = r#"{"data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}}"#;
        let events = "data: {\"choices\": [1], \"usage\": null}\n\ndata: {\"choices\": [2]}\r\n\r\n";
        let told = format!(
            "{events}data: {{\"choices\": [], \"usage\": {{\"prompt_tokens\": 9, \"completion_tokens\": 7}}}}\n\ndata: [DONE]\n\n"
        );
        for piece in [1, 3, 7, 1000] {
            assert_eq!(tokens("application/json", document, piece), Some((9, 12)));
            assert_eq!(tokens("Application/JSON; charset=utf-8", embedding, piece), Some((9, 0)));
            assert_eq!(tokens("application/json", "{}", piece), None);
            assert_eq!(tokens("text/event-stream", events, piece), Some((0, 2)), "an event is about a token");
            assert_eq!(tokens("text/event-stream; charset=utf-8", &told, piece), Some((9, 7)));
            assert_eq!(tokens("text/event-stream", ": ping\n\ndata: [DONE]\n\n", piece), None);
            assert_eq!(tokens("text/plain", document, piece), None);
        }
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_what_follows_is_not() {
        let text = format!("data: {}\n\ndata: {{\"usage\": {{\"completion_tokens\": 3}}}}\n\n", "x".repeat(300_000));
        assert_eq!(tokens("text/event-stream", &text, 10_000), Some((0, 3)));
        assert_eq!(tokens("application/json", &format!("{{\"x\": \"{}\"}}", "x".repeat(5_000_000)), 10_000), None);
    }
}
