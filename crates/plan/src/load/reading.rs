//! What to look for in a pod's metrics: the names that a user or a preset gives, taken apart once.

use skyfleet_api::model_deployment::RuntimeMetrics;

use super::exposition::{Labels, Sample, labels, name};

/// What to look for in a pod's metrics, and where.
///
/// A name may say more than one word: `requests{status="5xx"}` takes only the label sets that have all of these labels, and
/// `good + bad` the sum of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    path: String,
    port: u16,
    pub(super) terms: Vec<Term>,
}

/// Why nothing can be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// A name is none.
    #[error(
        "runtime.metrics.{field} is {text:?}, which is no metric: write NAME or NAME{{LABEL=\"VALUE\"}}, or a sum of such \
         with +"
    )]
    Name {
        /// The field.
        field: &'static str,
        /// What it holds.
        text: String,
    },
    /// A path that the member's API server, or what is before it, could take for one of its own.
    #[error("runtime.metrics.path is {0:?}: it must begin with / and have neither . nor .. between slashes")]
    Path(String),
    /// No port, or none that can be.
    #[error("runtime.metrics.port is not known: set it")]
    Port,
}

/// What a metric tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    InFlight,
    Queued,
    Requests,
    Errors,
    FirstTokenSum,
    FirstTokenCount,
}

/// One metric with, perhaps, some of its labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) part: Part,
    /// The name as it was given; a histogram's sum and count share it.
    given: String,
    name: String,
    /// What a counter of this name may be called in the other text format.
    otherwise: Option<String>,
    labels: Vec<(String, String)>,
    pub(super) scale: f64,
}

impl Reading {
    /// Takes the names apart.
    ///
    /// # Errors
    /// See [`ReadingError`].
    pub fn new(metrics: &RuntimeMetrics) -> Result<Self, ReadingError> {
        let port = metrics.port.and_then(|port| u16::try_from(port).ok()).ok_or(ReadingError::Port)?;
        let path = path(&metrics.path)?;
        let fields = [
            ("inFlight", &metrics.in_flight, Kind::Gauge(Part::InFlight)),
            ("queued", &metrics.queued, Kind::Gauge(Part::Queued)),
            ("requests", &metrics.requests, Kind::Counter(Part::Requests)),
            ("errors", &metrics.errors, Kind::Counter(Part::Errors)),
            ("timeToFirstToken", &metrics.time_to_first_token, Kind::Histogram),
        ];
        let mut terms = Vec::new();
        for (field, text, kind) in fields {
            let Some(text) = text else { continue };
            let selectors = selectors(text).ok_or_else(|| ReadingError::Name { field, text: text.clone() })?;
            terms.extend(selectors.iter().flat_map(|(name, labels)| kind.terms(name, labels)));
        }
        Ok(Self { path, port, terms })
    }

    /// The path of the metrics, with its slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The port of the metrics.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.terms.iter().any(|term| term.name == name || term.otherwise.as_deref() == Some(name))
    }
}

/// How a metric is written.
#[derive(Clone, Copy)]
enum Kind {
    Gauge(Part),
    Counter(Part),
    Histogram,
}

impl Kind {
    fn terms(self, given: &str, labels: &Labels<'_>) -> Vec<Term> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        let term = |part, suffix| Term {
            part,
            given: given.to_owned(),
            name: format!("{given}{suffix}"),
            otherwise: None,
            labels: labels.clone(),
            scale: 1.0,
        };
        match self {
            Self::Gauge(part) => vec![term(part, "")],
            Self::Counter(part) => vec![Term { otherwise: Some(other_counter(given)), ..term(part, "") }],
            Self::Histogram => vec![
                Term { scale: seconds(given), ..term(Part::FirstTokenSum, "_sum") },
                term(Part::FirstTokenCount, "_count"),
            ],
        }
    }
}

/// OpenMetrics writes `_total` behind a counter's name, the libraries of Prometheus' own format often nothing.
fn other_counter(name: &str) -> String {
    name.strip_suffix("_total").map_or_else(|| format!("{name}_total"), str::to_owned)
}

impl Term {
    /// The key of a sample's series when this term means it; whether it has the name that was given comes along.
    pub(super) fn key(&self, sample: &Sample<'_>) -> Option<(String, bool)> {
        let exact = sample.name == self.name;
        let named = exact || self.otherwise.as_deref() == Some(sample.name);
        let has = |(name, value): &(String, String)| {
            sample.labels.iter().any(|(found, content)| found == name && content == value)
        };
        (named && self.labels.iter().all(has)).then(|| (format!("{}{}", self.given, sample.series), exact))
    }
}

/// By convention a metric's name ends in its unit.
fn seconds(name: &str) -> f64 {
    let ends = |units: [&str; 2]| units.iter().any(|unit| name.ends_with(unit));
    if ends(["_ms", "_milliseconds"]) {
        1e-3
    } else if ends(["_us", "_microseconds"]) {
        1e-6
    } else {
        1.0
    }
}

fn path(path: &str) -> Result<String, ReadingError> {
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    let climbs = plain.split(['/', '\\', '?']).any(|segment| segment == "." || segment == "..");
    if path.starts_with('/') && !climbs { Ok(path.to_owned()) } else { Err(ReadingError::Path(path.to_owned())) }
}

/// `NAME{LABEL="VALUE"} + NAME`: names and labels.
fn selectors(text: &str) -> Option<Vec<(&str, Labels<'_>)>> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let (metric, behind) = name(rest.trim_start())?;
        let behind = behind.trim_start();
        let (wanted, behind) = match behind.strip_prefix('{') {
            Some(inner) => labels(inner)?,
            None => (Labels::new(), behind),
        };
        all.push((metric, wanted));
        let behind = behind.trim();
        if behind.is_empty() {
            return Some(all);
        }
        rest = behind.strip_prefix('+')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> RuntimeMetrics {
        RuntimeMetrics { path: "/metrics".to_owned(), port: Some(80), ..RuntimeMetrics::default() }
    }

    #[test]
    fn names_labels_and_sums_are_taken() {
        for (text, terms) in [("a", 1), ("a:b_c", 1), (" a{x=\"1\", y=\"a + b\"} + b ", 2), ("a+b+c", 3), ("a{}", 1)] {
            let reading = Reading::new(&RuntimeMetrics { queued: Some(text.to_owned()), ..metrics() });
            assert_eq!(reading.map(|reading| reading.terms.len()), Ok(terms), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_field() {
        for text in ["", "a b", "a +", "+ a", "a-b", "1a", "a{x}", "a{x=1}", "a{x=\"1\"", "a{x!=\"1\"}", "sum(a)"] {
            let error = Reading::new(&RuntimeMetrics { errors: Some(text.to_owned()), ..metrics() }).unwrap_err();
            assert!(error.to_string().starts_with("runtime.metrics.errors is"), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_cannot_leave_the_pod() {
        for good in ["/metrics", "/", "/a/b?c=d..e", "/a..b/.c"] {
            assert!(Reading::new(&RuntimeMetrics { path: good.to_owned(), ..metrics() }).is_ok(), "{good}");
        }
        for bad in ["", "metrics", "/../x", "/a/..", "/a/%2E%2e/b", "/a/.%2e?x", "/./a", "/a\\..\\b"] {
            let read = Reading::new(&RuntimeMetrics { path: bad.to_owned(), ..metrics() });
            assert_eq!(read, Err(ReadingError::Path(bad.to_owned())));
        }
        for port in [None, Some(0x1_0000), Some(-1)] {
            assert_eq!(Reading::new(&RuntimeMetrics { port, ..metrics() }), Err(ReadingError::Port));
        }
    }
}
