//! A replica that does as a test says, byte for byte.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use skyfleet_gateway::config::{Endpoint, EndpointConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
    /// Which connection of this replica it came over, from 0.
    pub connection: usize,
}

impl Received {
    /// The value of a header, if it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let of_name = |(key, value): (&'_ str, &'_ str)| key.eq_ignore_ascii_case(name).then_some(value.len());
        let found: Vec<_> = lines.by_ref().filter(|line| of_name(*line).is_some()).map(|(_, value)| value).collect();
        assert!(found.len() < 2, "{name} is there several times: {}", self.head);
        found.first().copied()
    }
}

/// What the replica does with a request.
pub enum Reply {
    /// These bytes, and the connection stays.
    Raw(Vec<u8>),
    /// These bytes, and then the connection is closed.
    Last(Vec<u8>),
    /// What comes from here, as it comes; the connection is closed at its end.
    Fed(mpsc::UnboundedReceiver<Vec<u8>>),
    /// Nothing, until the other side closes: then it says so.
    Silent(oneshot::Sender<()>),
    /// These bytes, then whatever comes is sent back.
    Echo(Vec<u8>),
}

/// A good answer.
pub fn ok(body: &str) -> Reply {
    with_status("200 OK", body)
}

pub fn with_status(status: &str, body: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

type Script = Box<dyn FnMut(&Received) -> Reply + Send>;

pub struct Replica {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replica {
    pub async fn start(script: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let all = received.clone();
        let task = tokio::spawn(async move {
            let count = AtomicUsize::new(0);
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, number, all.clone(), script.clone()));
            }
        });
        Self { port, received, task }
    }

    /// One that answers each request with its name.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |_| ok(name)).await
    }

    /// One that gives these answers, one after the other, and then its last one for ever.
    pub async fn answers(answers: impl IntoIterator<Item = fn() -> Reply>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        Self::start(move |_| {
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
            next.unwrap()()
        })
        .await
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub fn endpoint(&self) -> EndpointConfig {
        at(self.port)
    }
}

pub fn at(port: u16) -> EndpointConfig {
    let (cluster, name) = ("aws-1".to_owned(), format!("pod-{port}"));
    let endpoint = Endpoint { cluster, name, host: "127.0.0.1".to_owned(), port, is_relayed: false };
    EndpointConfig { endpoint, weight: 1, egress_price: 0 }
}

async fn serve(mut stream: TcpStream, connection: usize, all: Arc<Mutex<Vec<Received>>>, script: Arc<Mutex<Script>>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let received = Received { head, body, connection };
        all.lock().unwrap().push(received.clone());
        let reply = (script.lock().unwrap())(&received);
        match reply {
            Reply::Raw(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Last(bytes) => {
                let _gone = stream.write_all(&bytes).await;
                return;
            }
            Reply::Fed(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Reply::Silent(closed) => {
                while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {}
                let _nobody_asks = closed.send(());
                return;
            }
            Reply::Echo(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                stream.write_all(&buffer).await.unwrap();
                let (mut reader, mut writer) = stream.split();
                let _gone = tokio::io::copy(&mut reader, &mut writer).await;
                return;
            }
        }
    }
}

/// Reads one request; `None` at the end of the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    if value("transfer-encoding").as_deref() == Some("chunked") {
        // Kept as it is: with the sizes of its chunks, and its trailers.
        loop {
            let last = if buffer.starts_with(b"0\r\n") { Some(0) } else { find(buffer, b"\r\n0\r\n").map(|at| at + 2) };
            let end = last.and_then(|last| find(&buffer[last..], b"\r\n\r\n").map(|end| last + end + 4));
            if let Some(end) = end {
                return Some((head, buffer.drain(..end).collect()));
            }
            if stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
    let length: usize = value("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, buffer.drain(..length).collect()))
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
