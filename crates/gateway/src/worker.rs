//! What one worker has for itself.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

use crate::access_log::AccessLog;
use crate::connections::Connections;
use crate::metrics::Metrics;
use crate::relay::Relays;
use crate::trace::TraceContext;

/// A thread that accepts connections and answers what comes over them.
pub(crate) struct Worker {
    pub(crate) connections: Connections,
    pub(crate) log: AccessLog,
    pub(crate) metrics: Metrics,
    pub(crate) relays: Relays,
    /// It takes no more connections, and clients are to close theirs.
    pub(crate) is_stopping: AtomicBool,
    rng: Mutex<fastrand::Rng>,
}

impl Worker {
    pub(crate) fn new(log: AccessLog, metrics: Metrics, relays: Relays) -> Self {
        Self {
            connections: Connections::default(),
            log,
            metrics,
            relays,
            is_stopping: AtomicBool::new(false),
            rng: Mutex::new(fastrand::Rng::new()),
        }
    }

    /// Any number, not a secret one.
    pub(crate) fn random(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    pub(crate) fn trace(&self, parent: Option<&HeaderValue>) -> TraceContext {
        TraceContext::of(parent, &mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
