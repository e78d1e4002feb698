//! The watch of ModelRoutes that starts passes over all of them: which requests one of them gets depends on the others.

use std::collections::HashMap;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::ModelRoute;

use super::Routes;

/// All ModelRoutes, and a stream that tells when one came, went or was given another spec. The change is in the store before it is told.
pub(super) fn route_watch(hub: &Client) -> (Routes, impl Stream<Item = ()> + Send + use<>) {
    let (store, writer) = reflector::store();
    let mut generations = HashMap::new();
    let changes = watch(Api::<DeserializeGuard<ModelRoute>>::all(hub.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|route| route.managed_fields_mut().clear())
        .reflect(writer)
        .filter_map(move |event| std::future::ready(matters(&mut generations, event)));
    (store, changes)
}

type Generations = HashMap<Option<String>, Option<i64>>;

fn matters(
    generations: &mut Generations,
    event: Result<Event<DeserializeGuard<ModelRoute>>, watcher::Error>,
) -> Option<()> {
    match event {
        // A status takes no requests from anybody.
        Ok(Event::Apply(route)) => {
            let generation = route.meta().generation;
            (generations.insert(route.uid(), generation) != Some(generation)).then_some(())
        }
        Ok(Event::Delete(route)) => {
            generations.remove(&route.uid());
            Some(())
        }
        // Anything may have come and gone while the watch was down: that is told when all are there again.
        Ok(Event::Init) => {
            generations.clear();
            None
        }
        Ok(Event::InitApply(route)) => {
            generations.insert(route.uid(), route.meta().generation);
            None
        }
        Ok(Event::InitDone) => Some(()),
        Err(error) => {
            tracing::warn!(kind = "ModelRoute", %error, "a watch on the hub failed; trying again");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(generation: i64) -> DeserializeGuard<ModelRoute> {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute",
            "metadata": {"name": "a", "uid": "u", "generation": generation},
            "spec": {"models": ["m"], "backends": [{"modelDeploymentRef": {"name": "m"}}]},
        }))
        .expect("a ModelRoute")
    }

    #[test]
    fn another_spec_matters_and_another_status_does_not() {
        let mut generations = Generations::new();
        let mut told = |event| matters(&mut generations, Ok(event)).is_some();
        assert!(told(Event::Apply(route(1))));
        assert!(!told(Event::Apply(route(1))));
        assert!(told(Event::Apply(route(2))));
        assert!(told(Event::Delete(route(2))));
        assert!(told(Event::Apply(route(2))));
        for (event, is_told) in [(Event::Init, false), (Event::InitApply(route(3)), false), (Event::InitDone, true)] {
            assert_eq!(told(event), is_told);
        }
        assert!(!told(Event::Apply(route(3))));
    }
}
