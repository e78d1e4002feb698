//! From looks at the gateway to figures: pure, but for the time that it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use skyfleet_gateway::status::{EndpointStatus, RouteStatus};

use super::content::{Figures, Models};

/// In this time an answer loses its weight in the mean response time to 1/e.
const DECAY: Duration = Duration::from_mins(1);
/// Answers, weighed by their age, that are too few to say anything: one that is five minutes old.
const FORGOTTEN: f64 = 0.007;

/// A ModelDeployment (`namespace/name`) and a cluster.
type Key = (String, String);
/// A route, a backend, a cluster, an endpoint and its address.
type EndpointKey = (String, String, String, String, String);

/// What was seen since the last figures, and what is needed of the time before.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    looks: u32,
    /// Those that are there.
    tracks: BTreeMap<Key, Track>,
    /// Answers and their milliseconds at the last look.
    counters: HashMap<EndpointKey, (u64, f64)>,
    /// ModelDeployments that were asked for anything: of others there is nothing to tell.
    asked: HashSet<String>,
    /// Requests of a route to a backend that came while that had no replica, at the last look.
    unmet: HashMap<(String, String), u64>,
    /// ModelDeployments that had such since the last figures.
    requested: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The sum over the looks.
    in_flight: f64,
    answers: f64,
    milliseconds: f64,
    /// Of the time before, with less weight the older they are.
    late: (f64, f64),
    is_there: bool,
}

impl Sampler {
    /// Takes what the gateway says of itself now.
    #[allow(clippy::cast_precision_loss, reason = "2^52 answers take a while")]
    pub(super) fn look(&mut self, routes: &[RouteStatus]) {
        self.looks += 1;
        self.tracks.values_mut().for_each(|track| track.is_there = false);
        let mut counters = HashMap::new();
        for (route, backend, endpoint) in endpoints(routes) {
            let key = endpoint_key(route, backend, endpoint);
            let now = (endpoint.answered, endpoint.total_response_milliseconds);
            // An endpoint that came back counts from zero.
            let before = self.counters.get(&key).copied().filter(|before| before.0 <= now.0).unwrap_or_default();
            let model = model(route, backend);
            if endpoint.in_flight > 0 || now.0 > 0 {
                self.asked.insert(model.clone());
            }
            let track = self.tracks.entry((model, endpoint.cluster.clone())).or_default();
            track.is_there = true;
            track.in_flight += f64::from(endpoint.in_flight);
            track.answers += (now.0 - before.0) as f64;
            track.milliseconds += (now.1 - before.1).max(0.0);
            counters.insert(key, now);
        }
        self.counters = counters;
        self.tracks.retain(|_, track| track.is_there);
        let tracks = &self.tracks;
        let is_there = |model: &String| {
            let next = tracks.range((model.clone(), String::new())..).next();
            next.is_some_and(|((of, _), _)| of == model)
        };
        self.asked.retain(is_there);
        self.look_for_unmet(routes);
    }

    fn look_for_unmet(&mut self, routes: &[RouteStatus]) {
        let mut unmet = HashMap::new();
        for (route, backend) in
            routes.iter().flat_map(|route| route.backends.iter().map(move |backend| (route, backend)))
        {
            let key = (route.name.clone(), backend.name.clone());
            let before = self.unmet.get(&key).copied().filter(|before| *before <= backend.unmet).unwrap_or_default();
            if backend.unmet > before || backend.waiting > 0 && backend.endpoints.is_empty() {
                self.requested.insert(model(&route.name, &backend.name));
            }
            unmet.insert(key, backend.unmet);
        }
        self.unmet = unmet;
    }

    /// ModelDeployments that had requests and no replica for them since they were last taken.
    pub(super) fn requested(&self) -> &BTreeSet<String> {
        &self.requested
    }

    pub(super) fn take_requested(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.requested)
    }

    /// The figures of the time since the last ones.
    pub(super) fn figures(&mut self, elapsed: Duration) -> Models {
        let looks = f64::from(std::mem::take(&mut self.looks).max(1));
        let mut models = Models::new();
        for ((model, cluster), track) in &mut self.tracks {
            let figures = track.figures(looks, elapsed);
            if self.asked.contains(model) {
                models.entry(model.clone()).or_default().insert(cluster.clone(), figures);
            }
        }
        models
    }
}

