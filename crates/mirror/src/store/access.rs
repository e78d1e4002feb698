use std::sync::Arc;

use crate::{
    AzureCredentials, AzureLocation, AzureStore, ConnectOptions, Credentials, GcsCredentials, GcsLocation, GcsStore,
    ObjectStore, S3Location, S3Store, StoreError,
};

/// A store of any cloud, and who asks it. `Debug` never shows a secret.
#[derive(Debug, Clone)]
pub enum StoreAccess {
    /// Amazon S3, or a store that speaks it.
    S3(S3Location, Credentials),
    /// Azure Blob Storage.
    Azure(AzureLocation, AzureCredentials),
    /// Google Cloud Storage.
    Gcs(GcsLocation, GcsCredentials),
}

impl StoreAccess {
    /// What people call the store, with its prefix: `s3://BUCKET/PREFIX`, `az://ACCOUNT/CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::S3(location, _) => format!("s3://{}/{}", location.bucket, location.prefix),
            Self::Azure(location, _) => format!("az://{}/{}/{}", location.account, location.container, location.prefix),
            Self::Gcs(location, _) => format!("gs://{}/{}", location.bucket, location.prefix),
        }
    }

    /// Prepares to speak to the store; it is first asked by the first request.
    ///
    /// # Errors
    /// Those of [`S3Store::connect`], [`AzureStore::connect`] and [`GcsStore::connect`].
    pub async fn connect(self, options: ConnectOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        Ok(match self {
            Self::S3(location, credentials) => Arc::new(S3Store::connect(location, credentials, options).await?),
            Self::Azure(location, credentials) => Arc::new(AzureStore::connect(location, credentials, options).await?),
            Self::Gcs(location, credentials) => Arc::new(GcsStore::connect(location, credentials, options).await?),
        })
    }
}
