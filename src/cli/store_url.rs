//! URLs of buckets in the clouds.

use skyfleet_mirror::{
    AzureCredentials, AzureLocation, Credentials, GcsCredentials, GcsLocation, S3Location, StoreAccess,
};

/// A bucket of a cloud, and the parameters that its URL has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreUrl {
    store: Store,
    endpoint: Option<String>,
    /// Nobody asks: for public buckets.
    anonymous: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Store {
    S3 { bucket: String, region: Option<String>, profile: Option<String> },
    Azure { account: String, container: String },
    Gcs { bucket: String },
}

impl StoreUrl {
    /// Reads a URL: the bucket, and what follows it as the prefix. `None` when its scheme is none of ours.
    ///
    /// # Errors
    /// What is wrong with a URL of ours.
    pub(super) fn parse(text: &str) -> Option<Result<(Self, String), String>> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme {
            "s3" => Some(s3(rest)),
            "az" => Some(azure(rest)),
            "gs" => Some(gcs(rest)),
            _ => None,
        }
    }

    /// A bucket of S3 by its name.
    pub(super) fn s3(bucket: String, region: Option<String>) -> Self {
        Self { store: Store::S3 { bucket, region, profile: None }, endpoint: None, anonymous: false }
    }

    /// With an endpoint that was given beside the URL.
    pub(super) fn with_endpoint(mut self, endpoint: Option<String>) -> Self {
        self.endpoint = endpoint.or(self.endpoint);
        self
    }

    /// What messages call the bucket: without parameters.
    pub(super) fn name(&self) -> String {
        match &self.store {
            Store::S3 { bucket, .. } => format!("s3://{bucket}"),
            Store::Azure { account, container } => format!("az://{account}/{container}"),
            Store::Gcs { bucket } => format!("gs://{bucket}"),
        }
    }

    /// The bucket, or the part of it below a prefix, and the credentials that the environment has for it, by the names that each
    /// cloud's own tools use.
    pub(super) fn access(self, prefix: String, variable: impl Fn(&str) -> Option<String>) -> StoreAccess {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (endpoint, anonymous) = (self.endpoint, self.anonymous);
        match self.store {
            Store::S3 { bucket, region, profile } => {
                let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL"));
                let known = profile.map_or(Credentials::DefaultChain, Credentials::Profile);
                let credentials = if anonymous { Credentials::Anonymous } else { known };
                StoreAccess::S3(S3Location::new(endpoint, region, bucket, prefix), credentials)
            }
            Store::Azure { account, container } => {
                // A key is one account's: that of another account would only be refused.
                let is_meant = variable("AZURE_STORAGE_ACCOUNT").is_none_or(|named| named == account);
                let key = variable("AZURE_STORAGE_KEY").map(AzureCredentials::AccountKey);
                let sas = || variable("AZURE_STORAGE_SAS_TOKEN").map(AzureCredentials::SasToken);
                let known = key.or_else(sas).filter(|_| is_meant).unwrap_or(AzureCredentials::Default);
                let credentials = if anonymous { AzureCredentials::Anonymous } else { known };
                StoreAccess::Azure(AzureLocation { endpoint, account, container, prefix }, credentials)
            }
            Store::Gcs { bucket } => {
                let emulator = variable("STORAGE_EMULATOR_HOST");
                let known = variable("GOOGLE_CREDENTIALS").map(GcsCredentials::ServiceAccountKey);
                let known = known.unwrap_or(GcsCredentials::Default);
                // Google's own libraries give an emulator no credentials.
                let nobody = anonymous || emulator.is_some();
                let credentials = if nobody { GcsCredentials::Anonymous } else { known };
                let with_scheme = |host: String| if host.contains("://") { host } else { format!("http://{host}") };
                let endpoint = endpoint.or_else(|| emulator.map(with_scheme));
                StoreAccess::Gcs(GcsLocation { endpoint, bucket, prefix }, credentials)
            }
        }
    }
}

fn s3(rest: &str) -> Result<(StoreUrl, String), String> {
    let (path, [endpoint, anonymous, region, profile]) =
        parameters(rest, ["endpoint", "anonymous", "region", "profile"])?;
    let (bucket, prefix) = split(path);
    let store = Store::S3 { bucket: named(bucket, "s3://BUCKET")?, region, profile };
    Ok((StoreUrl { store, endpoint, anonymous: truth(anonymous.as_deref())? }, prefix.to_owned()))
}

fn azure(rest: &str) -> Result<(StoreUrl, String), String> {
    let (path, [endpoint, anonymous]) = parameters(rest, ["endpoint", "anonymous"])?;
    let (account, path) = split(path);
    let (container, prefix) = split(path);
    let shape = "az://ACCOUNT/CONTAINER";
    let store = Store::Azure { account: named(account, shape)?, container: named(container, shape)? };
    Ok((StoreUrl { store, endpoint, anonymous: truth(anonymous.as_deref())? }, prefix.to_owned()))
}

fn gcs(rest: &str) -> Result<(StoreUrl, String), String> {
    let (path, [endpoint, anonymous]) = parameters(rest, ["endpoint", "anonymous"])?;
    let (bucket, prefix) = split(path);
    let store = Store::Gcs { bucket: named(bucket, "gs://BUCKET")? };
    Ok((StoreUrl { store, endpoint, anonymous: truth(anonymous.as_deref())? }, prefix.to_owned()))
}

