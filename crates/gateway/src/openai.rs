//! What a gateway has to know of OpenAI's API: the field `model` of a request. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What matters of a request's body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) model: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
}

/// Looks into a body. What is no JSON object, or has no model, asks for none.
pub(crate) fn asked(body: &[u8]) -> Asked {
    let model = raw_model(body);
    let model = model.and_then(|model| serde_json::from_str::<Cow<'_, str>>(model.get()).ok());
    Asked { model: model.map(Cow::into_owned) }
}

fn raw_model(body: &[u8]) -> Option<&RawValue> {
    fields(body)?.model
}

fn fields(body: &[u8]) -> Option<Body<'_>> {
    // Lists would be read as well, field by field.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if is_object { serde_json::from_slice(body).ok() } else { None }
}

/// What a model is asked, as it stands in the body.
pub(crate) fn prompt(body: &[u8]) -> Option<&[u8]> {
    let Body { messages, prompt, .. } = fields(body)?;
    messages.or(prompt).map(|prompt| prompt.get().as_bytes())
}

/// Tokens that a request is likely to use: of its prompt, four bytes each, and of its answer, as many as it allows.
pub(crate) fn expected_tokens(body: &[u8]) -> (u64, u64) {
    let prompt = body.len() as u64 / 4;
    let Some(Body { max_tokens, max_completion_tokens, .. }) = fields(body) else { return (prompt, 0) };
    let most = max_completion_tokens.or(max_tokens).and_then(|most| most.get().parse().ok());
    (prompt, most.unwrap_or_default())
}

/// Whether a stream's first piece says that there will be no answer: an event `error`, or data with the field `error`.
pub(crate) fn is_error(piece: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let first = piece.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    let Some((field, value)) = first.and_then(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    }) else {
        return false;
    };
    match field {
        b"event" => value == b"error",
        b"data" => serde_json::from_slice::<Data<'_>>(value).is_ok_and(|data| data.error.is_some()),
        _ => false,
    }
}

/// The same body with another model. `None` if it has none.
pub(crate) fn with_model(body: &[u8], model: &str) -> Option<Bytes> {
    let raw = raw_model(body)?.get();
    // It is a part of the body.
    let start = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let (before, after) = (body.get(..start)?, body.get(start + raw.len()..)?);
    let model = serde_json::to_vec(model).ok()?;
    Some([before, &model, after].concat().into())
}

#[cfg(test)]
mod tests {
    use super::{asked, expected_tokens, is_error, prompt, with_model};

    #[test]
    fn the_prompt_is_that_of_chats_and_of_completions() {
        for (body, expected) in [
            (r#"{"model": "m", "messages": [{"role": "user"}]}"#, Some(r#"[{"role": "user"}]"#)),
            (r#"{"prompt": "a b"}"#, Some(r#""a b""#)),
            (r#"{"input": "a"}"#, None),
            ("[]", None),
        ] {
            assert_eq!(prompt(body.as_bytes()).map(|text| std::str::from_utf8(text).unwrap()), expected, "{body}");
        }
    }

    #[test]
    fn a_stream_may_begin_with_an_error() {
        for (piece, expected) in [
            ("data: {\"error\": {\"message\": \"no memory\"}}\n\n", true),
            ("\n\nevent: error\ndata: {}\n\n", true),
            ("data:{\"error\":\"x\"}\r\n", true),
            ("data: {\"error\": null, \"choices\": []}\n\n", false),
            ("data: {\"choices\": [{\"delta\": {\"content\": \"error\"}}]}\n\n", false),
            (": ping\n\n", false),
            ("data: [DONE]\n\n", false),
            ("", false),
        ] {
            assert_eq!(is_error(piece.as_bytes()), expected, "{piece}");
        }
    }

    #[test]
    fn the_model_of_a_body_is_read() {
        for (body, model) in [
            (r#"{"model": "llama", "messages": [{"model": "x"}]}"#, Some("llama")),
            (r#"{"messages": [], "model": "a\u00e9\"b"}"#, Some("aé\"b")),
            (r#"{"messages": []}"#, None),
            (r#"{"model": 7}"#, None),
            (r#"{"model": null}"#, None),
            (r#"["model"]"#, None),
            (r#"{"model": "cut"#, None),
            ("", None),
        ] {
            assert_eq!(asked(body.as_bytes()).model.as_deref(), model, "{body}");
        }
    }

    #[test]
    fn what_a_request_may_use_is_expected() {
        for (body, expected) in [
            (r#"{"prompt": "x"}"#, (3, 0)),
            (r#"{"max_tokens": 100}"#, (4, 100)),
            (r#"{"max_tokens": 9, "max_completion_tokens": 50}"#, (11, 50)),
            (r#"{"max_tokens": null}"#, (5, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(expected_tokens(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn only_the_model_of_a_body_changes() {
        let body = r#"{ "a": "model",  "model" : "x" , "b": {"model": "x"}}"#;
        let changed = with_model(body.as_bytes(), "y\"z").unwrap();
        assert_eq!(changed, r#"{ "a": "model",  "model" : "y\"z" , "b": {"model": "x"}}"#);
        assert_eq!(with_model(b"{}", "y"), None);
    }
}
