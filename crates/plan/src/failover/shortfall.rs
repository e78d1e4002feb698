//! Since when replicas do not serve: the health of what runs, apart from the contact with who runs it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{Failover, Shortfall, ShortfallCause};

/// How long replicas may not serve before others are made.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    failing: SignedDuration,
    starting: SignedDuration,
}

impl From<&Failover> for Patience {
    fn from(failover: &Failover) -> Self {
        Self {
            failing: SignedDuration::from_secs(failover.grace_period_seconds.into()),
            starting: SignedDuration::from_secs(failover.startup_patience_seconds.into()),
        }
    }
}

impl Patience {
    /// When a shortfall has lasted too long.
    #[must_use]
    pub fn ends(&self, shortfall: &Shortfall) -> Timestamp {
        let patience = match shortfall.cause {
            ShortfallCause::Failing => self.failing,
            ShortfallCause::Starting => self.starting,
        };
        shortfall.since.0 + patience
    }
}

/// Whether a shortfall has lasted too long.
#[must_use]
pub fn overdue(shortfall: Option<&Shortfall>, patience: Patience, now: Timestamp) -> bool {
    shortfall.is_some_and(|shortfall| now >= patience.ends(shortfall))
}

/// What the shortfall of a cluster is now. `ready` of `in_force` replicas are ready; `asked` says that more were asked for,
/// or others, since the last look.
#[must_use]
pub fn shortfall(
    before: Option<&Shortfall>,
    ready: i32,
    in_force: i32,
    asked: bool,
    now: Timestamp,
) -> Option<Shortfall> {
    if ready >= in_force {
        return None;
    }
    let anew = |cause| Shortfall { since: Time(whole_seconds(now)), cause };
    match before {
        _ if asked => Some(anew(ShortfallCause::Starting)),
        Some(before) => Some(before.clone()),
        None => Some(anew(ShortfallCause::Failing)),
    }
}
