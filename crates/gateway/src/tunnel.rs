//! Connections that have become another protocol's, such as WebSocket's: bytes in both directions until both sides are done.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::record::Record;

/// Passes bytes on, and counts as a request in flight until both sides are done.
pub(crate) fn tunnel((client, endpoint): (OnUpgrade, OnUpgrade), mut record: Record) {
    tokio::spawn(async move {
        let passed = async {
            let (client, endpoint) = tokio::try_join!(client, endpoint).map_err(std::io::Error::other)?;
            copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(endpoint)).await
        };
        match passed.await {
            Ok((_, received)) => (record.bytes, record.has_ended) = (received, true),
            Err(error) => record.error = Some(format!("the connection broke: {error}")),
        }
        drop(record);
    });
}
