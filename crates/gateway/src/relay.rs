//! Ways to endpoints that no connection can be made to: something else carries requests there, such as the API server of their cluster.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::DuplexStream;

use crate::config::Endpoint;

/// What carries requests to endpoints of one cluster.
pub trait Relay: Send + Sync {
    /// A connection on whose other side HTTP/1.1 is spoken as the endpoint itself would. It is called within a runtime, and must not
    /// block.
    fn open(&self, endpoint: &Endpoint) -> DuplexStream;
}

/// The relays that there are now, by the name of the Cluster.
#[derive(Clone, Default)]
pub(crate) struct Relays(Arc<ArcSwap<HashMap<String, Arc<dyn Relay>>>>);

impl Relays {
    pub(crate) fn set(&self, relays: HashMap<String, Arc<dyn Relay>>) {
        self.0.store(Arc::new(relays));
    }

    /// A connection through the relay of the endpoint's cluster, if there is one.
    pub(crate) fn open(&self, endpoint: &Endpoint) -> Option<DuplexStream> {
        self.0.load().get(&endpoint.cluster).map(|relay| relay.open(endpoint))
    }
}
