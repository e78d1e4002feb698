//! What a request is about: the parts of a Kubernetes path, and its query.

use std::collections::BTreeMap;

use super::selector::Selector;

/// The kinds that have objects here: plural, kind, API version, and whether they live in namespaces. Lists of all others are
/// empty.
const KINDS: [(&str, &str, &str, bool); 6] = [
    ("deployments", "Deployment", "apps/v1", true),
    ("services", "Service", "v1", true),
    ("secrets", "Secret", "v1", true),
    ("pods", "Pod", "v1", true),
    ("nodes", "Node", "v1", false),
    ("namespaces", "Namespace", "v1", false),
];

/// A collection or an object in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The plural, such as `deployments`.
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

impl Target {
    /// Takes a path apart: `/api/v1/RESOURCE`, `/apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME`. `None` for any
    /// other path, subresources among them.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = parts.as_slice() else { return None };
        let (namespace, resource, name) = match rest {
            ["namespaces", namespace, resource] => (Some(*namespace), *resource, None),
            ["namespaces", namespace, resource, name] => (Some(*namespace), *resource, Some(*name)),
            [resource] => (None, *resource, None),
            [resource, name] => (None, *resource, Some(*name)),
            _ => return None,
        };
        let owned = |part: &str| part.to_owned();
        Some(Self { resource: owned(resource), namespace: namespace.map(owned), name: name.map(owned) })
    }

    /// The kind and API version; `None` where nothing can be.
    pub(super) fn kind(&self) -> Option<(&'static str, &'static str)> {
        let known = KINDS.iter().find(|(plural, ..)| *plural == self.resource)?;
        Some((known.1, known.2))
    }

    /// Whether a namespace is missing in, or too much for, an object of this kind.
    pub(super) fn is_misplaced(&self) -> bool {
        KINDS.iter().any(|(plural, _, _, namespaced)| {
            *plural == self.resource && self.name.is_some() && *namespaced != self.namespace.is_some()
        })
    }
}

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "1"))
    }

    pub(super) fn selector(&self) -> Selector {
        Selector::parse(self.text("labelSelector").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (path, resource, namespace, name) in [
            ("/api/v1/nodes", "nodes", None, None),
            ("/api/v1/namespaces", "namespaces", None, None),
            ("/api/v1/namespaces/default", "namespaces", None, Some("default")),
            ("/api/v1/namespaces/default/pods", "pods", Some("default"), None),
            ("/apis/apps/v1/deployments", "deployments", None, None),
            ("/apis/apps/v1/namespaces/a/deployments/b", "deployments", Some("a"), Some("b")),
        ] {
            let found = Target::parse(path).unwrap();
            assert_eq!(
                (found.resource.as_str(), found.namespace.as_deref(), found.name.as_deref()),
                (resource, namespace, name)
            );
        }
        for path in ["/version", "/api/v1", "/apis/apps/v1/namespaces/a/deployments/b/scale"] {
            assert_eq!(Target::parse(path), None, "{path}");
        }
    }
}
