//! The access log: a line of JSON for each request, once all of its answer was sent.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// A worker's lines are written when they are so many bytes, or after [`EVERY`].
const ENOUGH: usize = 64 * 1024;
/// How long a line waits at most.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// Where lines go.
pub type Sink = Arc<Mutex<dyn Write + Send>>;

/// A request and how it was answered. Queries are left out: they may have secrets.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Line<'a> {
    /// Milliseconds since 1970 when it came.
    pub(crate) time: u64,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member_cluster: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) status: u16,
    /// Of a call of gRPC, whose failures have a status of HTTP as if all were well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc_status: Option<u8>,
    pub(crate) bytes: u64,
    /// Until the first byte of the answer was there.
    pub(crate) first_byte_ms: f64,
    pub(crate) duration_ms: f64,
    pub(crate) attempts: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hedged: bool,
    /// As the answer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) trace_id: &'a str,
    /// Why it was not answered, or not to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
}

/// The lines of one worker.
pub(crate) struct AccessLog {
    lines: Mutex<Vec<u8>>,
    sink: Option<Sink>,
}

impl AccessLog {
    pub(crate) fn new(sink: Option<Sink>) -> Self {
        Self { lines: Mutex::default(), sink }
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        if self.sink.is_none() {
            return;
        }
        let mut lines = self.lines();
        // A Vec takes all, and a line has nothing that is no JSON.
        if serde_json::to_writer(&mut *lines, line).is_ok() {
            lines.push(b'\n');
        }
        if lines.len() >= ENOUGH {
            self.flush(lines);
        }
    }

    /// Writes what is there.
    pub(crate) fn write_out(&self) {
        let lines = self.lines();
        if !lines.is_empty() {
            self.flush(lines);
        }
    }

    fn flush(&self, mut lines: MutexGuard<'_, Vec<u8>>) {
        let Some(sink) = &self.sink else { return };
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = sink.write_all(&lines).and_then(|()| sink.flush()) {
            tracing::warn!(%error, "lines of the access log are lost");
        }
        lines.clear();
    }

    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
