//! Replicas: NGINX, which is quick, for requests, and a server in this process for streams, so that both ends have one clock.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use crate::process::Process;
use crate::proxies::free;

/// What a small answer of a model looks like.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Berlin."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
/// Between two events of a stream: a hundred tokens a second.
const EVERY: Duration = Duration::from_millis(10);

pub struct Replicas {
    pub requests: Vec<u16>,
    pub streams: u16,
    _nginx: Process,
}

impl Replicas {
    /// Must be called within a runtime.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let requests = (0..4).map(|_| free().map(|address| address.port())).collect::<Result<Vec<_>, _>>()?;
        let listen = requests.iter().map(|port| format!("listen 127.0.0.1:{port};")).collect::<Vec<_>>().join(" ");
        let path = folder.join("replicas.conf");
        let text = format!(
            "daemon off; worker_processes 1; pid {0}/replicas.pid; error_log {0}/replicas.error;\n\
             events {{ worker_connections 8192; }}\n\
             http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 3600;\n\
             server {{ {listen} location / {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}\n",
            folder.display()
        );
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let nginx = Process::start(Command::new("nginx").arg("-c").arg(&path))?;
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no port is free: {error}"))?;
        let listening = listener.local_addr().and_then(|address| {
            listener.set_nonblocking(true)?;
            Ok((address.port(), TcpListener::from_std(listener)?))
        });
        let (streams, listener) = listening.map_err(|error| format!("cannot serve streams: {error}"))?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { requests, streams, _nginx: nginx })
    }
}

/// Nanoseconds since the first call.
pub fn now() -> u128 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos()
}

/// Answers each request with a stream: `/N` has N events, each with the time when it was sent; `/idle` has one event and then nothing.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let target = String::from_utf8_lossy(&buffer).split(' ').nth(1).unwrap_or_default().to_owned();
        buffer.clear();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        if target == "/idle" {
            event(&mut stream).await?;
            while stream.read_buf(&mut buffer).await? > 0 {}
            return Ok(());
        }
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..target.trim_start_matches('/').parse().unwrap_or(1) {
            ticks.tick().await;
            event(&mut stream).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}

async fn event(stream: &mut TcpStream) -> std::io::Result<()> {
    let event = format!("data: {{\"sent\":{:020}}}\n\n", now());
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await
}
