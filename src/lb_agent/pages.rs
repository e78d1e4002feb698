//! What an agent says of itself: `/healthz`, `/readyz`, and `/state`, how it stands with its load balancer, as JSON.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use skyfleet_drivers::{Lack, Shown};

use super::state::{Known, State};

/// An agent is ready once its load balancer is as it should be.
pub(super) fn pages(state: Arc<State>) -> Router {
    let ready = state.clone();
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness(&ready.known())))
        .route("/state", get(async move || axum::Json(shown(&state))))
}

fn readiness(Known { routes, shown, error, .. }: &Known) -> Response {
    let unready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    match (routes, error, shown) {
        (None, ..) => unready("the hub has not said which routes there are\n".to_owned()),
        (_, Some(error), _) => unready(format!("{error}\n")),
        (_, None, None) => unready("the load balancer is being changed\n".to_owned()),
        (_, None, Some(_)) => "ok\n".into_response(),
    }
}

fn shown(state: &State) -> Value {
    let Known { routes, lacks, shown, error, repairs } = state.known();
    let lack = |Lack { field, instead, is_refused }: &Lack| json!({"field": field, "instead": instead, "isRefused": is_refused});
    let lacks: serde_json::Map<_, _> =
        lacks.into_iter().map(|(route, all)| (route, all.iter().map(lack).collect())).collect();
    let pools = shown.map(|Shown { pools }| {
        let pools = pools.into_iter().map(|(route, servers)| {
            let servers = servers.into_iter().map(|(address, server)| {
                let state = format!("{:?}", server.state);
                json!({"address": address, "weight": server.weight, "state": state, "inFlight": server.in_flight})
            });
            (route, servers.collect())
        });
        pools.collect::<serde_json::Map<_, Value>>()
    });
    json!({
        "driver": format!("{:?}", state.driver), "routes": routes, "lacks": lacks, "servers": pools, "error": error,
        "repairs": repairs,
    })
}
