//! The objects of a member and what happened to them, as etcd and the watch cache of an API server keep them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Events that are kept for watches that begin in the past; before them a watch is told to list anew.
const EVENTS_KEPT: usize = 4096;

/// Where an object is; one of no namespace has an empty one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What becomes of an object.
pub(super) enum Change {
    Keep,
    Put(Value),
    Remove,
}

/// Something that happened.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) type_: &'static str,
    pub(super) key: Key,
    pub(super) object: Arc<Value>,
}

/// A part of a collection.
pub(super) struct Page {
    pub(super) items: Vec<Arc<Value>>,
    pub(super) version: u64,
    /// Where the next page goes on.
    pub(super) next: Option<Key>,
}

/// The objects of a member.
pub(super) struct Store {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

struct State {
    version: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    events: VecDeque<Event>,
}

impl Store {
    pub(super) fn new() -> Self {
        let state = State { version: 1, objects: BTreeMap::new(), events: VecDeque::new() };
        Self { state: Mutex::new(state), version: watch::Sender::new(1) }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of a kind that are wanted, in order, at most `limit`, beyond the one at `after`.
    pub(super) fn list(
        &self,
        resource: &str,
        wanted: impl Fn(&Key, &Value) -> bool,
        limit: Option<usize>,
        after: Option<Key>,
    ) -> Page {
        let state = self.lock();
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(Key::new(resource, "", "")),
        };
        let mut found = state
            .objects
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.resource == resource)
            .filter(|(key, object)| wanted(key, object));
        let mut page = Page { items: Vec::new(), version: state.version, next: None };
        let mut last = None;
        for (key, object) in found.by_ref().take(limit.unwrap_or(usize::MAX)) {
            page.items.push(object.clone());
            last = Some(key);
        }
        page.next = found.next().and(last).cloned();
        page
    }

    /// Changes one object, with nobody in between. Gives it as it is then, and as it was where it is removed.
    ///
    /// # Errors
    /// That of `change`.
    pub(super) fn change<E>(
        &self,
        key: &Key,
        change: impl FnOnce(Option<&Value>) -> Result<Change, E>,
    ) -> Result<Option<Arc<Value>>, E> {
        let mut state = self.lock();
        let before = state.objects.get(key).cloned();
        let result = match change(before.as_deref())? {
            Change::Keep => before,
            Change::Put(object) => Some(state.put(key, before.as_deref(), object)),
            Change::Remove => before.map(|before| state.remove(key, &before)),
        };
        let version = state.version;
        self.version.send_if_modified(|told| std::mem::replace(told, version) != version);
        Ok(result)
    }

    /// What happened to objects of a kind after a version, and the version until which that is all; `None` when that is no
    /// longer known.
    pub(super) fn events_after(&self, resource: &str, version: u64) -> Option<(Vec<Event>, u64)> {
        let state = self.lock();
        let oldest = state.events.front().map_or(state.version + 1, |event| event.version);
        if version + 1 < oldest && version != state.version {
            return None;
        }
        let start = state.events.partition_point(|event| event.version <= version);
        let events = state.events.range(start..).filter(|event| event.key.resource == resource);
        Some((events.cloned().collect(), state.version))
    }

    /// Tells of every new version.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    // A panic while the lock is held leaves at most an event untold.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: &Key, before: Option<&Value>, mut object: Value) -> Arc<Value> {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["resourceVersion"] = json!(self.version.to_string());
        if let Some(before) = before {
            for field in ["uid", "creationTimestamp"] {
                metadata[field] = before["metadata"][field].clone();
            }
        } else {
            metadata["uid"] = json!(uid());
            metadata["creationTimestamp"] = now();
        }
        let object = Arc::new(object);
        self.objects.insert(key.clone(), object.clone());
        self.tell(if before.is_some() { "MODIFIED" } else { "ADDED" }, key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key, before: &Value) -> Arc<Value> {
        self.version += 1;
        let mut object = before.clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.objects.remove(key);
        self.tell("DELETED", key, object.clone());
        object
    }

    fn tell(&mut self, type_: &'static str, key: &Key, object: Arc<Value>) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event { version: self.version, type_, key: key.clone(), object });
    }
}

/// The time as an object's field has it.
pub(super) fn now() -> Value {
    json!(Time(Timestamp::now()))
}

fn uid() -> String {
    let [a, b] = [fastrand::u64(..), fastrand::u64(..)];
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a & 0xffff,
        (a >> 16) & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, name: &str) {
        let change = |_: Option<&Value>| Ok::<_, ()>(Change::Put(json!({"metadata": {}})));
        store.change(&Key::new("pods", "a", name), change).unwrap();
    }

    #[test]
    fn pages_are_walked_through_in_order() {
        let store = Store::new();
        for name in ["c", "a", "b"] {
            put(&store, name);
        }
        let first = store.list("pods", |_, _| true, Some(2), None);
        assert_eq!(first.items.len(), 2);
        let second = store.list("pods", |_, _| true, Some(2), first.next);
        assert_eq!((second.items[0]["metadata"]["name"].as_str(), second.next), (Some("c"), None));
        assert!(store.list("nodes", |_, _| true, None, None).items.is_empty());
    }

    #[test]
    fn a_watch_sees_every_event_or_is_told_that_it_cannot() {
        let store = Store::new();
        let start = store.list("pods", |_, _| true, None, None).version;
        put(&store, "a");
        put(&store, "a");
        store.change(&Key::new("pods", "a", "a"), |_| Ok::<_, ()>(Change::Remove)).unwrap();
        let (events, until) = store.events_after("pods", start).unwrap();
        assert_eq!(events.iter().map(|event| event.type_).collect::<Vec<_>>(), ["ADDED", "MODIFIED", "DELETED"]);
        assert!(store.events_after("pods", until).unwrap().0.is_empty());
        assert!(store.events_after("nodes", start).unwrap().0.is_empty());
        for _ in 0..EVENTS_KEPT {
            put(&store, "b");
        }
        assert!(store.events_after("pods", start).is_none());
        assert!(store.events_after("pods", until).is_some());
    }
}
