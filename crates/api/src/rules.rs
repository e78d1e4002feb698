//! Rules that several fields share, in CEL, with a message for a person: a bare pattern would be shown as it is.

use kube::core::Rule;

/// The name of an object, such as a Secret. A name that nothing can have is refused before anybody looks for it.
pub(crate) fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("must be the name of an object: a-z, 0-9, '-' and '.', a letter or digit at both ends")
}

/// As [`object_name`], for each of a list. A wish for a cluster that no cluster can be would be passed over in silence.
pub(crate) fn object_names() -> Rule {
    Rule::new("self.all(name, name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))")
        .message("each must be the name of an object: a-z, 0-9, '-' and '.', a letter or digit at both ends")
}

/// The name of a metric as it stands in Prometheus' text format: an expression would match nothing there.
pub(crate) fn metric_name() -> Rule {
    Rule::new("self.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*$')")
        .message("must be the name of a metric, such as vllm:num_requests_running, without labels or functions")
}

/// What can be the value of a label: places are matched with selectors, which take nothing else.
pub(crate) fn label_value() -> Rule {
    Rule::new("self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')")
        .message("must be the value of a label: letters, digits, '-', '_' and '.', a letter or digit at both ends")
}

/// What can be the key of a label or a taint.
pub(crate) fn label_key() -> Rule {
    Rule::new("self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')")
        .message("must be the key of a label, such as team or example.com/team")
}

/// A prefix that is not Skyfleet's own, where manifests and the engine's memory are.
pub(crate) fn not_reserved() -> Rule {
    Rule::new("!self.startsWith('.skyfleet/')").message("keys below .skyfleet/ are Skyfleet's own: take another prefix")
}

/// A digest of a manifest.
pub(crate) fn manifest_digest() -> Rule {
    Rule::new("self.matches('^sha256:[0-9a-f]{64}$')")
        .message("must be sha256: and 64 hexadecimal digits, as in the manifestDigest of the DatasetReplica's status")
}

/// The name of a header or a cookie.
pub(crate) fn token() -> Rule {
    Rule::new("self.matches('^[-A-Za-z0-9_.]+$')")
        .message("must be the name of a header or cookie: letters, digits, '-', '_' and '.'")
}

/// That a rate is limited.
pub(crate) fn some_rate() -> Rule {
    Rule::new("has(self.requestsPerMinute) || has(self.tokensPerMinute)")
        .message("give requestsPerMinute, tokensPerMinute or both")
}
