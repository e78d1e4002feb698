//! CPU time of each proxy for a request, under a client that always has one to send.

use std::process::Command;

use crate::figures::Figure;

use crate::proxies::{Kind, Proxy};
use crate::{Amounts, compared, median};

/// Microseconds of CPU a request; a turn of each in each round.
pub fn cpu(proxies: &[Proxy], amounts: &Amounts) -> Result<Vec<Figure>, String> {
    let mut spent = vec![Vec::new(); proxies.len()];
    // The first round warms caches and connections.
    for round in 0..=amounts.rounds {
        for (proxy, spent) in proxies.iter().zip(&mut spent) {
            let before = proxy.process.cpu();
            let requests = wrk(proxy, amounts)?;
            let took = (proxy.process.cpu() - before) / requests * 1e6;
            if round > 0 {
                spent.push(took);
            }
        }
    }
    let values: Vec<_> = proxies.iter().zip(spent).map(|(proxy, spent)| (proxy.kind, median(spent))).collect();
    Ok(compared("gateway.cpu_per_request", &values, "us", &[(Kind::Nginx, 1.5), (Kind::Haproxy, 1.2)]))
}

/// How many requests were answered.
pub fn wrk(proxy: &Proxy, amounts: &Amounts) -> Result<f64, String> {
    let mut command = Command::new("wrk");
    command.arg("-t1").arg(format!("-c{}", amounts.connections)).arg(format!("-d{}s", amounts.seconds));
    command.arg(format!("http://{}/v1/chat/completions", proxy.requests));
    let output = command.output().map_err(|error| format!("cannot run wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("{} failed requests: {text}", proxy.kind.name()));
    }
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in"));
    let requests = requests.and_then(|(requests, _)| requests.parse::<f64>().ok());
    requests.ok_or_else(|| format!("wrk says something else: {text}"))
}
