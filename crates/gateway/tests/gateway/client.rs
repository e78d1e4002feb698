//! A client that sends the bytes it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::replica::find;

/// Longer than anything takes here, so that a test ends.
const LONG: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Chunks put together.
    pub body: String,
    pub trailers: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub async fn exchange(&mut self, request: &str) -> Answer {
        self.send(request.as_bytes()).await;
        self.answer(request.starts_with("HEAD")).await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // It may be refused before all of it was sent.
        let _refused = self.stream.write_all(bytes).await;
    }

    /// Ends what this side sends.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub async fn answer(&mut self, is_head: bool) -> Answer {
        let head = self.head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let (mut body, mut trailers) = (Vec::new(), String::new());
        if is_head || matches!(status, 101 | 204 | 304) {
        } else if let Some(length) = value("content-length") {
            body = self.take(length.parse().unwrap()).await;
        } else if value("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
            loop {
                match self.line().await {
                    line if line.is_empty() => break,
                    line => trailers = trailers + &line + "\n",
                }
            }
        } else {
            body = self.rest().await;
        }
        Answer { status, head, body: String::from_utf8(body).unwrap(), trailers }
    }

    /// Up to the empty line.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.read().await > 0, "closed within the head: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// The next chunk; `None` is the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        if size == 0 {
            return None;
        }
        let chunk = self.take(size).await;
        assert_eq!(self.line().await, "");
        Some(chunk)
    }

    pub async fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
                self.buffer.drain(..2);
                return line;
            }
            assert!(self.read().await > 0, "closed within a line");
        }
    }

    pub async fn take(&mut self, size: usize) -> Vec<u8> {
        while self.buffer.len() < size {
            assert!(self.read().await > 0, "closed after {} of {size} bytes", self.buffer.len());
        }
        self.buffer.drain(..size).collect()
    }

    /// All until the connection is closed, or reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    async fn read(&mut self) -> usize {
        timeout(LONG, self.stream.read_buf(&mut self.buffer)).await.expect("nothing comes").unwrap_or(0)
    }
}
