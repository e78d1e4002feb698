//! From what NGINX has to what it is to have: pure.

use std::fmt;

use super::upstream::{self, Found};
use super::wanted::Wanted;
use crate::Shown;

/// What NGINX has.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// The generation that all workers have which take connections; none if they have nothing of ours, or nobody answers.
    pub(super) running: Option<String>,
    /// The one that is loaded next, also when NGINX starts.
    pub(super) live: Option<Generation>,
    /// One that was tested, and is not live yet.
    pub(super) next: Option<Generation>,
    /// The servers that workers have.
    pub(super) found: Vec<Found>,
}

/// Files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    /// Its name, that of its folder.
    pub(super) name: String,
    /// What was wanted; none if somebody has changed the files.
    pub(super) wanted: Option<String>,
    /// Names of hosts have other addresses now.
    pub(super) is_outdated: bool,
}

impl Generation {
    fn is(&self, wanted: &str) -> bool {
        self.wanted.as_deref() == Some(wanted) && !self.is_outdated
    }
}

/// A change.
pub enum Step {
    /// Write a new generation beside the live one, and have NGINX test its whole configuration with it.
    Prepare(Box<Wanted>),
    /// Make the new generation live: a rename.
    Switch,
    /// Have NGINX load what is live.
    Reload,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(wanted) => write!(f, "write and test {wanted:?}"),
            Self::Switch => f.write_str("make it live"),
            Self::Reload => f.write_str("reload"),
        }
    }
}

/// The changes that are left.
pub(super) fn steps(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let id = wanted.id();
    if let Some(live) = actual.live.as_ref().filter(|live| live.is(&id)) {
        let is_loaded = actual.running.as_ref() == Some(&live.name);
        return if is_loaded { vec![] } else { vec![Step::Reload] };
    }
    if actual.next.as_ref().is_some_and(|next| next.is(&id)) {
        return vec![Step::Switch, Step::Reload];
    }
    vec![Step::Prepare(Box::new(wanted.clone())), Step::Switch, Step::Reload]
}

/// In words that all have in common.
pub(super) fn shown(actual: &Actual) -> Shown {
    upstream::shown(&actual.found)
}

#[cfg(test)]
mod tests {
    use super::super::wanted::Route;
    use super::*;

    fn wanted(http: &str) -> Wanted {
        let files = [("x.key".to_owned(), b"secret".to_vec())].into();
        let (id, server) = ("x".to_owned(), String::new());
        let route = Route { id, upstream: None, http: String::new(), server: server.clone(), files };
        Wanted { http: http.to_owned(), server, routes: vec![route] }
    }

    fn generation(name: &str, of: &Wanted) -> Generation {
        Generation { name: name.to_owned(), wanted: Some(of.id()), is_outdated: false }
    }

    #[test]
    fn only_what_is_left_is_done() {
        let (old, new) = (wanted("old"), wanted("new"));
        let (all, switch, reload) = (vec!["write", "make", "reload"], vec!["make", "reload"], vec!["reload"]);
        let (of_old, of_new) = (generation("a-1", &old), generation("b-1", &new));
        let edited = Generation { wanted: None, ..of_new.clone() };
        let outdated = Generation { is_outdated: true, ..of_new.clone() };
        for (running, live, next, expected) in [
            (None, None, None, all.clone()),
            (Some("a-1"), Some(&of_old), None, all.clone()),
            (Some("a-1"), Some(&of_old), Some(&of_new), switch),
            (Some("a-1"), Some(&of_old), Some(&edited), all.clone()),
            (Some("a-1"), Some(&of_new), None, reload.clone()),
            (None, Some(&of_new), None, reload),
            (Some("b-1"), Some(&of_new), Some(&of_old), vec![]),
            (Some("b-1"), Some(&edited), None, all.clone()),
            (Some("b-1"), Some(&outdated), None, all),
        ] {
            let (running, live, next) = (running.map(str::to_owned), live.cloned(), next.cloned());
            let actual = Actual { running, live, next, found: vec![] };
            let steps: Vec<_> = steps(&actual, &new).iter().map(|step| format!("{step:?}")).collect();
            let begins = steps.iter().map(|step| step.split(' ').next().unwrap()).collect::<Vec<_>>();
            assert_eq!(begins, expected, "{actual:?}");
            assert!(steps.iter().all(|step| !step.contains("secret")), "{steps:?}");
        }
    }
}
