//! When contact with a cluster counts as lost, and when the hub had better doubt itself.
//!
//! * [`Contact`]: what is known of one cluster's contact, with timers that outlive the operator.
//! * [`suspicion`]: the circuit breaker: clusters that vanished together.
//! * [`flapping`]: how unsteady a cluster's contact has been.
//! * [`shortfall`]: since when replicas do not serve.

mod breaker;
pub mod flapping;
mod shortfall;

pub use breaker::{Suspicion, lost_since, suspicion};
pub use shortfall::{Patience, overdue, shortfall};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of a cluster's contact. Its times are kept on the hub, so that a new operator knows what the old one knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Whether it is heard.
    pub state: ContactState,
    /// Since when.
    pub since: Timestamp,
    /// It has not been heard for longer than it should, though not for long enough to call it silent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubted: bool,
    /// When contact was lost last, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_loss: Option<Timestamp>,
    /// How unsteady contact was at that loss (see [`flapping`]).
    #[serde(default)]
    pub flap_penalty: i32,
}

/// Whether a cluster is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContactState {
    /// It answers and does what is asked.
    Answering,
    /// It answers, and refuses what is asked.
    Refusing,
    /// It does not answer.
    Silent,
}

impl Contact {
    /// Contact that has been good since `since` and was never lost.
    #[must_use]
    pub fn answering(since: Timestamp) -> Self {
        Self { state: ContactState::Answering, since, doubted: false, last_loss: None, flap_penalty: 0 }
    }

    /// Whether changes reach it now.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state == ContactState::Answering
    }
}

#[cfg(test)]
mod tests;
