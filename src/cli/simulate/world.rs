//! A fleet in which what is decided comes true at once: replicas that are told to run are ready, as far as their cluster is
//! heard. Pure; the clock is its own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use skyfleet_api::ModelDeployment;
use skyfleet_api::model_deployment::{ModelDeploymentStatus, PlacementStatus};
use skyfleet_plan::capacity::ModelKey;
use skyfleet_plan::failover::{Contact, ContactState, flapping};
use skyfleet_plan::placement::{Plan, place};
use skyfleet_plan::question::contact_by_status;

use crate::cli::fleet::{Books, Fleet, Moment, Unknown};

/// Rounds over all ModelDeployments after which it is given up. Rebalancing moves one step a round.
const ROUNDS: usize = 2000;

/// The simulated fleet.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) books: Books,
    /// What was decided last for each ModelDeployment that can be placed.
    pub(super) plans: BTreeMap<ModelKey, Plan>,
    /// Clusters whose loss is simulated.
    pub(super) failed: BTreeSet<String>,
    /// Whether the last search for a fixed point has found one.
    pub(super) settled: bool,
    contacts: BTreeMap<String, Contact>,
    moment: Moment,
}

impl World {
    /// The fleet at one moment. What is wrong with a ModelDeployment is in the answer, and it is left where it is.
    pub(super) fn new(fleet: Fleet, moment: Moment) -> (Self, Vec<String>) {
        let contact = |status| contact_by_status(status, moment.now);
        let contacts =
            fleet.clusters.iter().map(|(name, cluster)| (name.clone(), contact(cluster.status.as_ref()))).collect();
        let books = Books::open(&fleet, Unknown::Unbounded);
        let (plans, failed) = (BTreeMap::new(), BTreeSet::new());
        let mut world = Self { fleet, books, plans, failed, settled: true, contacts, moment };
        let refused = world.leave_out_refused();
        (world, refused)
    }

    /// Decides for one ModelDeployment after the other, in the order of their names, until nothing changes any more.
    pub(super) fn settle(&mut self) {
        let keys: Vec<ModelKey> = self.plans.keys().cloned().collect();
        for _ in 0..ROUNDS {
            let mut changed = false;
            for key in &keys {
                changed |= self.decide(key);
            }
            if !changed {
                self.settled = true;
                return;
            }
        }
        self.settled = false;
    }

    /// Contact with these clusters is lost, and other numbers of replicas are asked for, at one moment. Those lost stay so for
    /// longer than any grace period.
    pub(super) fn change(&mut self, lost: &[String], scales: &BTreeMap<ModelKey, i32>) {
        for (key, replicas) in scales {
            let Some(model) = self.fleet.models.get_mut(key) else { continue };
            model.spec.replicas = *replicas;
            // A number that a person asks for is not load's.
            model.spec.autoscaling = None;
        }
        for name in lost {
            self.lose(name);
        }
        self.settle();
        if !lost.is_empty() {
            self.wait(self.longest(|model| model.spec.failover.grace_period_seconds));
            self.settle();
        }
    }

    fn lose(&mut self, name: &str) {
        let now = self.moment.now;
        let Some(contact) = self.contacts.get_mut(name).filter(|contact| contact.state != ContactState::Silent) else {
            return;
        };
        contact.flap_penalty = flapping::after_loss(contact.flap_penalty, contact.last_loss, now);
        *contact = Contact { state: ContactState::Silent, since: now, last_loss: Some(now), ..contact.clone() };
        self.failed.insert(name.to_owned());
    }

    /// These answer again, with what they were told last, and stay for longer than any proof of steadiness takes.
    pub(super) fn bring_back(&mut self, clusters: &[String]) {
        let now = self.moment.now;
        for name in clusters {
            if let Some(contact) = self.contacts.get_mut(name) {
                *contact = Contact { state: ContactState::Answering, since: now, ..contact.clone() };
            }
            self.failed.remove(name);
        }
        self.settle();
        let damped = self.contacts.values().filter_map(|contact| flapping::damped_until(contact, now));
        let damped = damped.max().map_or(0, |until| until.duration_since(now).as_secs());
        let steady = self.longest(|model| model.spec.failover.failback.after_seconds);
        self.wait(steady.max(damped));
        self.settle();
    }

