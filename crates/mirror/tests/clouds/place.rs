//! The three kinds of stores, on real servers.

use std::sync::Arc;

use skyfleet_e2e::object_store::{ObjectStore as Garage, REGION, RunningObjectStore};
use skyfleet_mirror::{Credentials, ObjectStore, S3Location, S3Store};
use tempfile::TempDir;

use crate::support::{Cloud, quick};

/// Opens buckets in one of the three.
pub(crate) enum Place {
    Garage { server: RunningObjectStore, _folder: TempDir },
    Cloud(Cloud),
}

impl Place {
    pub(crate) async fn garage() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Garage::on_loopback(folder.path().to_owned()).unwrap().start().await.unwrap();
        Self::Garage { server: running, _folder: folder }
    }

    pub(crate) async fn bucket(&self, name: &str) -> Arc<dyn ObjectStore> {
        self.bucket_at(name, "").await
    }

    /// A new bucket, below a prefix.
    pub(crate) async fn bucket_at(&self, name: &str, prefix: &str) -> Arc<dyn ObjectStore> {
        let server = match self {
            Self::Cloud(cloud) => {
                cloud.bucket(name).await;
                return cloud.open(name, prefix).await;
            }
            Self::Garage { server, .. } => &server.store,
        };
        server.create_bucket(name).await.unwrap();
        let location = S3Location::new(Some(server.endpoint()), Some(REGION.into()), name.into(), prefix.into());
        let credentials = Credentials::Static {
            access_key_id: server.access_key_id.clone(),
            secret_access_key: server.secret_access_key.clone(),
            session_token: None,
        };
        Arc::new(S3Store::connect(location, credentials, quick()).await.unwrap())
    }
}
