//! Leader election: of all replicas of the operator one works, by a Lease on the hub.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::args::OperatorArgs;

/// A leader that has not renewed for so long is no leader any more, in seconds. When its node is lost another one works
/// within 10 s; the clocks of two replicas' nodes may differ by less than this.
const LEASE_SECONDS: u64 = 8;
/// A leader renews so long before the lease ends, in seconds: the hub may be away for that long.
const GRACE_SECONDS: u64 = 4;

/// Standing for election.
pub(crate) struct Election {
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Election {
    /// Starts to stand for election.
    ///
    /// # Errors
    /// The Lease can neither be read nor made.
    pub(crate) async fn stand(hub: Client, args: &OperatorArgs) -> Result<Self, LeaseManagerError> {
        let mut builder = LeaseManagerBuilder::new(hub, &args.lease_name)
            .with_namespace(&args.namespace)
            .with_duration(LEASE_SECONDS)
            .with_grace(GRACE_SECONDS);
        if let Some(identity) = &args.identity {
            builder = builder.with_identity(identity);
        }
        let (leads, task) = builder.build().await?.watch().await;
        Ok(Self { leads, task })
    }

    /// Waits until this replica leads.
    pub(crate) async fn won(&mut self) {
        if self.leads.wait_for(|leads| *leads).await.is_err() {
            // The election has ended by an error, which `lost` reports; leadership will never come.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until this replica leads no more, or the election itself fails.
    pub(crate) async fn lost(&mut self) {
        let _ended_counts_as_lost = self.leads.wait_for(|leads| !leads).await;
    }

    /// Gives the Lease back, so that another replica takes over at once.
    pub(crate) async fn resign(self) {
        drop(self.leads);
        match self.task.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back; it ends by itself"),
            Err(error) => tracing::warn!(%error, "the election task ended badly"),
        }
    }
}
