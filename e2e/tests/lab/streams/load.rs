//! Clients that come when they come, whether others were answered or not, and what each of them saw.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Streams that begin a second.
const RATE: f64 = 8.0;
/// No load has more streams than this: a test that waits in vain ends.
const MOST: usize = 2400;
/// Of each stream: two seconds.
const TOKENS: usize = 20;
/// For a stream; far more than any may take.
const LIMIT: Duration = Duration::from_mins(2);

/// How a stream went.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// It goes on.
    Runs,
    /// All of its events came, and its end.
    Completed,
    /// It broke off after its first byte.
    Broken(String),
    /// It ended without one, or was refused.
    Failed(String),
}

/// A stream as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Who answers; nothing until somebody does.
    pub(super) cluster: Option<String>,
    pub(super) first_byte: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// Load that runs until it is ended.
pub(super) struct Load {
    seen: Arc<Mutex<Vec<Seen>>>,
    arrivals: JoinHandle<()>,
    clients: Arc<Mutex<JoinSet<()>>>,
}

impl Load {
    /// With the same number clients come at the same times.
    pub(super) fn start(address: &str, model: &str, number: u64) -> Self {
        let (seen, clients) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<Mutex<JoinSet<()>>>::default());
        let (all, started) = (seen.clone(), clients.clone());
        let (address, model) = (address.to_owned(), model.to_owned());
        let arrivals = tokio::spawn(async move {
            let (mut rng, mut next) = (fastrand::Rng::with_seed(number), Instant::now());
            for place in 0..MOST {
                // Who comes knows nothing of the others: the times between them are exponential.
                next += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / RATE);
                sleep_until(next).await;
                all.lock().unwrap().push(Seen { cluster: None, first_byte: None, outcome: Outcome::Runs });
                let client = Client { address: address.clone(), model: model.clone(), all: all.clone(), place };
                started.lock().unwrap().spawn(client.run());
            }
        });
        Self { seen, arrivals, clients }
    }

    /// Waits until this holds for what was seen by now; streams that wait are among it.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) {
        while !holds(&self.seen.lock().unwrap()) {
            assert!(!self.arrivals.is_finished(), "never: {what}: {:?}", self.seen.lock().unwrap());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lets nobody come any more, and waits for those that are there.
    pub(super) async fn end(self) -> Vec<Seen> {
        self.arrivals.abort();
        let _aborted = self.arrivals.await;
        let clients = std::mem::take(&mut *self.clients.lock().unwrap());
        clients.join_all().await;
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

struct Client {
    address: String,
    model: String,
    all: Arc<Mutex<Vec<Seen>>>,
    /// Which one of them it is.
    place: usize,
}

impl Client {
    async fn run(self) {
        let mut answer = String::new();
        let ended = match timeout(LIMIT, self.stream(&mut answer)).await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not end in {LIMIT:?}"),
        };
        let events = answer.matches("data: {").count();
        let outcome = match answer.lines().next() {
            Some(status) if status.contains(" 200 ") => {
                // With the one that says why there are no more.
                let is_whole = events == TOKENS + 1 && answer.contains("data: [DONE]") && answer.ends_with("0\r\n\r\n");
                if is_whole { Outcome::Completed } else { Outcome::Broken(format!("{ended}, after {events} events")) }
            }
            _ => Outcome::Failed(format!("{ended}: {answer:?}")),
        };
        self.all.lock().unwrap()[self.place].outcome = outcome;
    }

    /// Reads into `answer` until the end, and notes the first byte.
    async fn stream(&self, answer: &mut String) -> std::io::Result<()> {
        let body = json!({"model": self.model, "stream": true, "max_tokens": TOKENS, "messages": []}).to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = Instant::now();
        let mut connection = TcpStream::connect(&self.address).await?;
        connection.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = connection.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let is_first = answer.is_empty();
            // It is all ASCII.
            answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
            if is_first {
                let cluster = answer.lines().find_map(|line| line.strip_prefix("x-served-by-node: "));
                let seen = &mut self.all.lock().unwrap()[self.place];
                (seen.first_byte, seen.cluster) = (Some(sent.elapsed()), cluster.map(str::to_owned));
            }
        }
    }
}