    /// Whether a cluster is not heard.
    pub(super) fn is_silent(&self, cluster: &str) -> bool {
        self.contacts.get(cluster).is_some_and(|contact| contact.state == ContactState::Silent)
    }

    /// What is no selector or no pod is left where it is.
    fn leave_out_refused(&mut self) -> Vec<String> {
        let keys: Vec<ModelKey> = self.fleet.models.keys().cloned().collect();
        let mut refused = Vec::new();
        for key in keys {
            let why = self.fleet.models.get(&key).and_then(Fleet::refusal);
            match why.map_or_else(|| self.plan(&key), Err) {
                Ok(plan) => {
                    self.plans.insert(key, plan);
                }
                Err(why) => {
                    refused.push(format!("ModelDeployment {}/{} is left as it is: {why}", key.namespace, key.name));
                }
            }
        }
        refused
    }

    fn plan(&mut self, key: &ModelKey) -> Result<Plan, String> {
        let contacts = &self.contacts;
        let long_ago = Contact::answering(Timestamp::MIN);
        let contact = |name: &str, _: &_| contacts.get(name).cloned().unwrap_or_else(|| long_ago.clone());
        let snapshot = self.books.snapshot(&self.fleet, key, contact, self.moment);
        let snapshot = snapshot.ok_or("no pod can be made of its spec")?;
        place(&snapshot).map_err(|error| format!("spec.placement.clusterSelector: {error}"))
    }

    /// Decides for one ModelDeployment and makes it so; says whether that changed anything.
    fn decide(&mut self, key: &ModelKey) -> bool {
        // What can be planned once can be planned again: the spec has not changed but for its number.
        let Ok(plan) = self.plan(key) else { return false };
        self.books.enter(key, &plan.in_force());
        let mut changed = false;
        if let Some(model) = self.fleet.models.get_mut(key) {
            let contacts = &self.contacts;
            let heard = |name: &str| contacts.get(name).is_some_and(Contact::is_usable);
            let status = obeyed(model, &plan, heard);
            changed = model.status.as_ref() != Some(&status);
            model.status = Some(status);
        }
        self.plans.insert(key.clone(), plan);
        changed
    }

    fn longest(&self, seconds: impl Fn(&ModelDeployment) -> i32) -> i64 {
        self.fleet.models.values().map(seconds).max().unwrap_or_default().into()
    }

    fn wait(&mut self, seconds: i64) {
        let later = self.moment.now.checked_add(SignedDuration::from_secs(seconds + 1));
        self.moment.now = later.unwrap_or(self.moment.now);
    }
}

/// The status of a ModelDeployment once the plan is obeyed wherever somebody is heard.
fn obeyed(model: &ModelDeployment, plan: &Plan, heard: impl Fn(&str) -> bool) -> ModelDeploymentStatus {
    let earlier = model.status.clone().unwrap_or_default();
    let of = |cluster: &str| earlier.placements.iter().find(|placement| placement.cluster == cluster);
    let placements = plan.assignments.iter().map(|assignment| {
        let mut placement = of(&assignment.cluster).cloned().unwrap_or_default();
        let in_force = assignment.desired + assignment.retained;
        if heard(&assignment.cluster) {
            (placement.replicas, placement.ready, placement.shortfall) = (in_force, in_force, None);
        }
        PlacementStatus {
            cluster: assignment.cluster.clone(),
            desired: assignment.desired,
            retained: assignment.retained,
            displaced: assignment.displaced.clone(),
            ..placement
        }
    });
    let placements = placements.collect();
    ModelDeploymentStatus { placements, rebalance: plan.rebalanced.clone(), ..earlier }
}
