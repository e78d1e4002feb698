//! How a route speaks to its endpoints, where that is not HTTP/1.1 in clear text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{Protocol, RouteConfig, UpstreamTls};
use crate::tls::Connector;

/// Connections made by one are used by no other.
pub(crate) struct Upstream {
    /// Each has its own.
    pub(crate) id: u64,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Connector>,
}

/// How a route speaks: `None` is HTTP/1.1 in clear text, which is to cost nothing. An error says, for a person, why it must not speak.
pub(crate) type Spoken = Result<Option<Arc<Upstream>>, String>;

/// How this route is to speak; as before as long as it is told the same, so that connections are kept.
pub(crate) fn spoken(config: &RouteConfig, before: Option<(&RouteConfig, &Spoken)>) -> Spoken {
    match before {
        Some((earlier, spoken)) if (earlier.protocol, &earlier.tls) == (config.protocol, &config.tls) => spoken.clone(),
        _ => new(config),
    }
}

fn new(config: &RouteConfig) -> Spoken {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let protocol = config.protocol;
    let tls = match &config.tls {
        None if protocol == Protocol::Http1 => return Ok(None),
        None => None,
        Some(UpstreamTls::NotReady(why)) => return Err(why.clone()),
        Some(UpstreamTls::Spoken(settings)) => {
            let connector =
                Connector::new(settings, protocol).map_err(|error| error.to_string()).inspect_err(|error| {
                    tracing::error!(
                        route = config.name,
                        error,
                        "TLS cannot be spoken to replicas: nothing is sent to them"
                    );
                })?;
            Some(connector)
        }
    };
    Ok(Some(Arc::new(Upstream { id: IDS.fetch_add(1, Ordering::Relaxed), protocol, tls })))
}
