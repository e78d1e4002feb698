//! Streams of events: how late each event comes, and what a stream costs that says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::figures::{Figure, percentile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::proxies::Proxy;
use crate::replicas::{Replicas, now};
use crate::{Amounts, compared};

const STREAMS: usize = 20;
const EVENTS: usize = 200;

/// From when a replica sends an event until a client has it.
pub async fn delays(proxies: &[Proxy], replicas: &Replicas) -> Result<Vec<Figure>, String> {
    let direct = sorted(SocketAddr::from(([127, 0, 0, 1], replicas.streams))).await?;
    let mut all = Vec::new();
    for proxy in proxies {
        all.push((proxy.kind, sorted(proxy.streams).await?));
    }
    let mut figures = Vec::new();
    for percent in [50.0, 99.0] {
        let of = |delays: &[Duration]| percentile(delays, percent).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e6);
        let values: Vec<_> = all.iter().map(|(kind, delays)| (*kind, of(delays))).collect();
        let bench = format!("gateway.stream_delay_p{percent:.0}");
        let with = |figure: Figure| figure.with("direct", of(&direct).round());
        figures.extend(compared(&bench, &values, "us", &[]).into_iter().map(with));
    }
    Ok(figures)
}

async fn sorted(address: SocketAddr) -> Result<Vec<Duration>, String> {
    let streams = (0..STREAMS).map(|_| stream(address));
    let all = futures::future::try_join_all(streams).await.map_err(|error| format!("{address}: {error}"))?;
    let mut delays = all.concat();
    delays.sort_unstable();
    Ok(delays)
}

async fn stream(address: SocketAddr) -> std::io::Result<Vec<Duration>> {
    const SENT: &[u8] = b"\"sent\":";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /{EVENTS} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes()).await?;
    let (mut buffer, mut seen, mut delays) = (Vec::new(), 0, Vec::with_capacity(EVENTS));
    while delays.len() < EVENTS {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let came = now();
        while let Some(at) = buffer.get(seen..).and_then(|rest| rest.windows(SENT.len()).position(|part| part == SENT))
        {
            let start = seen + at + SENT.len();
            let Some(digits) = buffer.get(start..start + 20) else { break };
            let sent: u128 = String::from_utf8_lossy(digits).parse().map_err(std::io::Error::other)?;
            delays.push(Duration::from_nanos(came.saturating_sub(sent).try_into().unwrap_or(u64::MAX)));
            seen = start + 20;
        }
    }
    Ok(delays)
}

/// Memory that a thousand streams take which say nothing.
pub async fn memory(proxies: &[Proxy], amounts: &Amounts) -> Result<Vec<Figure>, String> {
    let mut values = Vec::new();
    for proxy in proxies {
        let before = proxy.of_streams().memory();
        let mut open = Vec::with_capacity(amounts.streams);
        for _ in 0..amounts.streams {
            let idle = idle(proxy.streams).await;
            open.push(idle.map_err(|error| format!("{}: stream {}: {error}", proxy.kind.name(), open.len()))?);
        }
        let taken = proxy.of_streams().memory() - before;
        #[allow(clippy::cast_precision_loss, reason = "some thousand streams")]
        let thousands = amounts.streams as f64 / 1000.0;
        values.push((proxy.kind, taken / thousands / f64::from(1 << 20)));
    }
    Ok(compared("gateway.memory_per_1000_idle_streams", &values, "MiB", &[]))
}

async fn idle(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /idle HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
    let mut buffer = Vec::new();
    while !String::from_utf8_lossy(&buffer).contains("sent") {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}
