//! Which wave each cluster is in.

use std::collections::BTreeMap;

use skyfleet_api::model_deployment::Wave;

use super::ClusterState;

/// The waves of a fleet. They keep the numbers of the spec, and one without clusters is counted: were it left out, the
/// number in the status would mean another wave as soon as a cluster comes or goes.
pub(super) struct Waves<'a> {
    number: BTreeMap<&'a str, i32>,
    /// How many there are, with the last one of those that the spec does not mention.
    pub count: i32,
}

impl<'a> Waves<'a> {
    /// Of the clusters that hold replicas, sorted by name. A cluster that the spec names is in the first wave that names
    /// it, and no share takes it away from there. Shares take first who has the `target` already: who has begun does not
    /// go back because somebody else came.
    pub fn of(waves: &[Wave], held: &[&ClusterState<'a>], target: &str) -> Self {
        let mut number = BTreeMap::new();
        let named =
            |cluster: &ClusterState| waves.iter().any(|wave| wave.clusters.iter().any(|name| name == cluster.name));
        let mut unnamed: Vec<_> = held.iter().filter(|cluster| !named(cluster)).collect();
        unnamed.sort_by_key(|cluster| cluster.revision != Some(target));
        let mut unnamed = unnamed.into_iter();
        let mut count = 0;
        for wave in waves {
            count += 1;
            for cluster in held.iter().filter(|cluster| wave.clusters.iter().any(|name| name == cluster.name)) {
                number.entry(cluster.name).or_insert(count);
            }
            let share = wave.percent.map_or(0, |percent| share(held.len(), percent));
            let missing = share.saturating_sub(number.len());
            number.extend(unnamed.by_ref().take(missing).map(|cluster| (cluster.name, count)));
        }
        let rest: Vec<_> = unnamed.collect();
        if !rest.is_empty() {
            count += 1;
            number.extend(rest.into_iter().map(|cluster| (cluster.name, count)));
        }
        Self { number, count }
    }

    /// Whether the cluster's turn has come when `wave` has begun.
    pub fn reached(&self, cluster: &ClusterState, wave: i32) -> bool {
        self.number.get(cluster.name).is_some_and(|number| *number <= wave)
    }
}

fn share(all: usize, percent: i32) -> usize {
    (all * usize::try_from(percent).unwrap_or(0)).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster<'a>(name: &'a str, revision: &'a str) -> ClusterState<'a> {
        ClusterState {
            name,
            replicas: 1,
            revision: Some(revision),
            updated: true,
            reachable: true,
            reachable_since: None,
            load: None,
        }
    }

    fn named(names: &[&str]) -> Wave {
        Wave { clusters: names.iter().map(|name| (*name).to_owned()).collect(), percent: None }
    }

    fn percent(percent: i32) -> Wave {
        Wave { clusters: vec![], percent: Some(percent) }
    }

    /// The waves of a to e, of which `begun` have the target.
    fn waves(spec: &[Wave], begun: &[&str]) -> (i32, Vec<i32>) {
        let fleet = ["a", "b", "c", "d", "e"];
        let fleet = fleet.map(|name| cluster(name, if begun.contains(&name) { "new" } else { "old" }));
        let waves = Waves::of(spec, &fleet.iter().collect::<Vec<_>>(), "new");
        (waves.count, fleet.iter().map(|cluster| waves.number[cluster.name]).collect())
    }

    #[test]
    fn clusters_by_wave() {
        for (spec, begun, wanted) in [
            (vec![], vec![], (1, vec![1, 1, 1, 1, 1])),
            (vec![named(&["c"])], vec![], (2, vec![2, 2, 1, 2, 2])),
            (vec![named(&["c"]), percent(50)], vec![], (3, vec![2, 2, 1, 3, 3])),
            (vec![percent(1), percent(40), percent(100)], vec![], (3, vec![1, 2, 3, 3, 3])),
            // A share that earlier waves have reached already adds nobody.
            (vec![percent(60), percent(50)], vec![], (3, vec![1, 1, 1, 3, 3])),
            // One that holds no replicas is passed over; the number of its wave is not.
            (vec![named(&["z"]), named(&["a"])], vec![], (3, vec![2, 3, 3, 3, 3])),
            // Who is named stays where it is named, and in the first of two.
            (vec![percent(100), named(&["a"])], vec![], (2, vec![2, 1, 1, 1, 1])),
            (vec![named(&["b"]), named(&["a", "b"])], vec![], (3, vec![2, 1, 3, 3, 3])),
            // Who has begun stays in.
            (vec![percent(40)], vec!["d", "e"], (2, vec![2, 2, 2, 1, 1])),
            (vec![percent(40)], vec!["d"], (2, vec![1, 2, 2, 1, 2])),
        ] {
            assert_eq!(waves(&spec, &begun), wanted, "{spec:?} with {begun:?}");
        }
    }
}
