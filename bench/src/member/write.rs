//! Creating, patching and deleting.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::api::what;
use super::store::{Change, Key, Store, now};
use super::target::Query;

/// How a write ended.
pub(super) struct Written {
    pub(super) code: StatusCode,
    pub(super) object: Arc<Value>,
    /// Whether anything is different.
    pub(super) changed: bool,
}

/// What a patch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchKind {
    Apply,
    Merge,
}

impl PatchKind {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default() {
            "application/apply-patch+yaml" => Ok(Self::Apply),
            "application/merge-patch+json" => Ok(Self::Merge),
            other => {
                let message = format!("a patch of type {other:?} is not simulated");
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message))
            }
        }
    }
}

/// Creates an object.
pub(super) fn create(store: &Store, key: &Key, object: Value) -> Result<Written, Refusal> {
    check_namespace(store, key)?;
    let created = store.change(key, |before| match before {
        Some(_) => {
            let message = format!("{} already exists", what(key));
            Err(Refusal::new(StatusCode::CONFLICT, "AlreadyExists", message))
        }
        None => Ok(Change::Put(defaulted(key, object))),
    })?;
    written(key, StatusCode::CREATED, created, true)
}

/// Patches an object; applying makes one that is not there. There is one field manager only: what it applies replaces what it
/// applied before.
pub(super) fn patch(store: &Store, key: &Key, kind: PatchKind, patch: Value) -> Result<Written, Refusal> {
    check_namespace(store, key)?;
    let (mut code, mut changed) = (StatusCode::OK, true);
    let object = store.change(key, |before| {
        let next = match (before, kind) {
            (None, PatchKind::Merge) => return Err(Refusal::not_found(&what(key))),
            (None, PatchKind::Apply) => {
                code = StatusCode::CREATED;
                return Ok(Change::Put(defaulted(key, patch)));
            }
            (Some(before), PatchKind::Apply) => applied(key, before, patch),
            (Some(before), PatchKind::Merge) => {
                let mut next = before.clone();
                merge(&mut next, patch);
                next
            }
        };
        let before = before.unwrap_or(&Value::Null);
        changed = next != *before;
        Ok(if changed { Change::Put(counted(before, next)) } else { Change::Keep })
    })?;
    written(key, code, object, changed)
}

/// Deletes an object; a Deployment that is deleted in the foreground goes after its pods.
pub(super) fn delete(store: &Store, key: &Key, options: &Value, query: &Query) -> Result<Written, Refusal> {
    let policy = options["propagationPolicy"].as_str().or(query.text("propagationPolicy"));
    let waits = key.resource == "deployments" && policy == Some("Foreground");
    let deleted = store.change(key, |before| {
        let before = before.ok_or_else(|| Refusal::not_found(&what(key)))?;
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != before["metadata"]["uid"] {
            let message = format!("Precondition failed: UID in precondition: {wanted}");
            return Err(Refusal::new(StatusCode::CONFLICT, "Conflict", message));
        }
        if !waits {
            return Ok(Change::Remove);
        }
        let mut going = before.clone();
        going["metadata"]["deletionTimestamp"] = now();
        going["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        Ok(Change::Put(going))
    })?;
    written(key, StatusCode::OK, deleted, true)
}

fn written(key: &Key, code: StatusCode, object: Option<Arc<Value>>, changed: bool) -> Result<Written, Refusal> {
    let object = object.ok_or_else(|| Refusal::not_found(&what(key)))?;
    Ok(Written { code, object, changed })
}

fn check_namespace(store: &Store, key: &Key) -> Result<(), Refusal> {
    let there = key.namespace.is_empty() || store.get(&Key::new("namespaces", "", &key.namespace)).is_some();
    if there { Ok(()) } else { Err(Refusal::not_found(&format!("namespaces \"{}\"", key.namespace))) }
}

/// A new object with what an API server fills in.
fn defaulted(key: &Key, mut object: Value) -> Value {
    object["metadata"]["generation"] = json!(1);
    if key.resource == "services" {
        object["spec"]["clusterIP"] = json!(format!("10.96.{}.{}", fastrand::u8(..), fastrand::u8(1..255)));
    }
    if key.resource == "services" && object["spec"]["type"] != "ClusterIP" {
        for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
            port["nodePort"] = json!(fastrand::u16(30_000..32_768));
        }
    }
    object
}

/// What is applied, with what the API server has added to the object before.
fn applied(key: &Key, before: &Value, mut next: Value) -> Value {
    let metadata = before["metadata"].as_object();
    for (field, value) in metadata.into_iter().flatten() {
        if !matches!(field.as_str(), "labels" | "annotations") {
            next["metadata"][field] = value.clone();
        }
    }
    if let Some(status) = before.get("status") {
        next["status"] = status.clone();
    }
    if key.resource == "services" {
        next["spec"]["clusterIP"] = before["spec"]["clusterIP"].clone();
        let ports = before["spec"]["ports"].as_array().into_iter().flatten();
        for (port, before) in next["spec"]["ports"].as_array_mut().into_iter().flatten().zip(ports) {
            if let Some(number) = before.get("nodePort") {
                port["nodePort"] = number.clone();
            }
        }
    }
    next
}

/// Counts the generation up where the spec is another.
fn counted(before: &Value, mut next: Value) -> Value {
    if next["spec"] != before["spec"] {
        next["metadata"]["generation"] = json!(before["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    next
}

/// A JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(target) = target.as_object_mut() {
                target.remove(&key);
            }
        } else {
            merge(&mut target[key], value);
        }
    }
}
