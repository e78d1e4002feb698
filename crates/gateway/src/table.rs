//! Which route takes a request: pure.
//!
//! An exact host comes before a wildcard, a longer one before a shorter one, any host last; then the longer path; then who names the model.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Matching;

/// All routes, by what they take.
#[derive(Debug)]
pub struct Table<R> {
    exact: HashMap<String, Paths<R>>,
    /// With the dot before the suffix, the longest first.
    wildcards: Vec<(String, Paths<R>)>,
    any: Paths<R>,
}

/// The longest first.
type Paths<R> = Vec<(String, Models<R>)>;

/// Routes with the same host and path.
#[derive(Debug)]
pub struct Models<R> {
    named: HashMap<String, Arc<R>>,
    any: Option<Arc<R>>,
}

/// A route takes requests that an earlier one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The place of the route.
    pub route: usize,
    /// The place of the earlier one.
    pub taken_by: usize,
    /// Which requests, for a person.
    pub what: String,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: Vec::new(), any: Vec::new() }
    }
}

impl<R> Table<R> {
    /// Of routes in the order of their age, and what of them is taken already.
    pub fn new(routes: impl IntoIterator<Item = (Matching, Arc<R>)>) -> (Self, Vec<Conflict>) {
        let (mut table, mut conflicts) = (Self::default(), Vec::new());
        let mut owners: HashMap<(String, String, String), usize> = HashMap::new();
        for (place, (matching, route)) in routes.into_iter().enumerate() {
            for (host, path, model) in combinations(&matching) {
                let key = (host.to_owned(), path.to_owned(), model.to_owned());
                if let Some(earlier) = owners.get(&key).filter(|earlier| **earlier != place) {
                    let what = describe(host, path, model);
                    conflicts.push(Conflict { route: place, taken_by: *earlier, what });
                    continue;
                }
                owners.insert(key, place);
                let models = table.models(host, path);
                if model.is_empty() {
                    models.any = Some(route.clone());
                } else {
                    models.named.insert(model.to_owned(), route.clone());
                }
            }
        }
        (table, conflicts)
    }

    /// The routes that may take a request, the most special first. `host` is in lower case and without port.
    pub fn find<'a>(&'a self, host: &'a str, path: &'a str) -> impl Iterator<Item = &'a Models<R>> {
        self.paths(host).flatten().filter(move |(prefix, _)| is_within(path, prefix)).map(|(_, models)| models)
    }

    /// All routes of a host.
    pub fn hosted<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Models<R>> {
        self.paths(host).flatten().map(|(_, models)| models)
    }

    fn paths<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths<R>> {
        let wildcards = self.wildcards.iter().filter(move |(suffix, _)| is_below(host, suffix)).map(|(_, paths)| paths);
        self.exact.get(host).into_iter().chain(wildcards).chain([&self.any])
    }

    fn models(&mut self, host: &str, path: &str) -> &mut Models<R> {
        let paths = match host.strip_prefix('*') {
            _ if host.is_empty() => &mut self.any,
            None => self.exact.entry(host.to_owned()).or_default(),
            Some(suffix) => entry(&mut self.wildcards, suffix, Vec::new),
        };
        entry(paths, path, || Models { named: HashMap::new(), any: None })
    }
}

impl<R> Models<R> {
    /// Whether it depends on the model.
    #[must_use]
    pub fn looks_at_models(&self) -> bool {
        !self.named.is_empty()
    }

    /// The route of a model.
    #[must_use]
    pub fn route(&self, model: Option<&str>) -> Option<&Arc<R>> {
        model.and_then(|model| self.named.get(model)).or(self.any.as_ref())
    }

    /// The largest of what the routes have.
    pub(crate) fn largest(&self, of: impl Fn(&R) -> u64) -> Option<u64> {
        self.named.values().chain(&self.any).map(|route| of(route)).max()
    }

    /// All models that are named.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Arc<R>)> {
        self.named.iter().map(|(name, route)| (name.as_str(), route))
    }
}

/// The one of this name; the longest names come first.
fn entry<'a, T>(entries: &'a mut Vec<(String, T)>, name: &str, new: impl FnOnce() -> T) -> &'a mut T {
    let place = if let Some(place) = entries.iter().position(|(other, _)| other == name) {
        place
    } else {
        let place = entries.partition_point(|(other, _)| other.len() >= name.len());
        entries.insert(place, (name.to_owned(), new()));
        place
    };
    &mut entries[place].1
}

