//! The verbs that a simulated member knows.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Form, Refusal, respond, stream};
use super::server::Shared;
use super::store::Key;
use super::target::{Query, Target};
use super::{TOKEN, rollout, watch, write};

/// The longest body that is taken, as an API server does.
const LONGEST_BODY: usize = 3 * 1024 * 1024;

/// Answers one request.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, LONGEST_BODY).await;
    let arrived = Instant::now();
    shared.hole.passed().await;
    let answer = match body {
        Ok(body) => dispatch(shared, &head, &body, arrived),
        Err(error) => Err(Refusal::bad_request(error.to_string())),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

fn dispatch(shared: &Arc<Shared>, head: &Parts, body: &[u8], arrived: Instant) -> Result<Response, Refusal> {
    authorise(head)?;
    let address = head.uri.path();
    if address == "/version" {
        let version = json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "0", "gitTreeState": "clean",
            "buildDate": "2025-08-27T10:00:00Z", "goVersion": "go1.24", "compiler": "gc", "platform": "linux/amd64",
        });
        return Ok(respond(StatusCode::OK, &version));
    }
    let target = Target::parse(address).filter(|target| !target.is_misplaced());
    let target = target.ok_or_else(|| Refusal::not_found(address))?;
    let query = Query::parse(head.uri.query());
    let form = Form::of(&head.headers);
    match (&head.method, &target.name) {
        (&Method::GET, None) if query.is_true("watch") => {
            Ok(stream(Body::from_stream(watch::events(shared.clone(), target, &query, form))))
        }
        (&Method::GET, None) => list(shared, &target, &query, form),
        (&Method::GET, Some(name)) => get(shared, &target, name, form),
        (&Method::POST, None) => {
            let object = parse(body)?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            changed(shared, &target, &name, arrived, |key| write::create(&shared.store, key, object), form)
        }
        (&Method::PATCH, Some(name)) => {
            let kind = write::PatchKind::of(&head.headers)?;
            let patch = parse(body)?;
            changed(shared, &target, name, arrived, |key| write::patch(&shared.store, key, kind, patch), form)
        }
        (&Method::DELETE, Some(name)) => {
            let options = if body.is_empty() { Value::Null } else { parse(body)? };
            changed(shared, &target, name, arrived, |key| write::delete(&shared.store, key, &options, &query), form)
        }
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "not simulated")),
    }
}

fn authorise(head: &Parts) -> Result<(), Refusal> {
    let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if token == Some(TOKEN) {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn get(shared: &Shared, target: &Target, name: &str, form: Form) -> Result<Response, Refusal> {
    let key = key(target, name);
    let object = shared.store.get(&key).ok_or_else(|| Refusal::not_found(&what(&key)))?;
    Ok(respond(StatusCode::OK, &form.of_object(&object)))
}

fn list(shared: &Shared, target: &Target, query: &Query, form: Form) -> Result<Response, Refusal> {
    let selector = query.selector();
    let wanted = |key: &Key, object: &Value| {
        target.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace) && selector.matches(object)
    };
    let after = query.text("continue").map(|token| resume(target, token)).transpose()?;
    let limit = query.number("limit").filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
    let page = shared.store.list(&target.resource, wanted, limit, after);
    let next = page.next.map(|key| format!("{}/{}", key.namespace, key.name)).unwrap_or_default();
    let items: Vec<_> = page.items.iter().map(|object| form.of_object(object)).collect();
    let (version, kind) = form.of_list(target.kind());
    let metadata = json!({"resourceVersion": page.version.to_string(), "continue": next});
    // Put together from references: a list can be long.
    let body = ListBody { api_version: &version, kind: &kind, metadata, items: &items };
    let text = serde_json::to_string(&body).unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Value,
    #[serde(serialize_with = "items")]
    items: &'a [Arc<Value>],
}

fn items<S: serde::Serializer>(items: &[Arc<Value>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(|item| &**item))
}

fn resume(target: &Target, token: &str) -> Result<Key, Refusal> {
    let (namespace, name) = token.split_once('/').ok_or_else(|| Refusal::bad_request("not a continue token"))?;
    Ok(Key::new(&target.resource, namespace, name))
}

/// Does a write; that of a Deployment is told to the observer and rolled out.
fn changed(
    shared: &Arc<Shared>,
    target: &Target,
    name: &str,
    arrived: Instant,
    write: impl FnOnce(&Key) -> Result<write::Written, Refusal>,
    form: Form,
) -> Result<Response, Refusal> {
    let key = key(target, name);
    let written = write(&key)?;
    if key.resource == "deployments" && written.changed {
        rollout::begin(shared, &key, &written.object, arrived);
    }
    Ok(respond(written.code, &form.of_object(&written.object)))
}

fn key(target: &Target, name: &str) -> Key {
    Key::new(&target.resource, target.namespace.as_deref().unwrap_or_default(), name)
}

/// How an error names an object.
pub(super) fn what(key: &Key) -> String {
    format!("{} \"{}\"", key.resource, key.name)
}
