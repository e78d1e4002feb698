//! What the annotations of a ServiceAccount say of the cloud that trusts it: pure.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_api::conditions::Reason;
use skyfleet_mirror::{AwsRole, AzureApp, GooglePool, GoogleTokenServices};

use super::validate::Refusal;

/// Those of the clouds' own webhooks, so that one ServiceAccount serves pods and the operator.
const AWS_ROLE: &str = "eks.amazonaws.com/role-arn";
const AZURE_CLIENT: &str = "azure.workload.identity/client-id";
const AZURE_TENANT: &str = "azure.workload.identity/tenant-id";
const GOOGLE_ACCOUNT: &str = "iam.gke.io/gcp-service-account";
/// Ours: Google's pods find out from the metadata server of GKE, which a hub elsewhere does not have.
const GOOGLE_PROVIDER: &str = "skyfleet.dev/gcp-workload-identity-provider";

/// The longest name of a session that AWS takes.
const SESSION_NAME: usize = 64;

/// As whom a ServiceAccount may act in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    Aws(AwsRole),
    Azure(AzureApp),
    Google(GooglePool),
}

impl Trust {
    /// Whom a token has to be for, so that this cloud takes it and nobody else does.
    pub(crate) fn audience(&self) -> &str {
        match self {
            Self::Aws(_) => "sts.amazonaws.com",
            Self::Azure(_) => "api://AzureADTokenExchange",
            Self::Google(pool) => &pool.audience,
        }
    }
}

/// The trust in a ServiceAccount that a Bucket needs; the refusal names the annotation that is missing or wrong.
pub(super) fn trust(spec: &BucketSpec, account: &ServiceAccount) -> Result<Trust, Refusal> {
    let annotations = Annotations(account);
    Ok(match spec.provider {
        StoreProvider::S3 => {
            let arn = annotations.required(AWS_ROLE, "arn:aws:iam::ACCOUNT:role/NAME", is_role)?;
            let region = spec.region.clone().unwrap_or_else(|| region_of(&arn).to_owned());
            Trust::Aws(AwsRole { session_name: session_name(account), region, endpoint: None, arn })
        }
        StoreProvider::AzureBlob => {
            let shape = "an ID such as 00000000-0000-0000-0000-000000000000";
            let client_id = annotations.required(AZURE_CLIENT, shape, is_id)?;
            let tenant_id = annotations.required(AZURE_TENANT, shape, is_id)?;
            Trust::Azure(AzureApp { tenant_id, client_id, authority: None })
        }
        StoreProvider::Gcs => {
            let shape = "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
            let provider = annotations.required(GOOGLE_PROVIDER, shape, is_provider)?;
            let service_account = annotations.read(GOOGLE_ACCOUNT, "the address of a service account", is_address)?;
            Trust::Google(GooglePool {
                audience: format!("//iam.googleapis.com/{provider}"),
                service_account,
                services: GoogleTokenServices::default(),
            })
        }
    })
}

struct Annotations<'a>(&'a ServiceAccount);

impl Annotations<'_> {
    fn read(&self, name: &str, shape: &str, is_valid: fn(&str) -> bool) -> Result<Option<String>, Refusal> {
        match self.0.annotations().get(name).map(|value| value.trim()).filter(|value| !value.is_empty()) {
            Some(value) if !is_valid(value) => Err(self.refusal(&format!("has {name}={value:?}: it must be {shape}"))),
            value => Ok(value.map(str::to_owned)),
        }
    }

    fn required(&self, name: &str, shape: &str, is_valid: fn(&str) -> bool) -> Result<String, Refusal> {
        let missing = || self.refusal(&format!("has no annotation {name}: give it {shape}"));
        self.read(name, shape, is_valid)?.ok_or_else(missing)
    }

    fn refusal(&self, what: &str) -> Refusal {
        Refusal::lasting(Reason::InvalidCredentials, format!("the ServiceAccount {:?} {what}", self.0.name_any()))
    }
}

/// Says in AWS's logs which ServiceAccount it was.
fn session_name(account: &ServiceAccount) -> String {
    let mut name = format!("skyfleet-{}-{}", account.namespace().unwrap_or_default(), account.name_any());
    name.truncate(SESSION_NAME);
    name
}

/// Where the roles of a partition are given, for a bucket that names no region.
fn region_of(arn: &str) -> &'static str {
    match arn.split(':').nth(1) {
        Some("aws-cn") => "cn-north-1",
        Some("aws-us-gov") => "us-gov-west-1",
        _ => "us-east-1",
    }
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, role] = parts.as_slice() else { return false };
    (*scheme, *service, *region) == ("arn", "iam", "")
        && (*partition == "aws" || partition.starts_with("aws-"))
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && role.strip_prefix("role/").is_some_and(|role| !role.is_empty() && role.bytes().all(|b| b.is_ascii_graphic()))
}

