//! Real servers, their buckets, and what every store is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, Azurite, FakeGcs};
use skyfleet_mirror::{
    Attributes, AzureCredentials, AzureLocation, AzureStore, ByteRange, Condition, ConnectOptions, GcsCredentials,
    GcsLocation, GcsStore, ObjectStore, Payload, RetryPolicy, StoreError, list,
};
use tempfile::TempDir;

/// A cloud that runs as long as the test.
pub(crate) enum Cloud {
    Azure { server: Azurite, _folder: TempDir },
    Google { server: FakeGcs, _folder: TempDir },
}

/// Both, one after the other.
pub(crate) async fn clouds() -> [Cloud; 2] {
    [Cloud::azure().await, Cloud::google().await]
}

impl Cloud {
    pub(crate) async fn azure() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::Azure { server: Azurite::start(folder.path()).await.unwrap(), _folder: folder }
    }

    pub(crate) async fn google() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::Google { server: FakeGcs::start(folder.path()).await.unwrap(), _folder: folder }
    }

    pub(crate) fn is_azure(&self) -> bool {
        matches!(self, Self::Azure { .. })
    }

    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Azure { server, .. } => server.endpoint(),
            Self::Google { server, .. } => server.endpoint(),
        }
    }

    /// Ends the server; nothing listens there any more.
    pub(crate) async fn stop(self) {
        match self {
            Self::Azure { server, .. } => server.kill().await.unwrap(),
            Self::Google { server, .. } => server.kill().await.unwrap(),
        }
    }

    /// A new bucket.
    pub(crate) async fn bucket(&self, name: &str) -> Arc<dyn ObjectStore> {
        match self {
            Self::Azure { server, .. } => server.create_bucket(name).await.unwrap(),
            Self::Google { server, .. } => server.create_bucket(name).await.unwrap(),
        }
        self.open(name, "").await
    }

    pub(crate) async fn open(&self, bucket: &str, prefix: &str) -> Arc<dyn ObjectStore> {
        connect(self.is_azure(), &self.endpoint(), bucket, prefix, AZURITE_KEY).await.unwrap()
    }
}

/// A store at an endpoint of either cloud; only Azure has a key.
pub(crate) async fn connect(
    is_azure: bool,
    endpoint: &str,
    bucket: &str,
    prefix: &str,
    key: &str,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let (endpoint, prefix) = (Some(endpoint.to_owned()), prefix.to_owned());
    Ok(if is_azure {
        let account = AZURITE_ACCOUNT.to_owned();
        let location = AzureLocation { endpoint, account, container: bucket.to_owned(), prefix };
        Arc::new(AzureStore::connect(location, AzureCredentials::AccountKey(key.to_owned()), quick()).await?)
    } else {
        let location = GcsLocation { endpoint, bucket: bucket.to_owned(), prefix };
        Arc::new(GcsStore::connect(location, GcsCredentials::Anonymous, quick()).await?)
    })
}

/// Gives up soon: a test of a failure should not wait for it.
pub(crate) fn quick() -> ConnectOptions {
    let retry = RetryPolicy {
        first_delay: Duration::from_millis(20),
        longest_delay: Duration::from_millis(100),
        budget: Duration::from_secs(2),
    };
    ConnectOptions { retry, ..ConnectOptions::default() }
}

pub(crate) async fn put(store: &dyn ObjectStore, key: &str, content: &Bytes) -> String {
    store.put(key, &Attributes::default(), Payload::of(content.clone()), &Condition::Any).await.unwrap().etag
}

pub(crate) async fn read(store: &dyn ObjectStore, key: &str) -> Vec<u8> {
    let (_, body) = store.get(key, ByteRange::ALL, None).await.unwrap();
    body.try_fold(Vec::new(), async |mut all, chunk| {
        all.extend_from_slice(&chunk);
        Ok(all)
    })
    .await
    .unwrap()
}

pub(crate) async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    list(store, prefix).map_ok(|object| object.key).try_collect().await.unwrap()
}

/// Bytes that no two offsets of share, so that a misplaced part shows.
pub(crate) fn content(size: usize, seed: u64) -> Bytes {
    let words = (0..size.div_ceil(8) as u64).map(|index| (index ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(size);
    bytes.into()
}
