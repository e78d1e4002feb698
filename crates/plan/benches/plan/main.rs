//! How fast placement decides. `make bench-plan` runs it; each figure is one line of JSON.
//!
//! A schedule is all that the operator does to decide on one ModelDeployment: the books are brought up to what was last
//! counted, every member's room for such pods is worked out, the question is put together from the resources, `place` answers
//! it, and the answer is entered in the books. One thread; nothing is read from or written to an API server.
//!
//! Where `KARMADA_PEER` names the program in bench/peers/karmada, rounds of the two take turns in the same run.

mod figures;
mod fleet;
mod models;
mod peer;

use jiff::Timestamp;
use serde_json::{Value, json};
use skyfleet_api::ModelDeploymentStatus;
use skyfleet_api::model_deployment::PlacementStatus;
use skyfleet_plan::capacity::Ledger;
use skyfleet_plan::failover::{Contact, ContactState};
use skyfleet_plan::placement::{Candidate, Data, Plan, Snapshot, place};
use skyfleet_plan::question::{Facts, candidate, contact, request};

use figures::{Figure, Run, median};
use fleet::{Fleet, overcommitted};
use models::{Model, model};
use peer::karmada;

const CLUSTERS: usize = 100;
const NODES: usize = 50;
const MODELS: usize = 5000;
/// After each of them the peer has one.
const ROUNDS: usize = 3;
/// The cluster that is lost in the end is one with about so many models.
const ON_THE_LOST: usize = 1000;

struct Hub {
    fleet: Fleet,
    models: Vec<Model>,
    ledger: Ledger,
    lost: Option<usize>,
    now: Timestamp,
}

impl Hub {
    fn new() -> Self {
        Self {
            fleet: Fleet::new(CLUSTERS, NODES),
            models: (0..MODELS).map(model).collect(),
            ledger: Ledger::default(),
            lost: None,
            now: Timestamp::from_second(1_000_000).expect("a small number of seconds"),
        }
    }

    /// Decides on one model, and enters the decision.
    fn schedule(&mut self, index: usize) -> Plan {
        let candidates = (0..CLUSTERS).map(|cluster| self.candidate(index, cluster)).collect();
        let Model { key, resource, shape } = &self.models[index];
        let request = request(resource, resource.spec.replicas);
        let plan = place(&Snapshot { request, candidates, max_lost_share: 0.5, now: self.now }).expect("no selector");
        self.ledger.enter(key, shape, &plan.in_force());
        plan
    }

    fn candidate(&mut self, index: usize, cluster: usize) -> Candidate {
        self.fleet.count(&mut self.ledger, cluster);
        let Model { resource, shape, .. } = &self.models[index];
        let is_lost = self.lost == Some(cluster);
        let cluster = &self.fleet.clusters[cluster];
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        let lost_at = Timestamp::from_second(990_000).expect("a small number of seconds");
        let contact = if is_lost {
            Contact { state: ContactState::Silent, last_loss: Some(lost_at), ..Contact::answering(lost_at) }
        } else {
            contact(cluster.status.as_ref(), ContactState::Answering, self.now)
        };
        let facts = Facts { contact, data: Data::Near, room: self.ledger.room(name, shape), load: None, ready: None };
        candidate(cluster, resource, &shape.requests, facts)
    }

    /// Writes a plan into the status, all replicas ready, as the operator and the members would.
    fn obey(&mut self, index: usize, plan: &Plan) {
        let placement = |of: &skyfleet_plan::placement::Assignment| PlacementStatus {
            cluster: of.cluster.clone(),
            desired: of.desired,
            retained: of.retained,
            ready: of.desired + of.retained,
            displaced: of.displaced.clone(),
            ..PlacementStatus::default()
        };
        let placements = plan.assignments.iter().map(placement).collect();
        self.models[index].resource.status = Some(ModelDeploymentStatus { placements, ..Default::default() });
    }

