//! Times that were taken, and figures: one line of JSON each.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// A number of schedules, one after the other.
#[derive(Default)]
pub struct Run {
    took: Vec<Duration>,
    /// Seconds for which they had a processor: others on the machine cost the clock more than these.
    processor: f64,
}

impl Run {
    /// A run of another program.
    pub fn of(schedules: usize, seconds: f64, processor: f64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let each = Duration::from_secs_f64(seconds / schedules as f64);
        Self { took: vec![each; schedules], processor }
    }

    /// Takes the time of one schedule.
    pub fn time<T>(&mut self, schedule: impl FnOnce() -> T) -> T {
        let (processor, start) = (processor_seconds(), Instant::now());
        let done = schedule();
        self.took.push(start.elapsed());
        self.processor += processor_seconds() - processor;
        done
    }

    pub fn seconds(&self) -> f64 {
        self.took.iter().sum::<Duration>().as_secs_f64()
    }

    /// Schedules in a second.
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.seconds()
    }

    /// Schedules in a second of a processor.
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    pub fn processor_rate(&self) -> f64 {
        self.took.len() as f64 / self.processor
    }

    /// Seconds that so many percent of the schedules took at most.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort();
        sorted[(sorted.len() - 1) * percent / 100].as_secs_f64()
    }
}

/// Seconds for which this thread has had a processor; not a number where the kernel does not tell.
fn processor_seconds() -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    nanoseconds.split_whitespace().next().and_then(|first| first.parse().ok()).map_or(f64::NAN, |all: f64| all / 1e9)
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// One figure.
pub struct Figure {
    value: f64,
    line: Map<String, Value>,
}

impl Figure {
    pub fn new(bench: &str, value: f64, unit: &str) -> Self {
        let mut line = Map::new();
        let rounded = (value * 1e6).round() / 1e6;
        for (name, value) in [
            ("bench", json!(bench)),
            ("value", json!(rounded)),
            ("unit", json!(unit)),
            ("peer", json!(null)),
            ("ratio", json!(null)),
        ] {
            line.insert(name.to_owned(), value);
        }
        Self { value, line }
    }

    /// Compares it with another program's.
    pub fn against(self, peer: &str, value: f64) -> Self {
        let ratio = (self.value / value * 100.0).round() / 100.0;
        self.with(&json!({"peer": peer, "peerValue": (value * 100.0).round() / 100.0, "ratio": ratio}))
    }

    /// Adds circumstances.
    pub fn with(mut self, more: &Value) -> Self {
        self.line.extend(more.as_object().cloned().unwrap_or_default());
        self
    }

    #[allow(clippy::print_stdout, reason = "the output of a benchmark")]
    pub fn print(self) {
        println!("{}", Value::Object(self.line));
    }
}
