//! A fleet with a clock of its own, to try rollouts on.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use skyfleet_api::model_deployment::{FailurePolicy, Rollout, RolloutPhase, RolloutStatus, Wave};

use crate::load::Load;
use crate::rollout::{Answer, ClusterState, News, Question, advance};

/// Seconds that a replica takes to get ready.
pub(super) const STARTUP: i64 = 20;

pub(super) struct Member {
    pub name: String,
    pub replicas: i32,
    pub reachable: bool,
    pub broken: bool,
    /// What it was told to run, and what it does run.
    pub assigned: Option<String>,
    pub running: Option<String>,
    /// Whether it knows what it was told.
    told: bool,
    heard_since: Option<Timestamp>,
    ready_at: Timestamp,
    load: Option<Load>,
}

/// Names of revisions say what they are like: one that starts with `stuck` never gets ready, one with `faulty` fails
/// requests, others are good.
pub(super) struct Fleet {
    pub spec: Rollout,
    pub target: String,
    pub status: Option<RolloutStatus>,
    pub members: Vec<Member>,
    /// Members report their requests every so many seconds.
    pub report_every: i64,
    pub now: Timestamp,
    pub news: Vec<News>,
}

pub(super) fn rollout(waves: Vec<Wave>) -> Rollout {
    Rollout {
        waves,
        soak_seconds: 30,
        progress_deadline_seconds: 300,
        max_error_percent: None,
        on_failure: FailurePolicy::Rollback,
        paused: false,
        revision_history_limit: 10,
    }
}

pub(super) fn named(names: &[&str]) -> Wave {
    Wave { clusters: names.iter().map(|name| (*name).to_owned()).collect(), percent: None }
}

pub(super) fn percent(percent: i32) -> Wave {
    Wave { clusters: vec![], percent: Some(percent) }
}

impl Fleet {
    pub fn new(names: &[&str], spec: Rollout, target: &str) -> Self {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let members = names.iter().map(|name| Member {
            name: (*name).to_owned(),
            replicas: 2,
            reachable: true,
            broken: false,
            assigned: None,
            running: None,
            told: false,
            heard_since: None,
            ready_at: now,
            load: None,
        });
        Self {
            spec,
            target: target.to_owned(),
            status: None,
            members: members.collect(),
            report_every: 1,
            now,
            news: vec![],
        }
    }

    /// One on which `old` is complete and of which `target` is asked now.
    pub fn changing(names: &[&str], spec: Rollout, target: &str) -> Self {
        let mut fleet = Self::new(names, spec, "old");
        fleet.pass();
        fleet.run(STARTUP + 10);
        assert_eq!(fleet.phase(), RolloutPhase::Complete, "{:?}", fleet.status);
        target.clone_into(&mut fleet.target);
        fleet.news.clear();
        fleet
    }

    pub fn is_updated(&self, member: &Member) -> bool {
        let stuck = member.running.as_ref().is_none_or(|revision| revision.starts_with("stuck"));
        member.told && member.running == member.assigned && !stuck && !member.broken && member.ready_at <= self.now
    }

    pub fn ask_at(&self, now: Timestamp) -> Answer {
        let clusters: Vec<_> = self
            .members
            .iter()
            .rev()
            .map(|member| ClusterState {
                name: &member.name,
                replicas: member.replicas,
                revision: member.assigned.as_deref().filter(|_| member.replicas > 0),
                updated: self.is_updated(member),
                reachable: member.reachable,
                reachable_since: member.heard_since,
                load: member.load.as_ref(),
            })
            .collect();
        let status = self.status.as_ref();
        advance(&Question { spec: &self.spec, target: &self.target, status, clusters: &clusters, now })
    }

    /// Asks, and does as the answer says. Doing so twice at one instant changes nothing.
    pub fn pass(&mut self) -> Answer {
        let answer = self.ask_at(self.now);
        self.apply(&answer);
        self.news.extend(answer.news);
        let again = self.ask_at(self.now);
        let same = Answer { news: None, ..answer.clone() };
        assert_eq!(again, same, "a second pass at the same time");
        answer
    }

    fn apply(&mut self, answer: &Answer) {
        // As an API server keeps it: whole seconds.
        let kept = serde_json::to_string(&answer.status).unwrap();
        self.status = Some(serde_json::from_str(&kept).unwrap());
        for member in &mut self.members {
            let assigned = answer.revisions.get(&member.name).cloned();
            member.told &= member.assigned == assigned;
            member.assigned = assigned;
            assert_eq!(member.assigned.is_some(), member.replicas > 0, "{}", member.name);
        }
    }

    /// Lets time pass: members that are reached take up what they were told.
    pub fn tick(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        let reports = self.now.as_second() % self.report_every == 0;
        for member in &mut self.members {
            member.told |= member.reachable;
            if member.reachable && member.running != member.assigned {
                member.running.clone_from(&member.assigned);
                member.ready_at = self.now + SignedDuration::from_secs(STARTUP);
            }
            let fails = member.running.as_ref().is_some_and(|revision| revision.starts_with("faulty"));
            let load = Load {
                observed: self.now,
                reporting: member.replicas,
                in_flight: None,
                queued: None,
                time_to_first_token: None,
                requests: Some(100.0),
                error_ratio: Some(if fails { 0.5 } else { 0.0 }),
            };
            member.load = if reports { Some(load) } else { member.load.take() };
        }
    }

    /// Passes every five seconds.
    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds / 5 {
            self.tick(5);
            self.pass();
        }
    }

    pub fn member(&mut self, name: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.name == name).expect("a member of this name")
    }

    pub fn lose(&mut self, name: &str) {
        self.member(name).reachable = false;
    }

    pub fn heal(&mut self, name: &str) {
        let now = self.now;
        let member = self.member(name);
        if !member.reachable {
            (member.reachable, member.heard_since) = (true, Some(now));
        }
    }

    pub fn phase(&self) -> RolloutPhase {
        self.status.as_ref().expect("a pass was made").phase
    }

    pub fn message(&self) -> &str {
        &self.status.as_ref().expect("a pass was made").message
    }

    /// What each member was told to run, by name.
    pub fn assigned(&self) -> BTreeMap<&str, &str> {
        let held = self.members.iter().filter(|member| member.replicas > 0);
        held.map(|member| (member.name.as_str(), member.assigned.as_deref().unwrap_or("-"))).collect()
    }

    /// Who was told to run `revision`.
    pub fn with(&self, revision: &str) -> Vec<&str> {
        self.assigned().into_iter().filter(|(_, assigned)| *assigned == revision).map(|(name, _)| name).collect()
    }
}
