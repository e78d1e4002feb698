//! How unsteady a cluster's contact has been: each loss costs, time heals (route flap damping, RFC 2439). A cluster that has
//! cost too much takes new replicas only where no other can, until it has been steady for long enough.

use jiff::{SignedDuration, Timestamp};

use super::Contact;

/// What a loss costs.
const LOSS: i32 = 1000;
/// In this time a penalty falls to half.
const HALF_LIFE: SignedDuration = SignedDuration::from_mins(15);
/// Above this a cluster is damped,
const SUPPRESS: i32 = 3000;
/// until it has fallen to this.
const REUSE: i32 = 750;
/// No penalty is higher: within an hour of quiet every cluster is forgiven.
const CEILING: i32 = 12_000;

/// The penalty after a loss at `now`.
#[must_use]
pub fn after_loss(penalty: i32, last_loss: Option<Timestamp>, now: Timestamp) -> i32 {
    let left = last_loss.map_or(0, |last| healed(penalty, now.duration_since(last)));
    (left + LOSS).min(CEILING)
}

/// Until when a cluster is damped; `None` when it is not.
#[must_use]
pub fn damped_until(contact: &Contact, now: Timestamp) -> Option<Timestamp> {
    let last = contact.last_loss.filter(|_| contact.flap_penalty > SUPPRESS)?;
    let half_lives = (f64::from(contact.flap_penalty) / f64::from(REUSE)).log2();
    // Whole seconds, as Kubernetes keeps times.
    #[allow(clippy::cast_possible_truncation, reason = "at most an hour")]
    let seconds = (HALF_LIFE.as_secs_f64() * half_lives).ceil() as i64;
    let until = last + SignedDuration::from_secs(seconds);
    (until > now).then_some(until)
}

fn healed(penalty: i32, time: SignedDuration) -> i32 {
    let half_lives = time.as_secs_f64().max(0.0) / HALF_LIFE.as_secs_f64();
    #[allow(clippy::cast_possible_truncation, reason = "it only becomes less")]
    let left = (f64::from(penalty) * (-half_lives).exp2()).round() as i32;
    left
}
