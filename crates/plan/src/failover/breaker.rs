//! The circuit breaker. When many clusters fall silent together it is likelier that the hub lost its network than that all of
//! them died; then nothing moves because of their silence.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Contact, ContactState};

/// Clusters lost within this time of each other were lost together. Noticing a loss takes up to 30 s.
const TOGETHER: SignedDuration = SignedDuration::from_mins(2);

/// Why the hub suspects itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Clusters that fell silent together, those included of which that is still to be seen.
    pub lost: usize,
    /// How many of these are still to be seen: that ends by itself, soon.
    pub doubted: usize,
    /// Clusters that had answered just before.
    pub of: usize,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} clusters fell silent together, so the hub suspects its own network and moves nothing because of it",
            self.lost, self.of
        )
    }
}

/// Whether the loss of this cluster was one of so many at once that the hub suspects itself: more than `max_share` of those
/// that had answered just before. Clusters that have long been lost count on neither side. Those that are doubted count as
/// lost: losses at one moment are noticed one after the other, and what is noticed first must not be acted on as if it were
/// all.
#[must_use]
pub fn suspicion<'a>(
    cluster: &Contact,
    fleet: impl Iterator<Item = &'a Contact> + Clone,
    max_share: f64,
) -> Option<Suspicion> {
    if cluster.state != ContactState::Silent {
        return None;
    }
    let silent = |other: &&Contact| other.state == ContactState::Silent;
    let doubted = fleet.clone().filter(|other| !silent(other) && other.doubted).count();
    let lost = fleet.clone().filter(|other| silent(other) && together(other.since, cluster.since)).count() + doubted;
    let of = lost + fleet.filter(|other| !silent(other) && !other.doubted).count();
    #[allow(clippy::cast_precision_loss, reason = "no fleet has 2^52 clusters")]
    let exceeds = lost as f64 > max_share * of as f64;
    exceeds.then_some(Suspicion { lost, doubted, of })
}

/// From when the silence of a cluster counts. When clusters that were lost with it have returned, the network has just
/// healed: this one is given its time anew, from the last return.
#[must_use]
pub fn lost_since<'a>(cluster: &Contact, fleet: impl Iterator<Item = &'a Contact>) -> Timestamp {
    let returns = fleet
        .filter(|other| other.state != ContactState::Silent)
        .filter(|other| other.last_loss.is_some_and(|lost| together(lost, cluster.since)))
        .map(|other| other.since);
    returns.fold(cluster.since, Timestamp::max)
}

fn together(a: Timestamp, b: Timestamp) -> bool {
    a.duration_since(b).abs() <= TOGETHER
}
