//! What is measured of TLS towards clients. Nothing of it is there where clients speak in clear text.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCertificate {
    shown_to: &'static str,
}

const SHOWN: OfCertificate = OfCertificate { shown_to: "clients" };

/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct TlsMetrics {
    loads: Family<OfOutcome, Counter>,
    failed_handshakes: Counter,
    not_after: Family<OfCertificate, Gauge>,
}

impl TlsMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Certificates for clients that were read, by whether they could be used";
        registry.register("certificate_loads", help, self.loads.clone());
        let help = "TLS handshakes with clients that failed or took too long";
        registry.register("failed_handshakes", help, self.failed_handshakes.clone());
        let help = "Until when the certificate for clients is good, since 1970";
        registry.register_with_unit("certificate_not_after", help, Unit::Seconds, self.not_after.clone());
    }

    /// A pair is used from now on, until this time.
    pub(super) fn taken(&self, not_after: Option<i64>) {
        self.loads.get_or_create(&OfOutcome { outcome: "taken" }).inc();
        // There from the beginning, so that its growth is seen.
        let _refused = self.loads.get_or_create(&OfOutcome { outcome: "refused" });
        self.not_after.clear();
        if let Some(seconds) = not_after {
            self.not_after.get_or_create(&SHOWN).set(seconds);
        }
    }

    /// A pair could not be used, or not be read.
    pub(super) fn refused(&self) {
        self.loads.get_or_create(&OfOutcome { outcome: "refused" }).inc();
    }

    pub(super) fn handshake_failed(&self) {
        self.failed_handshakes.inc();
    }
}
