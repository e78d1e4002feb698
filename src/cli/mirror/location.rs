//! Which part of which bucket a person means.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use skyfleet_mirror::{ConnectOptions, LocalStore, ObjectStore, Replica};

use crate::cli::bucket::resolve_bucket;
use crate::cli::failure::Failure;
use crate::cli::store_url::StoreUrl;

/// `s3://BUCKET[/PREFIX]`, `az://ACCOUNT/CONTAINER[/PREFIX]` or `gs://BUCKET[/PREFIX]`, each with parameters behind a question mark,
/// `NAME[/PREFIX]` of a Bucket on the hub, or a folder, which begins with `/`, `./`, `../` or `file://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    bucket: Bucket,
    /// Byte for byte; a prefix that does not end with `/` gets one.
    prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bucket {
    Url(StoreUrl),
    Resource(String),
    Folder(PathBuf),
}

impl Location {
    /// What messages call it: without parameters.
    pub(super) fn name(&self) -> String {
        match &self.bucket {
            Bucket::Url(url) => format!("{}/{}", url.name(), self.prefix),
            Bucket::Resource(name) => format!("{name}/{}", self.prefix),
            Bucket::Folder(path) => path.display().to_string(),
        }
    }

    /// Prepares to speak to its store.
    pub(super) async fn open(&self, namespace: Option<&str>, options: ConnectOptions) -> Result<Replica, Failure> {
        let store: Arc<dyn ObjectStore> = match self.bucket.clone() {
            Bucket::Url(url) => url.access(String::new(), |name| std::env::var(name).ok()).connect(options).await?,
            Bucket::Resource(name) => {
                let access = resolve_bucket(namespace, &name).await.map_err(|failure| self.or_a_folder(failure))?;
                access.connect(options).await?
            }
            Bucket::Folder(path) => Arc::new(LocalStore::open(&path)?),
        };
        Ok(Replica { store, prefix: self.prefix.clone() })
    }
}

impl Location {
    /// A plain name is that of a Bucket; whoever has a folder of that name here may have meant it.
    fn or_a_folder(&self, failure: Failure) -> Failure {
        let name = self.name();
        let name = name.trim_end_matches('/');
        if Path::new(name).is_dir() {
            return Failure::Usage(format!("{failure}; if you mean the folder here, write ./{name}"));
        }
        failure
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(folder) = folder(text) {
            return Ok(Self { bucket: Bucket::Folder(folder.to_owned()), prefix: String::new() });
        }
        let (bucket, prefix) = match StoreUrl::parse(text) {
            Some(url) => {
                let (url, prefix) = url.map_err(|wrong| format!("{text:?}: {wrong}"))?;
                (Bucket::Url(url), prefix)
            }
            None => resource(text)?,
        };
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Ok(Self { bucket, prefix: format!("{prefix}{slash}") })
    }
}

fn folder(text: &str) -> Option<&Path> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    let is_folder = [".", ".."].contains(&path) || ["/", "./", "../"].iter().any(|start| path.starts_with(start));
    is_folder.then(|| Path::new(path))
}

fn resource(text: &str) -> Result<(Bucket, String), String> {
    let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
    let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    if name.is_empty() || !is_name {
        return Err(format!(
            "{text:?} is no place: give s3://BUCKET[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX], gs://BUCKET[/PREFIX], \
             NAME[/PREFIX] of a Bucket on the hub, or ./FOLDER"
        ));
    }
    Ok((Bucket::Resource(name.to_owned()), prefix.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Location};

    fn parse(text: &str) -> Result<(Bucket, String), String> {
        text.parse().map(|Location { bucket, prefix }| (bucket, prefix))
    }

    #[test]
    fn urls_names_and_folders_are_told_apart() {
        assert_eq!(parse("weights/v2"), Ok((Bucket::Resource("weights".to_owned()), "v2/".to_owned())));
        for (text, wanted) in [("s3://b", ""), ("gs://b/p", "p/"), ("az://a/c/p/", "p/")] {
            let (bucket, prefix) = parse(text).unwrap();
            assert!(matches!(bucket, Bucket::Url(_)), "{text}");
            assert_eq!(prefix, wanted, "{text}");
        }
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
            ("Weights", "no place"),
            ("http://b", "no place"),
            ("s3://", "a name is missing"),
            ("az://account", "az://ACCOUNT/CONTAINER"),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}");
        }
    }
}
