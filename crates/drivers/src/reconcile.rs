//! From what a load balancer has to what it is to have.

use crate::{Driver, DriverError, Shown};

/// Meanwhile servers that drain may have become idle, and others asked for the same: what is left then is done too, so often.
const ROUNDS: usize = 5;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// Changes that were made.
    pub steps: usize,
    /// What it had before.
    pub before: Shown,
    /// What it has now, as it says itself.
    pub after: Shown,
}

/// Reads what a load balancer has, makes it what it is to be, and reads it back. Nothing is written where the two are alike.
///
/// # Errors
/// It cannot be read or changed, or has not become what it should be.
pub async fn reconcile<D: Driver>(driver: &D, wanted: &D::Wanted) -> Result<Reconciled, DriverError> {
    let mut actual = driver.read().await?;
    let before = driver.shown(&actual);
    let (mut done, mut rounds) = (0, 0);
    loop {
        let steps = driver.steps(&actual, wanted);
        if steps.is_empty() {
            return Ok(Reconciled { steps: done, before, after: driver.shown(&actual) });
        }
        if rounds == ROUNDS {
            return Err(DriverError::NotTaken { server: driver.name(), left: format!("{steps:?}") });
        }
        for step in &steps {
            tracing::debug!(server = driver.name(), ?step, "changing");
            driver.perform(step).await?;
        }
        (done, rounds) = (done + steps.len(), rounds + 1);
        actual = driver.read().await?;
    }
}