fn truth(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err("the parameter \"anonymous\" is true or false".to_owned()),
    }
}

fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

fn named(name: &str, shape: &str) -> Result<String, String> {
    if name.is_empty() { Err(format!("a name is missing: give {shape}[/PREFIX]")) } else { Ok(name.to_owned()) }
}

/// The path, and the values of the parameters behind it. A key may have question marks, too: only one that is followed by a
/// parameter's name begins them.
fn parameters<'a, const N: usize>(
    rest: &'a str,
    names: [&'static str; N],
) -> Result<(&'a str, [Option<String>; N]), String> {
    let mut values = [const { None }; N];
    let begins = |query: &str| query.split_once('=').is_some_and(|(name, _)| names.contains(&name));
    let Some((path, query)) = rest.rsplit_once('?').filter(|(_, query)| begins(query)) else {
        return Ok((rest, values));
    };
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let index = names.iter().position(|known| *known == name);
        let index = index.ok_or_else(|| format!("{name:?} is no parameter: there are {}", names.join(", ")))?;
        if value.is_empty() || values[index].replace(value.to_owned()).is_some() {
            return Err(format!("the parameter {name:?} wants one value"));
        }
    }
    Ok((path, values))
}

#[cfg(test)]
mod tests {
    use skyfleet_mirror::{AzureCredentials, Credentials, GcsCredentials, StoreAccess};

    use super::StoreUrl;

    fn access(text: &str, variables: &[(&str, &str)]) -> StoreAccess {
        let (url, _) = StoreUrl::parse(text).unwrap().unwrap();
        url.access(String::new(), |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn buckets_of_every_cloud_are_told_from_prefixes() {
        for (text, name, prefix) in [
            ("s3://b", "s3://b", ""),
            ("s3://b/a//b", "s3://b", "a//b"),
            ("s3://b/what?/x", "s3://b", "what?/x"),
            ("s3://b/x?endpoint=http://h:1&region=r&profile=p", "s3://b", "x"),
            ("gs://b/p/", "gs://b", "p/"),
            ("az://account/container", "az://account/container", ""),
            ("az://account/container/a b?endpoint=http://h:1/account", "az://account/container", "a b"),
        ] {
            let (url, found) = StoreUrl::parse(text).unwrap().unwrap();
            assert_eq!((url.name().as_str(), found.as_str()), (name, prefix), "{text}");
        }
        assert!(StoreUrl::parse("http://b").is_none() && StoreUrl::parse("b").is_none());
    }

    #[test]
    fn what_is_no_url_of_a_bucket_is_refused() {
        for (text, says) in [
            ("s3://", "s3://BUCKET"),
            ("s3:///a", "s3://BUCKET"),
            ("gs://", "gs://BUCKET"),
            ("az://account", "az://ACCOUNT/CONTAINER"),
            ("az:///container", "az://ACCOUNT/CONTAINER"),
            ("s3://b?endpoint=", "one value"),
            ("s3://b?region=a&region=b", "one value"),
            ("s3://b?region=a&rejion=b", "no parameter"),
            ("gs://b?anonymous=maybe", "true or false"),
        ] {
            let error = StoreUrl::parse(text).unwrap().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_come_from_the_variables_of_each_cloud() {
        let StoreAccess::S3(location, Credentials::Profile(profile)) =
            access("s3://b?profile=p", &[("AWS_ENDPOINT_URL", "http://h")])
        else {
            panic!("not S3 by a profile");
        };
        assert_eq!((location.endpoint.as_deref(), profile.as_str()), (Some("http://h"), "p"));

        let key = ("AZURE_STORAGE_KEY", "k");
        let azure = |variables: &[(&str, &str)]| match access("az://a/c", variables) {
            StoreAccess::Azure(_, credentials) => credentials,
            other => panic!("{other:?}"),
        };
        assert!(matches!(azure(&[key]), AzureCredentials::AccountKey(_)));
        assert!(matches!(azure(&[key, ("AZURE_STORAGE_ACCOUNT", "a")]), AzureCredentials::AccountKey(_)));
        assert!(matches!(azure(&[key, ("AZURE_STORAGE_ACCOUNT", "b")]), AzureCredentials::Default));
        assert!(matches!(azure(&[("AZURE_STORAGE_SAS_TOKEN", "s")]), AzureCredentials::SasToken(_)));
        assert!(matches!(azure(&[("AZURE_STORAGE_KEY", "")]), AzureCredentials::Default));

        let StoreAccess::Gcs(location, GcsCredentials::Anonymous) =
            access("gs://b", &[("STORAGE_EMULATOR_HOST", "h:1")])
        else {
            panic!("no emulator");
        };
        assert_eq!(location.endpoint.as_deref(), Some("http://h:1"));
        assert!(matches!(access("gs://b", &[]), StoreAccess::Gcs(_, GcsCredentials::Default)));
        let key = ("GOOGLE_CREDENTIALS", "{}");
        assert!(matches!(access("gs://b", &[key]), StoreAccess::Gcs(_, GcsCredentials::ServiceAccountKey(_))));
        assert!(matches!(access("gs://b?anonymous=true", &[key]), StoreAccess::Gcs(_, GcsCredentials::Anonymous)));
        assert!(matches!(access("s3://b?anonymous=true", &[]), StoreAccess::S3(_, Credentials::Anonymous)));
    }
}
