//! A fleet on a virtual clock: clusters fall silent and return, pods take their time, and the plan is obeyed as the operator
//! obeys it. What a lost cluster runs, it goes on running.

use jiff::SignedDuration;
use skyfleet_api::model_deployment::Shortfall;

use super::*;
use crate::capacity::Shortage;
use crate::failover::{flapping, shortfall};

/// A cluster as it really is, whatever the hub knows.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Cut off from the hub; its pods serve on.
    pub(super) cut_off: bool,
    /// Dead: nothing there serves.
    pub(super) dead: bool,
    /// Pods that it was told to run.
    told: i32,
    /// When each pod is ready.
    pods: Vec<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) snapshot: Snapshot,
    pub(super) members: Vec<Member>,
    /// How long a pod takes to be ready.
    pub(super) start: SignedDuration,
    pub(super) last: Plan,
    /// What the last plan was made of.
    pub(super) question: Snapshot,
    /// Pods that served, in truth, when it was made.
    pub(super) served: i32,
    shortfalls: Vec<Option<Shortfall>>,
}

impl World {
    pub(super) fn new(replicas: i32, candidates: Vec<Candidate>) -> Self {
        let members =
            candidates.iter().map(|_| Member { cut_off: false, dead: false, told: 0, pods: vec![] }).collect();
        let shortfalls = vec![None; candidates.len()];
        let snapshot = snapshot(replicas, candidates);
        let start = SignedDuration::from_secs(20);
        Self { question: snapshot.clone(), snapshot, members, start, last: Plan::default(), served: 0, shortfalls }
    }

    /// Pods that serve now, in truth.
    pub(super) fn serving(&self) -> i32 {
        (0..self.members.len()).map(|index| self.serving_in(index)).sum()
    }

    pub(super) fn serving_in(&self, index: usize) -> i32 {
        let member = &self.members[index];
        let ready = member.pods.iter().filter(|ready| **ready <= self.snapshot.now).count();
        if member.dead { 0 } else { i32::try_from(ready).expect("few pods") }
    }

    pub(super) fn told(&self, index: usize) -> i32 {
        self.members[index].told
    }

    /// Lets so many seconds pass in one step: contact and readiness are looked at, a plan is made and obeyed.
    pub(super) fn step(&mut self, seconds: i64) {
        self.snapshot.now += SignedDuration::from_secs(seconds);
        for index in 0..self.members.len() {
            self.look(index);
        }
        self.question = self.snapshot.clone();
        self.served = self.serving();
        let plan = plan(&self.snapshot);
        for (index, candidate) in self.snapshot.candidates.iter_mut().enumerate() {
            let assignment = plan.assignment(&candidate.name);
            let held = &mut candidate.held;
            let before = held.in_force();
            held.desired = assignment.map_or(0, |assignment| assignment.desired);
            held.retained = assignment.map_or(0, |assignment| assignment.retained);
            held.displaced = assignment.and_then(|assignment| assignment.displaced.clone());
            let more = i64::from(held.in_force() - before);
            candidate.room.replicas = candidate.room.replicas.saturating_sub(more);
            candidate.room.preferred = candidate.room.preferred.saturating_sub(more);
            candidate.room.shortage = (candidate.room.replicas <= 0).then_some(Shortage::NotOnOneNode);
            let member = &mut self.members[index];
            if candidate.contact.is_usable() && !member.dead && !member.cut_off {
                obey(member, held.in_force(), self.snapshot.now + self.start, self.snapshot.now);
            }
            self.shortfalls[index] = if held.in_force() > before {
                shortfall(None, held.serving(), held.in_force(), true, self.snapshot.now)
            } else {
                self.shortfalls[index].clone()
            };
        }
        self.last = plan;
    }

    /// What the hub sees of a member.
    fn look(&mut self, index: usize) {
        let heard = !self.members[index].cut_off && !self.members[index].dead;
        let ready = self.serving_in(index);
        let now = self.snapshot.now;
        let candidate = &mut self.snapshot.candidates[index];
        let contact = &mut candidate.contact;
        if heard != contact.is_usable() {
            if !heard {
                contact.flap_penalty = flapping::after_loss(contact.flap_penalty, contact.last_loss, now);
                contact.last_loss = Some(now);
            }
            contact.since = now;
            contact.state = if heard { ContactState::Answering } else { ContactState::Silent };
        }
        if heard {
            candidate.held.ready = ready;
            let before = self.shortfalls[index].take();
            let found = shortfall(before.as_ref(), candidate.held.serving(), candidate.held.in_force(), false, now);
            self.shortfalls[index].clone_from(&found);
            candidate.held.shortfall = found;
        }
    }

    /// When something happens by itself next: a pod is ready, or the plan is to be looked at again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let pods = self.members.iter().flat_map(|member| &member.pods).copied();
        pods.chain(self.last.look_again).filter(|at| *at > self.snapshot.now).min()
    }

    /// Kills a member: its pods are gone, and start anew when it returns.
    pub(super) fn kill(&mut self, index: usize) {
        self.members[index].dead = true;
    }

    /// Brings a member back.
    pub(super) fn bring_back(&mut self, index: usize) {
        let ready = self.snapshot.now + self.start;
        let member = &mut self.members[index];
        if member.dead {
            member.pods.iter_mut().for_each(|pod| *pod = ready);
        }
        member.dead = false;
        member.cut_off = false;
    }

    pub(super) fn cut_off(&mut self, index: usize) {
        self.members[index].cut_off = true;
    }
}

/// A Deployment's controller: pods that are not ready go first.
fn obey(member: &mut Member, told: i32, ready: Timestamp, now: Timestamp) {
    member.told = told;
    let wanted = usize::try_from(told).expect("no negative number is decided");
    while member.pods.len() < wanted {
        member.pods.push(ready);
    }
    member.pods.sort_by_key(|pod| *pod > now);
    member.pods.truncate(wanted);
}
