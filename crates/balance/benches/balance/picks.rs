//! What a pick costs, with what the request teaches until its end.

use std::time::{Duration, Instant};

use skyfleet_balance::pool::{Algorithm, Endpoint, Pool, Request, Settings};
use skyfleet_balance::{affinity, pool::Ticket};

/// The best of so many rounds: others on the machine only ever add.
const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 32;

pub fn measure() {
    for endpoints in [10, 1000] {
        for (name, algorithm, with_affinity) in [
            ("round_robin", Algorithm::RoundRobin, false),
            ("least_connection", Algorithm::LeastConnection, false),
            ("least_response_time", Algorithm::LeastResponseTime, false),
            ("affinity", Algorithm::RoundRobin, true),
        ] {
            let rounds = (0..ROUNDS).map(|_| nanoseconds(algorithm, with_affinity, endpoints));
            let value = rounds.fold(f64::INFINITY, f64::min);
            crate::print(&format!(
                r#"{{"bench":"balance/pick.{name}","value":{value:.0},"unit":"ns","peer":null,"ratio":null,"endpoints":{endpoints}}}"#
            ));
        }
    }
}

/// Of a request: to pick, its first byte and its end.
fn nanoseconds(algorithm: Algorithm, with_affinity: bool, endpoints: u32) -> f64 {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut pool = Pool::new(Settings { algorithm, ..Settings::default() });
    pool.update(
        (0..endpoints).map(|key| Endpoint::new(key, affinity::hash(&key.to_le_bytes()))),
        Duration::ZERO,
        &mut rng,
    );
    let mut open: [Option<Ticket>; IN_FLIGHT] = [None; IN_FLIGHT];
    let requests = 4_000_000 / endpoints.max(20);
    let mut began = Instant::now();
    for number in 0..requests {
        if number == requests / 10 {
            began = Instant::now();
        }
        let now = Duration::from_micros(u64::from(number) * 100);
        let place = &mut open[number as usize % IN_FLIGHT];
        if let Some(ticket) = place.take() {
            pool.first_byte(ticket, now);
            pool.end(ticket, now);
        }
        let affinity = with_affinity.then(|| affinity::hash(&number.to_le_bytes()));
        *place = pool.pick(&Request { affinity, tried: &[] }, now, &mut rng).ok();
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(requests - requests / 10)
}
