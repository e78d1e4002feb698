//! Which part of which bucket a person means.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use skyfleet_mirror::{ConnectOptions, Credentials, LocalStore, ObjectStore, Replica, S3Location, S3Store};

use crate::cli::bucket::resolve_bucket;
use crate::cli::failure::Failure;

/// `s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION&profile=PROFILE]`, `NAME[/PREFIX]` of a Bucket on the hub, or a folder, which
/// begins with `/`, `./`, `../` or `file://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    bucket: Bucket,
    /// Byte for byte; a prefix that does not end with `/` gets one.
    prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bucket {
    S3 { name: String, parameters: Parameters },
    Resource(String),
    Folder(PathBuf),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parameters {
    endpoint: Option<String>,
    region: Option<String>,
    profile: Option<String>,
}

impl Location {
    /// What messages call it: without parameters.
    pub(super) fn name(&self) -> String {
        match &self.bucket {
            Bucket::S3 { name, .. } => format!("s3://{name}/{}", self.prefix),
            Bucket::Resource(name) => format!("{name}/{}", self.prefix),
            Bucket::Folder(path) => path.display().to_string(),
        }
    }

    /// Prepares to speak to its store.
    pub(super) async fn open(&self, namespace: Option<&str>, options: ConnectOptions) -> Result<Replica, Failure> {
        let (location, credentials) = match self.bucket.clone() {
            Bucket::S3 { name, parameters: Parameters { endpoint, region, profile } } => {
                let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
                let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL"));
                let credentials = profile.map_or(Credentials::DefaultChain, Credentials::Profile);
                (S3Location::new(endpoint, region, name, String::new()), credentials)
            }
            Bucket::Resource(name) => resolve_bucket(namespace, &name).await?,
            Bucket::Folder(path) => {
                return Ok(Replica { store: Arc::new(LocalStore::open(&path)?), prefix: String::new() });
            }
        };
        let store: Arc<dyn ObjectStore> = Arc::new(S3Store::connect(location, credentials, options).await?);
        Ok(Replica { store, prefix: self.prefix.clone() })
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "{text:?} is no place: give s3://BUCKET[/PREFIX], NAME[/PREFIX] of a Bucket on the hub, or ./FOLDER"
            )
        };
        if let Some(folder) = folder(text) {
            return Ok(Self { bucket: Bucket::Folder(folder.to_owned()), prefix: String::new() });
        }
        let rest = text.strip_prefix("s3://");
        let (path, parameters) = match rest.and_then(|rest| rest.rsplit_once('?')) {
            // A key may have question marks, too.
            Some((path, query)) if query.split_once('=').is_some_and(|(name, _)| Parameters::NAMES.contains(&name)) => {
                (path, Parameters::parse(query)?)
            }
            _ => (rest.unwrap_or(text), Parameters::default()),
        };
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let name = name.to_owned();
        let bucket = match rest {
            _ if name.is_empty() => return Err(wrong()),
            Some(_) => Bucket::S3 { name, parameters },
            None if is_name => Bucket::Resource(name),
            None => return Err(wrong()),
        };
        Ok(Self { bucket, prefix: format!("{prefix}{slash}") })
    }
}

fn folder(text: &str) -> Option<&Path> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    let is_folder = [".", ".."].contains(&path) || ["/", "./", "../"].iter().any(|start| path.starts_with(start));
    is_folder.then(|| Path::new(path))
}

impl Parameters {
    const NAMES: [&str; 3] = ["endpoint", "region", "profile"];

    fn parse(query: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "endpoint" => &mut all.endpoint,
                "region" => &mut all.region,
                "profile" => &mut all.profile,
                _ => return Err(format!("{name:?} is no parameter: there are {}", Self::NAMES.join(", "))),
            };
            if value.is_empty() || slot.replace(value.to_owned()).is_some() {
                return Err(format!("the parameter {name:?} wants one value"));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Location, Parameters};

    fn parse(text: &str) -> Result<(Bucket, String), String> {
        text.parse().map(|Location { bucket, prefix }| (bucket, prefix))
    }

    fn s3(name: &str, parameters: Parameters) -> Bucket {
        Bucket::S3 { name: name.to_owned(), parameters }
    }

    #[test]
    fn urls_and_names_are_told_apart() {
        let plain = || s3("b", Parameters::default());
        assert_eq!(parse("s3://b"), Ok((plain(), String::new())));
        assert_eq!(parse("s3://b/a//b"), Ok((plain(), "a//b/".to_owned())));
        assert_eq!(parse("s3://b/what?/x"), Ok((plain(), "what?/x/".to_owned())));
        assert_eq!(parse("weights/v2"), Ok((Bucket::Resource("weights".to_owned()), "v2/".to_owned())));
        let parameters =
            Parameters { endpoint: Some("http://h:1".into()), region: Some("r".into()), profile: Some("p".into()) };
        assert_eq!(
            parse("s3://b/x?endpoint=http://h:1&region=r&profile=p"),
            Ok((s3("b", parameters), "x/".to_owned()))
        );
    }

    #[test]
    fn folders_look_like_paths() {
        let folder = |path: &str| Ok((Bucket::Folder(path.into()), String::new()));
        for path in ["/data", "./data", "../data", ".", ".."] {
            assert_eq!(parse(path), folder(path), "{path}");
        }
        assert_eq!(parse("file:///data"), folder("/data"));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, says) in [
            ("", "no place"),
            ("s3://", "no place"),
            ("s3:///a", "no place"),
            ("gs://b", "no place"),
            ("Weights", "no place"),
            ("s3://b?endpoint=", "one value"),
            ("s3://b?region=a&region=b", "one value"),
            ("s3://b?region=a&rejion=b", "no parameter"),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}");
        }
    }
}
