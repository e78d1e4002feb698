//! A request from its first to its last byte: finds its route, sends it to an endpoint, and passes the answer on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Serialize;

use crate::attempts::Outgoing;
use crate::body::{BodyError, Content, Progress, RequestBody, ResponseBody, Streamed, TooLarge};
use crate::config::Protocol;
use crate::deadline::{Deadline, in_time};
use crate::gateway::Gateway;
use crate::grpc;
use crate::headers;
use crate::openai;
use crate::record::Record;
use crate::refusal::{Refusal, json};
use crate::replay::Replay;
use crate::route::Route;
use crate::table::Table;
use crate::unanswered::{overdue, too_large};
use crate::worker::Worker;

/// Where models are listed, in OpenAI's API.
const MODELS: &str = "/v1/models";

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// Answers a request.
pub(crate) async fn answer(
    gateway: &Gateway,
    worker: &Arc<Worker>,
    client: Client,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let trace = worker.trace(headers::trace(request.headers()));
    let named = (request.method().clone(), request.uri().clone());
    let mut record = Record::new(worker.clone(), client.address, named, trace);
    record.is_grpc = request.version() == Version::HTTP_2 && grpc::is_call(request.headers());
    match route(gateway, request, &mut record).await {
        Ok(Routed::Own(response)) => {
            (record.status, record.has_ended) = (Some(response.status()), true);
            response
        }
        Ok(Routed::To(route, outgoing)) => {
            record.route = Some(route.clone());
            if let Err(why) = &route.upstream {
                return refuse(&not_secured(why, &route), record);
            }
            Box::pin(outgoing.send(&route, worker, client, record)).await
        }
        Err(refusal) => refuse(&refusal, record),
    }
}

/// Answers with a refusal, and notes it.
pub(crate) fn refuse(refusal: &Refusal, mut record: Record) -> Response<ResponseBody> {
    (record.status, record.has_ended) = (Some(refusal.status), true);
    record.error = Some(format!("{}: {}", refusal.code, refusal.message));
    record.refused = Some(refusal.code);
    record.grpc_status = record.is_grpc.then(|| grpc::of_http(refusal.status));
    // It is no endpoint's answer.
    record.in_flight = None;
    if record.is_grpc { refusal.grpc_response() } else { refusal.response() }
}

fn not_secured(why: &str, route: &Route) -> Refusal {
    let message =
        format!("the ModelRoute {} asks for TLS with its replicas, which cannot be had: {why}", route.config.name);
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "tls_not_ready", message)
}

enum Routed {
    Own(Response<ResponseBody>),
    To(Arc<Route>, Outgoing),
}

async fn route(gateway: &Gateway, request: Request<Incoming>, record: &mut Record) -> Result<Routed, Refusal> {
    let Some(host) = headers::host(&request) else {
        let message = "the request must say for which host it is, in one Host header";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_host", message));
    };
    if request.method() == Method::CONNECT {
        let message = "CONNECT is not served: send requests for models to this address";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "connect_not_served", message));
    }
    record.host = Some(host.clone());
    let name = headers::host_name(host.to_str().unwrap_or_default());
    let table = gateway.table().clone();
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path == MODELS
        && let Some(models) = models(&table, &name)
    {
        return own_list(&head.method, &models).map(Routed::Own);
    }
    let progress = Progress::default();
    let looks_at_model = table.find(&name, path).next().is_some_and(super::table::Models::looks_at_models);
    let (body, model) = if looks_at_model && body.size_hint().exact() != Some(0) {
        // Whose request it is is known with the model.
        let largest = |of: fn(&Route) -> u64| {
            table.find(&name, path).filter_map(|models| models.largest(of)).max().unwrap_or_default()
        };
        let most = largest(|route| route.config.request_bytes);
        let idle = largest(|route| u64::try_from(route.config.timeouts.idle.as_millis()).unwrap_or(u64::MAX));
        let body = Box::pin(whole(Streamed::new(body, Duration::from_millis(idle), most, progress.clone()))).await?;
        let model = openai::asked(&body).model;
        (Body::Whole(body), model)
    } else {
        (Body::Streamed(body), None)
    };
    let found = table.find(&name, path).find_map(|models| models.route(model.as_deref())).cloned();
    record.model.clone_from(&model);
    let Some(route) = found else { return Err(no_route(looks_at_model, model.as_deref(), &name, path)) };
    let is_named = model.is_some_and(|model| route.config.matching.models.contains(&model));
    let body = match body {
        Body::Whole(bytes) => Content::Whole(Some(bytes)),
        Body::Streamed(body) if body.is_end_stream() => Content::Whole(None),
        Body::Streamed(body) => {
            let most = route.config.request_bytes;
            if body.size_hint().lower() > most {
                return Err(too_large(TooLarge(most)));
            }
            let idle = route.config.timeouts.idle;
            if route.keeps_bodies() {
                let body = Streamed::new(body, idle, most, progress.clone());
                let read = Box::pin(in_time(Deadline::of(record, &route), whole(body))).await;
                Content::Whole(Some(read.map_err(|why| overdue(why, &route))??))
            } else if route.config.protocol == Protocol::Http2 {
                Content::Kept(Replay::new(Streamed::patient(body, most, progress.clone())))
            } else {
                let body = Streamed::new(body, idle, most, progress.clone());
                Content::Streamed(Some(RequestBody::Streamed(Box::new(body))))
            }
        }
    };
    Ok(Routed::To(route, Outgoing::new((head, host), (body, progress), is_named)))
}

enum Body {
    Whole(Bytes),
    Streamed(Incoming),
}

/// Reads all of a body, as much as it may have, and as long as it does not stand still.
async fn whole(body: Streamed) -> Result<Bytes, Refusal> {
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(BodyError::TooLarge(why)) => Err(too_large(why)),
        Err(error) => {
            let message = format!("the body of the request could not be read: {error}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "incomplete_request", message))
        }
    }
}

fn no_route(looks_at_model: bool, model: Option<&str>, host: &str, path: &str) -> Refusal {
    let not_found = |code, message| Refusal::new(StatusCode::NOT_FOUND, code, message);
    match model {
        Some(model) => not_found(
            "model_not_found",
            format!("no model {model:?} is served here: GET {MODELS} lists those that are"),
        ),
        None if looks_at_model => {
            let message = format!("the body must be JSON with the field `model`: GET {MODELS} lists the models");
            Refusal::new(StatusCode::BAD_REQUEST, "model_required", message)
        }
        None => not_found("no_route", format!("no ModelRoute takes host {host:?} and path {path:?}")),
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

/// The models of a host, with their routes; `None` where none is named.
fn models<'a>(table: &'a Table<Route>, host: &'a str) -> Option<Vec<(&'a str, &'a Arc<Route>)>> {
    let mut models: Vec<_> = table.hosted(host).flat_map(super::table::Models::names).collect();
    models.sort_by_key(|(name, _)| *name);
    models.dedup_by_key(|(name, _)| *name);
    (!models.is_empty()).then_some(models)
}

fn own_list(method: &Method, models: &[(&str, &Arc<Route>)]) -> Result<Response<ResponseBody>, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let message = format!("{MODELS} can only be read");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    let data = models.iter().map(|(id, route)| Model { id, object: "model", created: 0, owned_by: &route.config.name });
    Ok(json(StatusCode::OK, &List { object: "list", data: data.collect() }))
}
