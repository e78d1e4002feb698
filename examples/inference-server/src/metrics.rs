//! What `/metrics` says.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// Requests for embeddings: how many, how they ended, how long they took.
pub struct Metrics {
    registry: Registry,
    requests: Family<Code, Counter>,
    duration: Histogram,
    tokens: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("inference"),
            requests: Family::default(),
            // 1 ms to 32 s: one word to a full request on a slow machine.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            tokens: Counter::default(),
        };
        metrics.registry.register("requests", "Requests for embeddings by HTTP status", metrics.requests.clone());
        metrics.registry.register_with_unit(
            "request_duration",
            "Time from a request's body to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics.registry.register("tokens", "Tokens the model has seen", metrics.tokens.clone());
        metrics
    }
}

impl Metrics {
    /// One request was answered.
    pub fn finished(&self, status: u16, seconds: f64) {
        self.requests.get_or_create(&Code { code: status }).inc();
        self.duration.observe(seconds);
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
