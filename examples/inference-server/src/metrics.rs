//! What `/metrics` says.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// Requests for embeddings: how many there are, how they ended, how long they took.
pub struct Metrics {
    registry: Registry,
    in_flight: Gauge,
    queued: Gauge,
    requests: Family<Code, Counter>,
    errors: Counter,
    duration: Histogram,
    tokens: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("inference"),
            in_flight: Gauge::default(),
            queued: Gauge::default(),
            requests: Family::default(),
            errors: Counter::default(),
            // 1 ms to 32 s: one word to a full request on a slow machine.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            tokens: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests_in_flight", "Requests for embeddings being computed", metrics.in_flight.clone());
        registry.register("requests_queued", "Requests for embeddings waiting for their turn", metrics.queued.clone());
        registry.register("requests", "Requests for embeddings by HTTP status", metrics.requests.clone());
        registry.register("request_errors", "Requests for embeddings answered 5xx", metrics.errors.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's body to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("tokens", "Tokens the model has seen", metrics.tokens.clone());
        metrics
    }
}

impl Metrics {
    /// One request was answered.
    pub fn finished(&self, status: u16, seconds: f64) {
        self.requests.get_or_create(&Code { code: status }).inc();
        if status >= 500 {
            self.errors.inc();
        }
        self.duration.observe(seconds);
    }

    /// One request waits for its turn, until the answer is dropped.
    #[must_use]
    pub fn waiting(&self) -> Counted {
        Counted::new(&self.queued)
    }

    /// One request is computed, until the answer is dropped.
    #[must_use]
    pub fn computing(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// The model saw so many tokens.
    pub fn add_tokens(&self, tokens: usize) {
        self.tokens.inc_by(tokens as u64);
    }

    /// All of it in the OpenMetrics text format.
    ///
    /// # Errors
    /// Only when the encoder fails to write to memory.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Something that a gauge counts as long as it lives: a client that hangs up leaves nothing behind.
pub struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_follow_what_lives_and_errors_are_the_servers_own() {
        let metrics = Metrics::default();
        let waiting = (metrics.waiting(), metrics.waiting());
        let computing = metrics.computing();
        let text = metrics.render().unwrap();
        assert!(text.contains("inference_requests_in_flight 1\n"), "{text}");
        assert!(text.contains("inference_requests_queued 2\n"), "{text}");
        drop((waiting, computing));
        for status in [200, 404, 429, 500, 503] {
            metrics.finished(status, 0.5);
        }
        let text = metrics.render().unwrap();
        for line in [
            "inference_requests_in_flight 0",
            "inference_requests_queued 0",
            "inference_requests_total{code=\"200\"} 1",
            "inference_request_errors_total 2",
            "inference_request_duration_seconds_sum 2.5",
            "inference_request_duration_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
