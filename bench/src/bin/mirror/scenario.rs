//! Small objects: copied, and then found to be settled.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use skyfleet_bench::figures::{Figure, percentile};
use skyfleet_e2e::object_store::{ObjectStore as Garage, REGION};
use skyfleet_mirror::{Attributes, ConnectOptions, Credentials, ObjectStore as _, S3Location, S3Store, Sha256, list};

use crate::program::{Cost, Program};

/// Requests at once while the source is filled.
const FILLING: usize = 32;

pub(crate) struct Scenario {
    pub(crate) objects: usize,
    pub(crate) size: usize,
    pub(crate) rounds: usize,
}

/// What each program took, by round.
#[derive(Default)]
pub(crate) struct Found {
    copies: Vec<Cost>,
    again: Vec<Cost>,
}

impl Scenario {
    /// Fills a bucket, and lets each program copy it to a bucket of its own, in turns.
    pub(crate) async fn run(&self, store: &Garage, programs: &[Program]) -> Result<Vec<Found>, String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        store.create_bucket("source").await.map_err(|error| failed(&error))?;
        self.fill(&open(store, "source").await?).await?;
        let mut found: Vec<Found> = programs.iter().map(|_| Found::default()).collect();
        for round in 0..self.rounds {
            // The one that comes second finds a warm server: so they take turns in that, too.
            let order: Vec<usize> = (0..programs.len()).map(|index| (index + round) % programs.len()).collect();
            for index in order {
                let (program, bucket) = (&programs[index], format!("target-{}-{round}", programs[index].name()));
                store.create_bucket(&bucket).await.map_err(|error| failed(&error))?;
                found[index].copies.push(program.mirror(store, "source", &bucket)?);
                let target = open(store, &bucket).await?;
                let copied = list(&*target, "").try_collect::<Vec<_>>().await;
                let copied = copied.map_err(|error| failed(&error))?.len();
                if copied != self.objects {
                    return Err(format!("{} copied {copied} objects of {}", program.name(), self.objects));
                }
                found[index].again.push(program.mirror(store, "source", &bucket)?);
            }
        }
        Ok(found)
    }

    async fn fill(&self, store: &Arc<S3Store>) -> Result<(), String> {
        futures::stream::iter(0..self.objects)
            .map(|number| {
                let (store, mut body) = (store.clone(), vec![0; self.size]);
                let mut random = fastrand::Rng::with_seed(number as u64);
                random.fill(&mut body);
                let (key, sha256) = (format!("data/{:03}/{number:08}", number % 512), Sha256::of(&body));
                async move { store.put(&key, &Attributes::default(), body.into(), sha256).await }
            })
            .buffer_unordered(FILLING)
            .try_for_each(async |_| Ok(()))
            .await
            .map_err(|error| error.to_string())
    }
}

async fn open(store: &Garage, bucket: &str) -> Result<Arc<S3Store>, String> {
    let location = S3Location::new(Some(store.endpoint()), Some(REGION.into()), bucket.into(), String::new());
    let credentials = Credentials::Static {
        access_key_id: store.access_key_id.clone(),
        secret_access_key: store.secret_access_key.clone(),
        session_token: None,
    };
    let store = S3Store::connect(location, credentials, ConnectOptions::default()).await;
    store.map(Arc::new).map_err(|error| error.to_string())
}

/// The medians, compared with the peer's.
#[allow(clippy::cast_precision_loss, reason = "small counts")]
pub(crate) fn figures(scenario: &Scenario, programs: &[Program], found: &[Found]) -> Vec<Figure> {
    type Part = (&'static str, f64, fn(&Found) -> Vec<Duration>);
    let objects = scenario.objects as f64;
    let parts: [Part; 4] = [
        ("mirror.small.cpu_per_object", 1e6 / objects, |found| costs(&found.copies, |cost| cost.cpu)),
        ("mirror.small.wall", 1e6, |found| costs(&found.copies, |cost| cost.wall)),
        // Both sides are listed.
        ("mirror.again.cpu_per_entry", 1e6 / (2.0 * objects), |found| costs(&found.again, |cost| cost.cpu)),
        ("mirror.again.wall", 1e6, |found| costs(&found.again, |cost| cost.wall)),
    ];
    let mut all = Vec::new();
    for (name, scale, part) in parts {
        let median = |found: &Found| percentile(&part(found), 50.0).map(|time| time.as_secs_f64() * scale);
        let value = found.first().and_then(median);
        let mut figure =
            Figure::new(name, value, "us").with("objects", scenario.objects).with("rounds", scenario.rounds);
        if let (Some(peer), Some(theirs)) = (programs.get(1), found.get(1).and_then(median)) {
            figure.peer = Some(peer.name().to_owned());
            figure.ratio = value.map(|value| (value / theirs * 1000.0).round() / 1000.0);
            figure = figure.with("peer_value", theirs.round());
        }
        all.push(figure);
    }
    let rss = found.first().and_then(|found| found.copies.first()).map(|cost| cost.rss as f64 / 1024.0);
    all.push(Figure::new("mirror.small.most_memory", rss, "MiB").with("objects", scenario.objects));
    all
}

fn costs(costs: &[Cost], part: impl Fn(&Cost) -> Duration) -> Vec<Duration> {
    let mut times: Vec<_> = costs.iter().map(part).collect();
    times.sort_unstable();
    times
}