/// It becomes a part of a URL.
fn is_id(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_provider(text: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let parts: Vec<_> = text.split('/').collect();
    let ["projects", number, "locations", "global", "workloadIdentityPools", pool, "providers", provider] =
        parts.as_slice()
    else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && is_name(pool) && is_name(provider)
}

fn is_address(text: &str) -> bool {
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    text.split_once('@').is_some_and(|(name, domain)| is_plain(name) && is_plain(domain))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PROVIDER: &str = "projects/12/locations/global/workloadIdentityPools/hub/providers/k8s";

    fn found(provider: &str, extra: &Value, annotations: &Value) -> Result<Trust, Refusal> {
        let mut spec = json!({"provider": provider, "name": "models", "account": "acme"});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let metadata = json!({"name": "models", "namespace": "ml", "annotations": annotations});
        let account = serde_json::from_value(json!({"metadata": metadata})).expect("a ServiceAccount");
        trust(&serde_json::from_value(spec).expect("a spec"), &account)
    }

    #[test]
    fn each_cloud_is_told_by_its_own_annotations() {
        let arn = "arn:aws:iam::123456789012:role/path/models";
        let aws = found("s3", &json!({"region": "eu-west-1"}), &json!({AWS_ROLE: arn})).expect("a role");
        let session_name = "skyfleet-ml-models".to_owned();
        let role = AwsRole { arn: arn.to_owned(), session_name, region: "eu-west-1".to_owned(), endpoint: None };
        assert_eq!((aws.audience(), &aws), ("sts.amazonaws.com", &Trust::Aws(role)));

        let azure = found("azureBlob", &json!({}), &json!({AZURE_CLIENT: "c-1", AZURE_TENANT: "t-1"})).expect("an app");
        let app = AzureApp { tenant_id: "t-1".to_owned(), client_id: "c-1".to_owned(), authority: None };
        assert_eq!((azure.audience(), &azure), ("api://AzureADTokenExchange", &Trust::Azure(app)));

        let audience = format!("//iam.googleapis.com/{PROVIDER}");
        for account in [None, Some("models@acme.iam.gserviceaccount.com".to_owned())] {
            let google = found(
                "gcs",
                &json!({}),
                &json!({GOOGLE_PROVIDER: PROVIDER, GOOGLE_ACCOUNT: account.clone().unwrap_or_default()}),
            );
            let google = google.expect("a pool");
            assert_eq!(google.audience(), audience);
            let services = GoogleTokenServices::default();
            let pool = GooglePool { audience: audience.clone(), service_account: account, services };
            assert_eq!(google, Trust::Google(pool));
        }
    }

    #[test]
    fn roles_of_a_bucket_without_a_region_are_given_in_their_partition() {
        for (partition, region) in [("aws", "us-east-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")] {
            let arn = format!("arn:{partition}:iam::123456789012:role/models");
            let trust = found("s3", &json!({}), &json!({AWS_ROLE: arn}));
            assert!(matches!(trust, Ok(Trust::Aws(role)) if role.region == region), "{partition}");
        }
    }

    #[test]
    fn an_annotation_that_is_missing_or_wrong_is_named() {
        for (provider, annotations, name) in [
            ("s3", json!({}), AWS_ROLE),
            ("s3", json!({AWS_ROLE: ""}), AWS_ROLE),
            ("s3", json!({AWS_ROLE: "arn:aws:iam::1:role/x"}), AWS_ROLE),
            ("s3", json!({AWS_ROLE: "arn:aws:iam::123456789012:user/x"}), AWS_ROLE),
            ("azureBlob", json!({AZURE_TENANT: "t"}), AZURE_CLIENT),
            ("azureBlob", json!({AZURE_CLIENT: "c"}), AZURE_TENANT),
            ("azureBlob", json!({AZURE_CLIENT: "c", AZURE_TENANT: "t/../x"}), AZURE_TENANT),
            ("gcs", json!({}), GOOGLE_PROVIDER),
            ("gcs", json!({GOOGLE_PROVIDER: format!("{PROVIDER}/${{HOME}}")}), GOOGLE_PROVIDER),
            ("gcs", json!({GOOGLE_PROVIDER: PROVIDER.replace("hub", "${HOME}")}), GOOGLE_PROVIDER),
            ("gcs", json!({GOOGLE_PROVIDER: PROVIDER, GOOGLE_ACCOUNT: "a/b@c"}), GOOGLE_ACCOUNT),
        ] {
            let refusal = found(provider, &json!({}), &annotations).expect_err("it is wrong");
            assert_eq!(refusal.reason, Reason::InvalidCredentials);
            assert!(refusal.message.contains(name), "{annotations}: {}", refusal.message);
        }
    }

    #[test]
    fn a_long_name_is_cut_to_what_aws_takes() {
        let metadata = json!({"name": "n".repeat(100), "namespace": "ml"});
        let account = serde_json::from_value(json!({"metadata": metadata})).expect("a ServiceAccount");
        assert_eq!(session_name(&account).len(), SESSION_NAME);
    }
}