fn combinations(matching: &Matching) -> impl Iterator<Item = (&str, &str, &str)> {
    let (hosts, paths, models) = (all(&matching.hosts), all(&matching.path_prefixes), all(&matching.models));
    hosts.into_iter().flat_map(move |host| {
        let (paths, models) = (paths.clone(), models.clone());
        // `/` takes every path, as none does, and `/v1/` what `/v1` takes.
        let paths = paths.into_iter().map(|path| path.trim_end_matches('/'));
        paths.flat_map(move |path| models.clone().into_iter().map(move |model| (host, path, model)))
    })
}

/// What is empty takes all.
fn all(of: &[String]) -> Vec<&str> {
    if of.is_empty() { vec![""] } else { of.iter().map(String::as_str).collect() }
}

fn describe(host: &str, path: &str, model: &str) -> String {
    let or = |text: &str, any: &str| if text.is_empty() { any.to_owned() } else { format!("{text:?}") };
    format!("host {}, path {}, model {}", or(host, "any"), or(path, "any"), or(model, "any"))
}

/// `suffix` begins with a dot, and stands for at least one label.
fn is_below(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

/// `/v1` takes `/v1` and `/v1/x`, but not `/v10`.
fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Table;
    use crate::config::Matching;

    fn matching(hosts: &[&str], paths: &[&str], models: &[&str]) -> Matching {
        let owned = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect();
        Matching { hosts: owned(hosts), path_prefixes: owned(paths), models: owned(models) }
    }

    fn table() -> Table<&'static str> {
        let routes = [
            ("any", matching(&[], &["/"], &[])),
            ("v1", matching(&[], &["/v1"], &[])),
            ("chat", matching(&[], &["/v1/chat/"], &[])),
            ("llama", matching(&[], &["/v1"], &["llama", "llama:70b"])),
            ("host", matching(&["a.example.com"], &[], &[])),
            ("wild", matching(&["*.example.com"], &[], &[])),
            ("longer", matching(&["*.b.example.com"], &["/v1"], &["m"])),
        ];
        let (table, conflicts) = Table::new(routes.map(|(name, matching)| (matching, Arc::new(name))));
        assert_eq!(conflicts, []);
        table
    }

    fn found(table: &Table<&'static str>, host: &str, path: &str, model: Option<&str>) -> Option<&'static str> {
        table.find(host, path).find_map(|models| models.route(model)).map(|route| **route)
    }

    #[test]
    fn the_most_special_route_takes_a_request() {
        let table = table();
        for (host, path, model, expected) in [
            ("x", "/", None, "any"),
            ("x", "/v10", None, "any"),
            ("x", "/v1", None, "v1"),
            ("x", "/v1/models", None, "v1"),
            ("x", "/v1/chat/completions", Some("llama"), "chat"),
            ("x", "/v1/chat", Some("llama"), "chat"),
            ("x", "/v1/embeddings", Some("llama"), "llama"),
            ("x", "/v1/embeddings", Some("llama:70b"), "llama"),
            ("x", "/v1/embeddings", Some("other"), "v1"),
            ("a.example.com", "/v1/embeddings", Some("llama"), "host"),
            ("b.example.com", "/", None, "wild"),
            ("c.b.example.com", "/v1", Some("m"), "longer"),
            ("c.b.example.com", "/v1", Some("n"), "wild"),
            ("c.b.example.com", "/", Some("m"), "wild"),
            ("example.com", "/", None, "any"),
            ("badexample.com", "/", None, "any"),
        ] {
            assert_eq!(found(&table, host, path, model), Some(expected), "{host} {path} {model:?}");
        }
        let (only, _) = Table::new([(matching(&["h"], &["/p"], &["m"]), Arc::new("only"))]);
        for (host, path, model) in
            [("i", "/p", Some("m")), ("h", "/q", Some("m")), ("h", "/p", None), ("h", "/p", Some("n"))]
        {
            assert_eq!(found(&only, host, path, model), None, "{host} {path} {model:?}");
        }
    }

    #[test]
    fn of_two_that_take_the_same_the_first_one_has_it() {
        let same = matching(&["h"], &["/p"], &["m"]);
        let more = matching(&["h", "i"], &["/p"], &["m", "m"]);
        let (table, conflicts) = Table::new([(same, Arc::new("old")), (more, Arc::new("new"))]);
        assert_eq!(conflicts.len(), 2, "{conflicts:?}");
        assert!(conflicts.iter().all(|conflict| (conflict.route, conflict.taken_by) == (1, 0)));
        assert_eq!(conflicts[0].what, r#"host "h", path "/p", model "m""#);
        assert_eq!(found(&table, "h", "/p", Some("m")), Some("old"));
        assert_eq!(found(&table, "i", "/p", Some("m")), Some("new"));
    }
}
