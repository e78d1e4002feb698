//! What the operator measures. Labels are bounded: kinds, outcomes and member clusters, never the name of a user's object.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Member {
    member_cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoadOutcome {
    member_cluster: String,
    outcome: &'static str,
}

/// How it went to ask a pod for its load, or a member for the pods to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadReport {
    /// It was told.
    Reported,
    /// The pod answered, with none of the metrics that were asked for.
    Nothing,
    /// The member or the pod does not let the hub ask.
    Denied,
    /// There was no answer in time.
    TimedOut,
    /// The answer is larger than is read.
    TooLarge,
    /// The answer is not in the text format of metrics.
    Unreadable,
    /// It could not be asked, or answered with an error.
    Failed,
}

impl LoadReport {
    const ALL: [Self; 7] =
        [Self::Reported, Self::Nothing, Self::Denied, Self::TimedOut, Self::TooLarge, Self::Unreadable, Self::Failed];

    fn word(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Nothing => "nothing",
            Self::Denied => "denied",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    fn of(self, member_cluster: &str) -> LoadOutcome {
        LoadOutcome { member_cluster: member_cluster.to_owned(), outcome: self.word() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LineageOutcome {
    outcome: &'static str,
}

/// What became of an event for those who collect lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineageReport {
    /// It was taken.
    Sent,
    /// It was refused, or could not be sent in time.
    Refused,
    /// Too many others waited.
    LeftOut,
}

impl LineageReport {
    fn of(self) -> LineageOutcome {
        let outcome = match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::LeftOut => "left_out",
        };
        LineageOutcome { outcome }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabel {
    outcome: &'static str,
}

/// What became of a change that somebody told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoticeOutcome {
    /// It is looked at, where it is one of a DatasetReplica's objects.
    Taken,
    /// It is one of another bucket than who told it is for.
    OtherBucket,
    /// Who told it may not.
    Refused,
    /// It is in no known form.
    Unreadable,
}

impl NoticeOutcome {
    fn of(self) -> NoticeLabel {
        let outcome = match self {
            Self::Taken => "taken",
            Self::OtherBucket => "other_bucket",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
        };
        NoticeLabel { outcome }
    }
}

/// The operator's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Outcome, Counter>,
    durations: Family<Kind, Histogram>,
    reachable: Family<Member, Gauge>,
    round_trips: Family<Member, Gauge<f64, AtomicU64>>,
    load_reports: Family<LoadOutcome, Counter>,
    mirrored_objects: Counter,
    mirrored_bytes: Counter,
    lineage_events: Family<LineageOutcome, Counter>,
    notices: Family<NoticeLabel, Counter>,
    stream_pending: Gauge,
    stream_lag: Gauge<f64, AtomicU64>,
    gateways: Gauge,
    leader: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("skyfleet");
        let reconciles = Family::<Outcome, Counter>::default();
        registry.register("reconciles", "Passes over an object, by kind and outcome", reconciles.clone());
        let durations =
            Family::<Kind, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 9)));
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a pass over an object",
            Unit::Seconds,
            durations.clone(),
        );
        let reachable = Family::<Member, Gauge>::default();
        registry.register(
            "member_reachable",
            "Whether a member's API server answers (1) or not (0)",
            reachable.clone(),
        );
        let round_trips = Family::<Member, Gauge<f64, AtomicU64>>::default();
        registry.register_with_unit(
            "member_round_trip",
            "Median time of the last small requests to a member's API server",
            Unit::Seconds,
            round_trips.clone(),
        );
        let load_reports = Family::<LoadOutcome, Counter>::default();
        registry.register("load_reports", "Pods asked for their load, by member and outcome", load_reports.clone());
        let mirrored_objects = Counter::default();
        registry.register("mirrored_objects", "Objects copied and verified", mirrored_objects.clone());
        let mirrored_bytes = Counter::default();
        registry.register_with_unit(
            "mirrored",
            "Bytes of the objects copied and verified",
            Unit::Bytes,
            mirrored_bytes.clone(),
        );
        let lineage_events = Family::<LineageOutcome, Counter>::default();
        registry.register("lineage_events", "Events of OpenLineage, by outcome", lineage_events.clone());
        let notices = Family::<NoticeLabel, Counter>::default();
        registry.register("notices", "Changes that notifications of buckets told of, by outcome", notices.clone());
        let stream_pending = Gauge::default();
        registry.register(
            "stream_pending_objects",
            "Objects of all streams that are known to have changed and are not mirrored everywhere",
            stream_pending.clone(),
        );
        let stream_lag = Gauge::<f64, AtomicU64>::default();
        registry.register_with_unit(
            "stream_lag",
            "The age of the oldest change in any stream that is known and not mirrored everywhere",
            Unit::Seconds,
            stream_lag.clone(),
        );
        let gateways = Gauge::default();
        registry.register("gateways_reporting", "Gateways that tell of the requests they send", gateways.clone());
        let leader = Gauge::default();
        registry.register("leader", "Whether this operator is the active one (1) or stands by (0)", leader.clone());
        Self {
            registry: Arc::new(registry),
            reconciles,
            durations,
            reachable,
            round_trips,
            load_reports,
            mirrored_objects,
            mirrored_bytes,
            lineage_events,
            notices,
            stream_pending,
            stream_lag,
            gateways,
            leader,
        }
    }

    /// In the Prometheus/OpenMetrics text format.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }

    pub(crate) fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Outcome { kind, outcome }).inc();
        self.durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    pub(crate) fn member(&self, member_cluster: &str, reachable: bool, round_trip: Option<Duration>) {
        let label = Member { member_cluster: member_cluster.to_owned() };
        self.reachable.get_or_create(&label).set(i64::from(reachable));
        if let Some(round_trip) = round_trip {
            self.round_trips.get_or_create(&label).set(round_trip.as_secs_f64());
        }
    }

    pub(crate) fn member_left(&self, member_cluster: &str) {
        let label = Member { member_cluster: member_cluster.to_owned() };
        self.reachable.remove(&label);
        self.round_trips.remove(&label);
        for outcome in LoadReport::ALL {
            self.load_reports.remove(&outcome.of(member_cluster));
        }
    }

    pub(crate) fn load_report(&self, member_cluster: &str, outcome: LoadReport) {
        self.load_reports.get_or_create(&outcome.of(member_cluster)).inc();
    }

    pub(crate) fn mirrored(&self, objects: u64, bytes: u64) {
        self.mirrored_objects.inc_by(objects);
        self.mirrored_bytes.inc_by(bytes);
    }

    pub(crate) fn lineage(&self, report: LineageReport) {
        self.lineage_events.get_or_create(&report.of()).inc();
    }

    pub(crate) fn notices(&self, outcome: NoticeOutcome, count: usize) {
        if count > 0 {
            self.notices.get_or_create(&outcome.of()).inc_by(count as u64);
        }
    }

    /// How far all streams are: objects that are pending, and the longest lag.
    pub(crate) fn streams(&self, pending: usize, lag: Duration) {
        self.stream_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.stream_lag.set(lag.as_secs_f64());
    }

    /// How many gateways tell of the requests they send.
    pub(crate) fn gateways(&self, reporting: usize) {
        self.gateways.set(i64::try_from(reporting).unwrap_or(i64::MAX));
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
