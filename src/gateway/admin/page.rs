//! The page for people: three files of the program. It asks for `/routes` again and again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// Scripts and styles only from these files, nothing from anywhere else, and no page around this one: what a name in a ModelRoute says
/// could do nothing even if it became a part of the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
    kind: &'static str,
    content: &'static str,
}

const HTML: File = File { kind: "text/html; charset=utf-8", content: include_str!("page/page.html") };
const CSS: File = File { kind: "text/css; charset=utf-8", content: include_str!("page/page.css") };
const SCRIPT: File = File { kind: "text/javascript; charset=utf-8", content: include_str!("page/page.js") };

/// `/`, and what belongs to it.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/", get(async |asked: HeaderMap| answer(&HTML, &asked)))
        .route("/page.css", get(async |asked: HeaderMap| answer(&CSS, &asked)))
        .route("/page.js", get(async |asked: HeaderMap| answer(&SCRIPT, &asked)))
}

/// Browsers keep a file, and ask each time whether it is still the same: another version of the gateway has another page.
fn answer(file: &File, asked: &HeaderMap) -> Response {
    let tag = tag(file.content);
    let is_known = asked.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let headers = [
        (CONTENT_TYPE, file.kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    let tag = [(ETAG, tag)];
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers, tag).into_response();
    }
    (headers, tag, file.content).into_response()
}

fn tag(content: &str) -> String {
    let mut hash = DefaultHasher::new();
    content.hash(&mut hash);
    format!("\"{:016x}\"", hash.finish())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_browser_has_already_is_not_sent_again() {
        let first = answer(&HTML, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].clone();
        let again = answer(&HTML, &HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]));
        assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        let other = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"0\""))]);
        assert_eq!(answer(&HTML, &other).status(), StatusCode::OK);
        assert_ne!(answer(&SCRIPT, &HeaderMap::new()).headers()[ETAG], tag);
    }

    #[test]
    fn nothing_is_in_the_page_that_its_policy_forbids() {
        assert!(!HTML.content.contains("<style") && !HTML.content.contains(" style="));
        assert_eq!(
            HTML.content.matches("<script").count(),
            HTML.content.matches("<script type=\"module\" src=").count()
        );
        for file in [HTML, CSS, SCRIPT] {
            assert!(!file.content.contains("://"), "it works without the Internet");
        }
        for unsafe_name in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.content.contains(unsafe_name), "{unsafe_name}");
        }
    }
}
