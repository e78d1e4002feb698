//! The object store of each cloud: a Garage server in the member's own network, so that a cloud cut off is cut off whole.

use std::net::SocketAddr;
use std::path::Path;

use crate::object_store::ObjectStore;
use crate::{Cluster, Lab, LabError};

use super::MEMBERS;

/// The bucket of each member, in the order of [`MEMBERS`]; its Bucket resource in `examples/` has the same name.
pub const BUCKETS: [&str; 3] = ["models-aws", "models-gcp", "models-azure"];
/// The server as a component of the member.
const COMPONENT: &str = "object-store";
const PORT: u16 = 3900;
const RPC_PORT: u16 = 3901;

/// A member's object store.
#[derive(Debug)]
pub struct CloudStore {
    /// The member.
    pub member: &'static str,
    /// Its bucket.
    pub bucket: &'static str,
    /// The server.
    pub store: ObjectStore,
}

/// Starts the store of every member and makes its bucket.
pub(super) async fn start(lab: &Lab, garage: &Path) -> Result<Vec<CloudStore>, LabError> {
    let start = MEMBERS.iter().zip(BUCKETS).map(async |(member, bucket)| {
        let store = start_one(lab.cluster(member)?, garage).await?;
        store.create_bucket(bucket).await?;
        Ok::<_, LabError>(CloudStore { member, bucket, store })
    });
    futures::future::try_join_all(start).await
}

/// Starts the store of one member, or finds that it runs.
pub(super) async fn start_one(cluster: &Cluster, garage: &Path) -> Result<ObjectStore, LabError> {
    let store = store(cluster, garage);
    store.write_config()?;
    cluster.spawn(COMPONENT, &store.server_command().into_std())?;
    store.wait_until_ready().await?;
    Ok(store)
}

fn store(cluster: &Cluster, garage: &Path) -> ObjectStore {
    // Keys of a test server on addresses of this machine only; each cloud has its own, so that a mix-up shows.
    let number = u32::from(cluster.address());
    ObjectStore {
        binary: garage.to_owned(),
        folder: cluster.folder().join(COMPONENT),
        address: SocketAddr::new(cluster.address().into(), PORT),
        rpc_port: RPC_PORT,
        access_key_id: format!("GK{number:024x}"),
        secret_access_key: format!("{number:064x}"),
        wrapper: Vec::new(),
    }
}
