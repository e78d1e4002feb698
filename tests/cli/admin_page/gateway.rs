//! The program as a gateway, and replicas that it sends requests to.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bare;
use crate::watched_hub::WatchedHub;

/// Longer than anything takes here, so that a test ends.
const LONG: Duration = Duration::from_mins(2);

/// A gateway as a process, which ends with the test.
pub(super) struct Gateway {
    child: Child,
    address: String,
    pub(super) admin: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _it_has_ended = self.child.kill();
        let _it_has_ended = self.child.wait();
    }
}

impl Gateway {
    pub(super) async fn start(hub: &WatchedHub) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (address, admin) = (free(), free());
        let mut command = bare(&["gateway", "--workers", "1", "--listen", &address, "--admin-listen", &admin]);
        command.env("KUBECONFIG", hub.kubeconfig()).env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::null());
        let gateway = Self { child: command.spawn().unwrap(), address, admin };
        until("it is ready", async || get(&gateway.admin, "/readyz").await.contains(" 200 ")).await;
        gateway
    }

    /// Asks for a model, and waits for an answer as long as the stream is kept.
    pub(super) async fn ask(&self, model: &str) -> TcpStream {
        let body = json!({"model": model}).to_string();
        let head = format!("POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        stream
    }
}

/// The whole answer; nothing if nobody answers.
pub(super) async fn get(address: &str, path: &str) -> String {
    let mut answer = String::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return answer };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A replica on this machine. One without an answer takes requests and says nothing.
pub(super) async fn replica(answer: Option<&'static str>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if let Some(status) = answer {
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                        let _gone = stream.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    });
    address
}
