//! Has the gateway go by what the hub says.

use std::sync::Arc;

use skyfleet_gateway::Gateway;
use skyfleet_gateway::config::Config;
use tokio::sync::watch;

/// Configures the gateway as long as it is polled, and tells by what it goes now.
pub(super) async fn follow(
    gateway: Arc<Gateway>,
    mut wanted: watch::Receiver<Option<Arc<Config>>>,
    told: watch::Sender<Option<Arc<Config>>>,
) {
    while wanted.changed().await.is_ok() {
        let Some(now) = wanted.borrow_and_update().clone() else { continue };
        for conflict in gateway.configure((*now).clone()) {
            let name = |place: usize| now.routes.get(place).map_or("", |route| route.name.as_str());
            let (route, earlier) = (name(conflict.route), name(conflict.taken_by));
            tracing::warn!(route, earlier, what = conflict.what, "an earlier ModelRoute takes these requests");
        }
        told.send_replace(Some(now));
    }
}
