//! One store of each kind, and what a person does with them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::json;
use skyfleet_e2e::artifacts;
use skyfleet_e2e::object_store::{
    AZURITE_ACCOUNT, AZURITE_KEY, Azurite, FakeGcs, ObjectStore, REGION, RunningObjectStore,
};
use skyfleet_mirror::{
    AzureCredentials, AzureLocation, ConnectOptions, Credentials, GcsCredentials, GcsLocation, S3Location, StoreAccess,
};
use tokio::process::Command;

use crate::hub::Hub;

pub(crate) const KINDS: [&str; 3] = ["s3", "azure", "gcs"];

/// One server of each kind, with a bucket `data` in it.
pub(crate) struct Stores {
    s3: RunningObjectStore,
    azure: Azurite,
    pub(crate) gcs: FakeGcs,
}

impl Stores {
    /// The servers of Azure and Google are at this address of the machine.
    pub(crate) async fn start(folder: &Path, ip: Ipv4Addr) -> Self {
        let s3 = ObjectStore::on_loopback(folder.join("garage")).unwrap().start().await.unwrap();
        let azure = Azurite::start_at(ip, &folder.join("azurite")).await.unwrap();
        let gcs = FakeGcs::start_at(ip, &folder.join("gcs")).await.unwrap();
        s3.store.create_bucket("data").await.unwrap();
        azure.create_bucket("data").await.unwrap();
        gcs.create_bucket("data").await.unwrap();
        Self { s3, azure, gcs }
    }

    /// What a person calls a folder in the bucket of this kind.
    pub(crate) fn url(&self, kind: &str, folder: &str) -> String {
        match kind {
            "s3" => format!("s3://data/{folder}?endpoint={}&region={REGION}", self.s3.store.endpoint()),
            "azure" => format!("az://{AZURITE_ACCOUNT}/data/{folder}?endpoint={}", self.azure.endpoint()),
            _ => format!("gs://data/{folder}?endpoint={}&anonymous=true", self.gcs.endpoint()),
        }
    }

    /// The bucket of this kind.
    pub(crate) async fn open(&self, kind: &str) -> Arc<dyn skyfleet_mirror::ObjectStore> {
        let (bucket, prefix) = ("data".to_owned(), String::new());
        let access = match kind {
            "s3" => {
                let (endpoint, region) = (Some(self.s3.store.endpoint()), Some(REGION.to_owned()));
                let credentials = Credentials::Static {
                    access_key_id: self.s3.store.access_key_id.clone(),
                    secret_access_key: self.s3.store.secret_access_key.clone(),
                    session_token: None,
                };
                StoreAccess::S3(S3Location::new(endpoint, region, bucket, prefix), credentials)
            }
            "azure" => {
                let (endpoint, account) = (Some(self.azure.endpoint()), AZURITE_ACCOUNT.to_owned());
                let location = AzureLocation { endpoint, account, container: bucket, prefix };
                StoreAccess::Azure(location, AzureCredentials::AccountKey(AZURITE_KEY.to_owned()))
            }
            _ => {
                let endpoint = Some(self.gcs.endpoint());
                StoreAccess::Gcs(GcsLocation { endpoint, bucket, prefix }, GcsCredentials::Anonymous)
            }
        };
        access.connect(ConnectOptions::default()).await.unwrap()
    }

    /// Runs `skyfleet mirror` as a person does.
    pub(crate) async fn mirror(&self, source: &str, target: &str) {
        self.mirror_with(&[], source, target).await;
    }

    pub(crate) async fn mirror_with(&self, flags: &[&str], source: &str, target: &str) {
        let program = tokio::task::spawn_blocking(artifacts::skyfleet_program).await.unwrap().unwrap();
        let mut command = Command::new(program);
        command.arg("mirror").args(flags).args([source, target]).env_clear().stdin(Stdio::null());
        command.env("AWS_ACCESS_KEY_ID", &self.s3.store.access_key_id);
        command.env("AWS_SECRET_ACCESS_KEY", &self.s3.store.secret_access_key);
        let output = command.env("AZURE_STORAGE_KEY", AZURITE_KEY).output().await.unwrap();
        assert!(output.status.success(), "{source} {target}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A Bucket for each, named by its kind; near a Cluster where one is given.
    pub(crate) async fn create_buckets(&self, hub: &Hub, near: &[(&str, &str)]) {
        let keys = json!({
            "accessKeyId": self.s3.store.access_key_id, "secretAccessKey": self.s3.store.secret_access_key,
        });
        hub.set_secret("default", "s3-key", keys).await;
        hub.set_secret("default", "azure-key", json!({"accountKey": AZURITE_KEY})).await;
        let specs = [
            json!({"provider": "s3", "endpoint": self.s3.store.endpoint(), "region": REGION,
                "credentialsSecretRef": {"name": "s3-key"}}),
            json!({"provider": "azureBlob", "endpoint": self.azure.endpoint(), "account": AZURITE_ACCOUNT,
                "credentialsSecretRef": {"name": "azure-key"}}),
            json!({"provider": "gcs", "endpoint": self.gcs.endpoint(), "anonymous": true}),
        ];
        for (kind, mut spec) in KINDS.into_iter().zip(specs) {
            spec["name"] = "data".into();
            if let Some((_, cluster)) = near.iter().find(|(of, _)| *of == kind) {
                spec["near"] = json!({"cluster": cluster});
            }
            hub.create("Bucket", kind, spec).await;
        }
        for kind in KINDS {
            let status = hub.wait("Bucket", kind, ["Ready", "True", "AsSpecified"]).await;
            assert_eq!(status["capabilities"]["writable"], true, "{kind}: {status}");
        }
    }
}
