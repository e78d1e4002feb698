//! How many replicas the load asks for, over the whole fleet.
//!
//! The formula is that of the HorizontalPodAutoscaler, for the sum over all clusters
//! (<https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details>): replicas =
//! ⌈what is there / what one shall have⌉, unless that is within 10 % of what it is now; of two targets the one that wants
//! more counts; a replica that is not ready, or does not report, counts as idle where more are wanted and as busy as it
//! shall be where fewer are; a target of which nothing is reported lets none go. So are the pace and the patience: at most
//! double, or four more, at a time; fewer only after a window in which fewer were always enough.
//!
//! What is different:
//! * **The pace is counted from ready replicas.** A pass comes with every event, not every 15 s, so that a step from what was
//!   decided last would be no limit. The next step comes when the replicas of the one before are ready.
//! * **The window is anchored, not sliding**, because a status shall not hold a history: the most that was wanted since
//!   `fewerSince` is what remains when the window is over, and then a new one begins. After a slow decline this is up to one
//!   window later than with a sliding one, never earlier.
//! * **To zero** goes only what has had nothing in flight, nothing queued and nothing answered in `idleSeconds`, and in
//!   `scaleDownSeconds`, where `minReplicas` is 0. All that are ready must have said so: silence is not idleness. A queue
//!   that a runtime does not report is empty where nothing is in flight.
//! * **From zero** brings a request that found no replica, if it came within `idleSeconds` (an older one has been given up,
//!   and may have been answered by the replicas that went since). One that came while the last replica starts up, or
//!   serves, keeps it as long.
//! * **No more than the fleet can hold.** Replicas that nobody can place would be shown as missing, and would hide that
//!   others are. What is there already stays, whatever the fleet could hold.
//!
//! The bounds of the spec hold at once, whatever else is said here.
//!
//! `why` has numbers of the moment when it was written, and is written anew only when the decision, or its reason, is
//! another: a load that sways changes nothing, hence writes nothing.

mod reading;
mod why;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{Autoscaling, AutoscalingStatus};

use crate::load::Load;
use crate::time::after;
use reading::Reading;

/// What autoscaling decides from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What is aimed at, and the bounds.
    pub spec: &'a Autoscaling,
    /// What was decided last; absent before the first pass.
    pub status: Option<&'a AutoscalingStatus>,
    /// The number to start with, from `spec.replicas`.
    pub start: i32,
    /// Replicas that are ready in the whole fleet, with those last seen in clusters that are not reached.
    pub ready: i32,
    /// What they report, cluster by cluster. What is not fresh is not looked at.
    pub loads: &'a [&'a Load],
    /// The most that the fleet can hold now, with what it holds already; absent where that is not known.
    pub placeable: Option<i32>,
    /// When a request last found no replica.
    pub requested: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What autoscaling decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number and why. While nothing is decided, an equal one each time.
    pub status: AutoscalingStatus,
    /// When to ask again even if nothing changes till then; always later than now.
    pub look_again: Option<Timestamp>,
}

/// The number, and since when fewer would be enough, with the most that was wanted since.
#[derive(Clone, Copy)]
struct Decision {
    replicas: i32,
    fewer: Option<(Timestamp, i32)>,
}

/// Decides how many replicas there shall be.
#[must_use]
pub fn decide(question: &Question) -> Answer {
    let reading = Reading::of(question);
    let current = question.within(question.status.map_or(question.start, |status| status.replicas));
    let wanted = question.wanted(&reading, current);
    let decision = if wanted < current {
        question.fewer(&reading, current, wanted)
    } else {
        Decision { replicas: wanted.min(question.most_now(current)), fewer: None }
    };
    let why = why::why(question, &reading, decision);
    let status = AutoscalingStatus {
        replicas: decision.replicas,
        fewer_since: decision.fewer.map(|(since, _)| Time(since)),
        fewer: decision.fewer.map(|(_, most)| most),
        why,
    };
    Answer { status, look_again: question.look_again(decision) }
}

impl Question<'_> {
    /// A number within the bounds.
    fn within(&self, replicas: i32) -> i32 {
        replicas.min(self.spec.max_replicas).max(self.spec.min_replicas).max(0)
    }

    /// What would be right where there are `current` replicas, but for pace and patience.
    fn wanted(&self, reading: &Reading, current: i32) -> i32 {
        let called = i32::from(current == 0 && self.is_called());
        self.within(reading.wanted(current).unwrap_or(current).max(called))
    }

    /// Whether somebody has asked for the model lately and found no replica.
    fn is_called(&self) -> bool {
        self.requested.is_some_and(|at| self.now < after(at, self.spec.idle_seconds))
    }

    /// The most that there may be after this pass: by the pace, and by what the fleet can hold.
    fn most_now(&self, current: i32) -> i32 {
        let pace = self.ready.saturating_mul(2).max(self.ready.saturating_add(4));
        pace.min(self.placeable.unwrap_or(i32::MAX)).max(current)
    }

    /// Fewer than `current` are wanted: waits, or lets go what was never wanted in the window.
    fn fewer(&self, reading: &Reading, current: i32, wanted: i32) -> Decision {
        let begun = self.status.and_then(|status| Some((status.fewer_since.as_ref()?.0, status.fewer?)));
        let remembers = self.spec.scale_down_seconds > 0;
        let (since, most) = match begun {
            Some((since, most)) if most < current && (remembers || most == wanted) => (since, most.max(wanted)),
            _ => (whole_seconds(self.now), wanted),
        };
        let enough = if most == 0 && self.now < self.idle_until(since) { 1 } else { most };
        let replicas = if self.now < after(since, self.spec.scale_down_seconds) { current } else { enough };
        if replicas == current || replicas > most {
            return Decision { replicas, fewer: Some((since, most)) };
        }
        let wanted = self.wanted(reading, replicas);
        Decision { replicas, fewer: (wanted < replicas).then(|| (whole_seconds(self.now), wanted)) }
    }

    /// When the last replicas may go that nobody has needed since.
    fn idle_until(&self, since: Timestamp) -> Timestamp {
        let idle = after(since, self.spec.idle_seconds.max(self.spec.scale_down_seconds));
        self.requested.map_or(idle, |at| idle.max(after(at, self.spec.idle_seconds)))
    }

    fn look_again(&self, decision: Decision) -> Option<Timestamp> {
        let (since, most) = decision.fewer?;
        let next = after(since, self.spec.scale_down_seconds);
        let next = if most == 0 && decision.replicas == 1 { self.idle_until(since) } else { next };
        (next > self.now).then_some(next)
    }
}

#[cfg(test)]
mod tests;