    /// Schedules these models, and has each plan obeyed.
    fn run(&mut self, models: impl Iterator<Item = usize>) -> Run {
        let mut run = Run::default();
        for index in models {
            let plan = run.time(|| self.schedule(index));
            assert_eq!(plan.unplaced, 0, "model {index}: {:?}", plan.verdicts);
            self.obey(index, &plan);
        }
        run
    }

    fn models_on(&self, cluster: usize) -> Vec<usize> {
        let name = self.fleet.clusters[cluster].metadata.name.as_deref();
        let holds = |model: &Model| {
            let status = model.resource.status.as_ref();
            status.is_some_and(|status| {
                status.placements.iter().any(|of| Some(of.cluster.as_str()) == name && of.desired > 0)
            })
        };
        (0..MODELS).filter(|index| holds(&self.models[*index])).collect()
    }
}

fn main() {
    let memory = peak_memory();
    let (mut runs, mut peers) = (Vec::new(), Vec::new());
    let mut hub = Hub::new();
    for _ in 0..ROUNDS {
        hub = Hub::new();
        runs.push(hub.run(0..MODELS));
        assert_eq!(overcommitted(&hub.fleet, &hub.ledger), Vec::<String>::new());
        peers.extend(karmada(CLUSTERS, NODES, MODELS));
    }
    let size = json!({"clusters": CLUSTERS, "nodes": CLUSTERS * NODES, "models": MODELS, "threads": 1});
    schedules(&runs, &peers, &size);

    let again = hub.run(0..MODELS);
    Figure::new("plan.unchanged_decisions_per_second", again.rate(), "1/s").with(&size).print();

    let cluster =
        (0..CLUSTERS).min_by_key(|cluster| hub.models_on(*cluster).len().abs_diff(ON_THE_LOST)).expect("a cluster");
    let lost = hub.models_on(cluster);
    hub.lost = Some(cluster);
    let seconds = hub.run(lost.iter().copied()).seconds();
    assert_eq!(hub.models_on(cluster), Vec::<usize>::new(), "all are made elsewhere");
    assert_eq!(overcommitted(&hub.fleet, &hub.ledger), Vec::<String>::new());
    let bound = json!({"models": lost.len(), "target": 1.0, "met": seconds < 1.0});
    Figure::new("plan.lost_cluster", seconds, "s").with(&bound).print();
    if let (Some(before), Some(after)) = (memory, peak_memory()) {
        Figure::new("plan.memory", after - before, "MiB").with(&size).print();
    }
}

fn schedules(runs: &[Run], peers: &[Run], size: &Value) {
    let (value, by_processor) = (median(runs.iter().map(Run::rate)), median(runs.iter().map(Run::processor_rate)));
    let figure = |name: &str| Figure::new(&format!("plan.{name}"), value, "1/s");
    let bound = json!({"target": 2000.0, "met": value >= 2000.0, "perProcessorSecond": by_processor.round()});
    figure("schedules_per_second").with(size).with(&bound).print();
    if !peers.is_empty() {
        let (peer, its_processor) =
            (median(peers.iter().map(Run::rate)), median(peers.iter().map(Run::processor_rate)));
        let more = json!({"perProcessorSecond": by_processor.round(), "peerPerProcessorSecond": its_processor.round()});
        let name = format!("{}: its scheduling algorithm in memory, rounds taking turns", peer::NAME);
        figure("schedules_per_second").against(&name, peer).with(size).with(&more).print();
    }
    let published = "Karmada: as it publishes, API servers included; not measured here";
    figure("schedules_per_second").against(published, peer::PUBLISHED).print();
    for (name, percent) in [("schedule_p50", 50), ("schedule_p99", 99)] {
        let seconds = median(runs.iter().map(|run| run.percentile(percent)));
        Figure::new(&format!("plan.{name}"), seconds, "s").with(size).print();
    }
}

/// The most memory that this process has held, in MiB; `None` where the kernel does not tell.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
