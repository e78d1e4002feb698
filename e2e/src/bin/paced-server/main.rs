//! Streams as a model server does, in the form of OpenAI's API, at a pace that is set: what pods of the lab's test of streams run. There is
//! no model in it; the streams, and what becomes of them between a pod and a client, are real. It also takes calls of gRPC, and speaks TLS
//! if it is given a certificate.

mod calls;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use clap::Parser;
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use tls::{Secured, TlsArguments};

/// Answers with streams of tokens at a set pace
#[derive(Clone, Parser)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Milliseconds to the first token
    #[arg(long, default_value_t = 50)]
    first: u64,
    /// Milliseconds from one token to the next
    #[arg(long, default_value_t = 100)]
    between: u64,
    /// Milliseconds to the first token on the slow node
    #[arg(long, default_value_t = 50)]
    slow_first: u64,
    /// The node that is slow
    #[arg(long)]
    slow_node: Option<String>,
    /// The node that this runs on, given back as the header x-served-by-node
    #[arg(long, env = "NODE_NAME", default_value = "unknown")]
    node: String,
    #[command(flatten)]
    tls: Option<TlsArguments>,
}

/// As much of a request as makes a difference.
#[derive(Deserialize)]
struct Asked {
    model: String,
    #[serde(default = "some")]
    max_tokens: u32,
}

fn some() -> u32 {
    16
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paced-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let tls = arguments.tls.clone();
    let routes = Router::new()
        .route("/readyz", get(async || "ok\n"))
        .route("/v1/chat/completions", post(completions))
        .merge(calls::routes(Duration::from_millis(arguments.between)))
        .with_state(arguments);
    let stop = async move {
        terminated.recv().await;
    };
    match tls {
        None => axum::serve(listener, routes).with_graceful_shutdown(stop).await,
        Some(tls) => axum::serve(Secured::new(listener, &tls)?, routes).with_graceful_shutdown(stop).await,
    }
}

async fn completions(State(arguments): State<Arguments>, Json(asked): Json<Asked>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream".to_owned()),
        (HeaderName::from_static("x-served-by-node"), arguments.node.clone()),
    ];
    let is_slow = arguments.slow_node.as_ref() == Some(&arguments.node);
    let first = if is_slow { arguments.slow_first } else { arguments.first };
    let events = stream::unfold(0, move |number| {
        let wait = Duration::from_millis(if number == 0 { first } else { arguments.between });
        let event = event(&asked, number);
        async move {
            let event = event?;
            tokio::time::sleep(wait).await;
            Some((Ok::<_, Infallible>(event), number + 1))
        }
    });
    (headers, Body::from_stream(events)).into_response()
}

/// The tokens, then why there are no more, then the end.
fn event(asked: &Asked, number: u32) -> Option<String> {
    let end = asked.max_tokens;
    let (delta, finished) = match number {
        _ if number < end => (json!({"content": format!("{number} ")}), Value::Null),
        _ if number == end => (json!({}), json!("length")),
        _ if number == end + 1 => return Some("data: [DONE]\n\n".to_owned()),
        _ => return None,
    };
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finished});
    let chunk = json!({
        "id": "paced", "object": "chat.completion.chunk", "created": 0, "model": asked.model, "choices": [choice],
    });
    Some(format!("data: {chunk}\n\n"))
}
