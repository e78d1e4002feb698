//! What a client is told whose request no endpoint answers.

use http::StatusCode;
use skyfleet_balance::NoEndpoint;

use crate::backend::InFlight;
use crate::body::TooLarge;
use crate::deadline::Overdue;
use crate::exchange::ExchangeError;
use crate::limits::Reached;
use crate::refusal::Refusal;
use crate::route::Route;
use crate::waiting::NotServed;

/// Seconds after which it is worth to come again where no endpoint has room.
const COME_AGAIN: u64 = 1;

pub(crate) fn no_endpoint(why: NoEndpoint, route: &Route) -> Refusal {
    let (code, what) = match why {
        NoEndpoint::Empty => ("no_replica", "no replica is ready"),
        NoEndpoint::Full => ("all_replicas_full", "all replicas have as many requests as they take"),
    };
    let message = format!("{what} for the ModelRoute {}: try again soon", route.config.name);
    Refusal { retry_after: Some(COME_AGAIN), ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
}

pub(crate) fn not_served(why: &NotServed, route: &Route) -> Refusal {
    let code = match why {
        NotServed::Overdue(why) => return overdue(*why, route),
        NotServed::TimedOut(_) => "queue_timed_out",
        NotServed::Refused(_) => "queue_full",
    };
    let message = format!("the ModelRoute {}: {why}: try again soon", route.config.name);
    Refusal { retry_after: Some(COME_AGAIN), ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
}

pub(crate) fn overdue(why: Overdue, route: &Route) -> Refusal {
    let message =
        format!("the ModelRoute {}: {why}: ask for less, or raise timeouts.requestSeconds", route.config.name);
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "request_timed_out", message)
}

pub(crate) fn too_large(why: TooLarge) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", why.to_string())
}

pub(crate) fn limited(reached: &Reached, route: &Route) -> Refusal {
    let whose = if reached.is_of_client { "this client" } else { "all clients together" };
    let message = format!("the ModelRoute {}, for {whose}: {}", route.config.name, reached.limited);
    let seconds = reached.limited.retry_after.as_secs_f64().ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time from now on")]
    let retry_after = Some(seconds as u64);
    Refusal { retry_after, ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message) }
}

pub(crate) fn no_answer(error: &ExchangeError, in_flight: &InFlight, attempts: u32) -> Refusal {
    let at = format!("replica {} in {}", in_flight.endpoint.name, in_flight.endpoint.cluster);
    let times = if attempts > 1 { format!(", after {attempts} attempts") } else { String::new() };
    match error {
        ExchangeError::TimedOut(_) => {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "replica_timed_out", format!("{at}: {error}{times}"))
        }
        ExchangeError::Request(_) => Refusal::new(StatusCode::BAD_REQUEST, "incomplete_request", error.to_string()),
        ExchangeError::TooLarge(why) => too_large(*why),
        _ => Refusal::new(StatusCode::BAD_GATEWAY, "replica_failed", format!("{at}: {error}{times}")),
    }
}
