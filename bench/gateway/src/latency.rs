//! How much later an answer comes through each proxy than from a replica itself, at a third of what the quickest can do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::figures::{Figure, percentile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::load::wrk;
use crate::proxies::{Kind, Proxy};
use crate::replicas::Replicas;
use crate::{Amounts, compared};

const CONNECTIONS: u32 = 16;
const REQUEST: &[u8] = b"GET /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n\r\n";

/// Requests come at a fixed rate, whether the last one was answered or not.
pub async fn added(proxies: &[Proxy], replicas: &Replicas, amounts: &Amounts) -> Result<Vec<Figure>, String> {
    let nginx = proxies.iter().find(|proxy| proxy.kind == Kind::Nginx).ok_or("there is no NGINX")?;
    #[allow(clippy::cast_precision_loss, reason = "some seconds")]
    let rate = tokio::task::block_in_place(|| wrk(nginx, amounts))? / amounts.seconds as f64 * 0.3;
    let port = replicas.requests.first().ok_or("there is no replica")?;
    let replica = SocketAddr::from(([127, 0, 0, 1], *port));
    let mut targets: Vec<_> = proxies.iter().map(|proxy| (Some(proxy.kind), proxy.requests, Vec::new())).collect();
    targets.push((None, replica, Vec::new()));
    for _ in 0..amounts.rounds {
        for (_, address, taken) in &mut targets {
            taken.extend(at_rate(*address, rate, Duration::from_secs(amounts.seconds)).await?);
        }
    }
    let mut figures = Vec::new();
    for percent in [50.0, 99.0] {
        let of = |taken: &mut Vec<Duration>| {
            taken.sort_unstable();
            percentile(taken, percent).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        let direct = targets.last_mut().map_or(f64::NAN, |(_, _, taken)| of(taken));
        let values: Vec<_> =
            targets.iter_mut().filter_map(|(kind, _, taken)| Some(((*kind)?, of(taken) - direct))).collect();
        let bench = format!("gateway.added_latency_p{percent:.0}");
        let with = |figure: Figure| figure.with("rate", rate.round()).with("direct", direct.round());
        figures.extend(compared(&bench, &values, "us", &[]).into_iter().map(with));
    }
    Ok(figures)
}

/// How long each request took from when it was due.
async fn at_rate(address: SocketAddr, rate: f64, time: Duration) -> Result<Vec<Duration>, String> {
    let began = Instant::now() + Duration::from_millis(50);
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let connections = (0..CONNECTIONS).map(|number| async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut due, mut taken) = (began + every / CONNECTIONS * number, Vec::new());
        while due < began + time {
            sleep_until(due).await;
            stream.write_all(REQUEST).await?;
            answer(&mut stream).await?;
            taken.push(due.elapsed());
            due += every;
        }
        Ok::<_, std::io::Error>(taken)
    });
    let all = futures::future::try_join_all(connections).await.map_err(|error| format!("{address}: {error}"))?;
    Ok(all.concat())
}

/// Reads an answer with a length, or of chunks.
async fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    loop {
        let text = String::from_utf8_lossy(&buffer).to_ascii_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let is_whole = match length {
                Some(length) => buffer.len() >= end + 4 + usize::clone(&length),
                None => text.ends_with("\r\n0\r\n\r\n"),
            };
            if is_whole {
                return Ok(());
            }
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