impl Track {
    fn figures(&mut self, looks: f64, elapsed: Duration) -> Figures {
        let seconds = elapsed.as_secs_f64().max(1.0);
        let kept = (-seconds / DECAY.as_secs_f64()).exp();
        let (count, sum) = self.late;
        self.late = (count * kept + self.answers, sum * kept + self.milliseconds);
        let figures = Figures {
            in_flight: rounded(self.in_flight / looks, 100.0),
            answers_per_second: rounded(self.answers / seconds, 100.0),
            response_milliseconds: (self.late.0 > FORGOTTEN).then(|| rounded(self.late.1 / self.late.0, 10.0)),
        };
        (self.in_flight, self.answers, self.milliseconds) = (0.0, 0.0, 0.0);
        figures
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

fn endpoints(routes: &[RouteStatus]) -> impl Iterator<Item = (&str, &str, &EndpointStatus)> {
    routes.iter().flat_map(|route| {
        route.backends.iter().flat_map(move |backend| {
            backend.endpoints.iter().map(move |endpoint| (route.name.as_str(), backend.name.as_str(), endpoint))
        })
    })
}

fn endpoint_key(route: &str, backend: &str, endpoint: &EndpointStatus) -> EndpointKey {
    let (cluster, name, address) = (endpoint.cluster.clone(), endpoint.name.clone(), endpoint.address.clone());
    (route.to_owned(), backend.to_owned(), cluster, name, address)
}

/// A backend is a ModelDeployment of the route's namespace.
fn model(route: &str, backend: &str) -> String {
    let namespace = route.split_once('/').map_or("", |(namespace, _)| namespace);
    format!("{namespace}/{backend}")
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::status::BackendStatus;

    use super::*;

    /// Route, backend, cluster; in flight, answers, and their milliseconds.
    type Seen<'a> = (&'a str, &'a str, &'a str, u32, u64, f64);

    fn routes(seen: &[Seen<'_>]) -> Vec<RouteStatus> {
        let route = |&(route, backend, cluster, in_flight, answered, total): &Seen<'_>| RouteStatus {
            name: route.to_owned(),
            hosts: vec![],
            path_prefixes: vec![],
            models: vec![],
            conflicts: vec![],
            shadow: None,
            backends: vec![BackendStatus {
                name: backend.to_owned(),
                weight: 1,
                waiting: 0,
                unmet: 0,
                endpoints: vec![EndpointStatus {
                    cluster: cluster.to_owned(),
                    name: "service".to_owned(),
                    address: "h:1".to_owned(),
                    condition: "Serving".to_owned(),
                    weight: 1.0,
                    in_flight,
                    response_milliseconds: None,
                    answered,
                    total_response_milliseconds: total,
                }],
            }],
        };
        seen.iter().map(route).collect()
    }

    fn look(sampler: &mut Sampler, seen: &[Seen<'_>]) {
        sampler.look(&routes(seen));
    }

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    fn routes_to_one_model_are_added_up_and_means_taken() {
        let mut sampler = Sampler::default();
        look(
            &mut sampler,
            &[("ml/r", "m", "a", 3, 0, 0.0), ("ml/s", "m", "a", 0, 0, 0.0), ("ml/s", "n", "b", 0, 0, 0.0)],
        );
        look(
            &mut sampler,
            &[("ml/r", "m", "a", 1, 20, 1000.0), ("ml/s", "m", "a", 2, 10, 2000.0), ("ml/r", "m", "b", 0, 0, 0.0)],
        );
        let figures = sampler.figures(INTERVAL);
        assert_eq!(figures.keys().collect::<Vec<_>>(), ["ml/m"], "nobody asked for n");
        let busy = Figures { in_flight: 3.0, answers_per_second: 2.0, response_milliseconds: Some(100.0) };
        assert_eq!(figures["ml/m"]["a"], busy);
        assert_eq!(figures["ml/m"]["b"], Figures::default(), "a cluster that gets none is told, too");
    }

    #[test]
    fn counters_count_once_and_late_answers_lose_weight() {
        let mut sampler = Sampler::default();
        let mut round = |answered, total| {
            look(&mut sampler, &[("ml/r", "m", "a", 0, answered, total)]);
            sampler.figures(INTERVAL)["ml/m"]["a"]
        };
        assert_eq!(round(30, 3000.0).response_milliseconds, Some(100.0));
        let still = round(30, 3000.0);
        assert_eq!((still.answers_per_second, still.response_milliseconds), (0.0, Some(100.0)));
        let slower = round(60, 12_000.0).response_milliseconds.expect("a mean");
        assert!((200.0..300.0).contains(&slower), "{slower}");
        let anew = round(3, 30.0).answers_per_second;
        assert!((anew - 0.2).abs() < 1e-9, "it came back, and counts from zero: {anew}");
        let forgotten = (0..40).map(|_| round(3, 30.0)).last().expect("a round");
        assert_eq!(forgotten, Figures::default());
    }

    #[test]
    fn requests_without_a_replica_are_told_once_and_those_that_wait_for_one_each_time() {
        let mut sampler = Sampler::default();
        let mut look = |unmet, waiting, is_there: bool| {
            let mut routes = routes(&[("ml/r", "m", "a", 0, 0, 0.0)]);
            let backend = &mut routes[0].backends[0];
            (backend.unmet, backend.waiting) = (unmet, waiting);
            backend.endpoints.truncate(usize::from(is_there));
            sampler.look(&routes);
            sampler.take_requested().contains("ml/m")
        };
        let told =
            [(0, 0, false), (2, 0, false), (2, 0, false), (2, 1, false), (2, 1, true), (1, 0, true), (1, 0, true)];
        let told = told.map(|(unmet, waiting, is_there)| look(unmet, waiting, is_there));
        assert_eq!(told, [false, true, false, true, false, true, false], "with 1 it counts anew");
    }

    #[test]
    fn what_is_gone_is_told_no_more() {
        let mut sampler = Sampler::default();
        look(&mut sampler, &[("ml/r", "m", "a", 1, 0, 0.0)]);
        assert_eq!(sampler.figures(INTERVAL).len(), 1);
        look(&mut sampler, &[]);
        assert_eq!(sampler.figures(INTERVAL), Models::new());
        look(&mut sampler, &[("ml/r", "m", "a", 0, 0, 0.0)]);
        assert_eq!(sampler.figures(INTERVAL), Models::new(), "it begins anew");
    }
}
