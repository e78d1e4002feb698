//! What this operator has written last, until its watch shows it. A pass that begins in between would decide on an older
//! object, and the hub would refuse what it writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt};

type Key = (Option<String>, String);

/// The last written objects of a kind that the watch has not shown yet.
pub(crate) struct OwnWrites<K>(Mutex<HashMap<Key, Arc<K>>>);

impl<K> Default for OwnWrites<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> OwnWrites<K> {
    /// An object as the hub gave it back after a write.
    pub(crate) fn wrote(&self, object: K) {
        self.lock().insert(key(&object), Arc::new(object));
    }

    /// Of an object as the watch shows it and as it was last written, the newer one.
    pub(crate) fn newest(&self, shown: Arc<K>) -> Arc<K> {
        let (mut written, key) = (self.lock(), key(&*shown));
        match written.get(&key) {
            Some(own) if is_newer(&**own, &*shown) => own.clone(),
            Some(_) => {
                written.remove(&key);
                shown
            }
            None => shown,
        }
    }

    /// Only what the watch shows counts from now on: somebody else has written since.
    pub(crate) fn forget(&self, object: &K) {
        self.lock().remove(&key(object));
    }

    // A panic cannot leave the map half-changed: each critical section is one map operation.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace(), object.name_any())
}

/// Versions of one object grow (KEP-5504, comparable resource versions); what is no number is not compared.
fn is_newer<K: Resource>(own: &K, shown: &K) -> bool {
    let version = |object: &K| object.resource_version()?.parse::<u128>().ok();
    let newer = version(own).zip(version(shown)).is_some_and(|(own, shown)| own > shown);
    newer && own.uid() == shown.uid()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(uid: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("a".to_owned());
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    #[test]
    fn the_newer_of_what_was_written_and_what_is_shown_counts() {
        let writes = OwnWrites::default();
        let newest = |uid: &str, shown: &str| writes.newest(Arc::new(object(uid, shown))).resource_version();
        assert_eq!(newest("u", "99").as_deref(), Some("99"));
        writes.wrote(object("u", "100"));
        assert_eq!(newest("u", "99").as_deref(), Some("100"));
        assert_eq!(newest("u", "101").as_deref(), Some("101"));
        assert_eq!(newest("u", "99").as_deref(), Some("99"), "it was forgotten when something newer was shown");
        writes.wrote(object("u", "100"));
        assert_eq!(newest("another", "99").as_deref(), Some("99"), "the name was given anew");
        writes.wrote(object("u", "100"));
        writes.forget(&object("u", "7"));
        assert_eq!(newest("u", "99").as_deref(), Some("99"));
        writes.wrote(object("u", "not a number"));
        assert_eq!(newest("u", "99").as_deref(), Some("99"));
    }
}
