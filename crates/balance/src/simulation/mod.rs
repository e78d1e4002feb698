//! A world in which balancing can be measured without a clock: gateways that know nothing of each other send requests to replicas
//! that differ and change. It is a discrete-event simulation, and the same seed gives the same figures, however fast the machine is.

mod replica;
mod report;
mod scenario;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use replica::{Replica, Slowdown, Takes, Time};
pub use report::Report;
pub use scenario::{Join, Scenario};

use crate::affinity;
use crate::failure::Failure;
use crate::pool::{Endpoint, Pool, Request, Settings, Ticket};

/// A request on its way.
#[derive(Clone, Copy)]
struct Sent {
    began: Duration,
    gateway: usize,
    replica: usize,
    ticket: Ticket,
}

#[derive(Clone, Copy)]
enum Event {
    Arrival,
    Join,
    FirstByte(Sent),
    Failed(Sent, Failure),
    End(Sent),
}

struct World<'a> {
    scenario: &'a Scenario,
    replicas: Vec<Server>,
    gateways: Vec<Pool<usize>>,
    /// By time; of those at one time, what was scheduled first comes first.
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    rng: fastrand::Rng,
    report: Report,
}

/// A replica at work.
#[derive(Default)]
struct Server {
    busy: usize,
    queue: VecDeque<Sent>,
}

/// Runs a scenario with these settings of each gateway's pool.
#[must_use]
pub fn run(scenario: &Scenario, settings: &Settings, seed: u64) -> Report {
    let mut world = World {
        scenario,
        replicas: scenario.replicas.iter().map(|_| Server::default()).collect(),
        gateways: (0..scenario.gateways).map(|_| Pool::new(settings.clone())).collect(),
        events: BTreeMap::new(),
        scheduled: 0,
        rng: fastrand::Rng::with_seed(seed),
        report: Report::new(scenario.replicas.len() + usize::from(scenario.join.is_some())),
    };
    world.tell_gateways(Duration::ZERO);
    world.schedule(Duration::ZERO, Event::Arrival);
    if let Some(join) = &scenario.join {
        world.schedule(join.at, Event::Join);
    }
    while let Some(((now, _), event)) = world.events.pop_first() {
        world.handle(event, now);
    }
    world.report
}

impl World<'_> {
    fn handle(&mut self, event: Event, now: Duration) {
        match event {
            Event::Arrival => self.arrive(now),
            Event::Join => {
                self.replicas.push(Server::default());
                self.tell_gateways(now);
            }
            Event::FirstByte(sent) => {
                self.report.answered(now.saturating_sub(sent.began));
                self.tell(sent, |pool| pool.first_byte(sent.ticket, now));
                let streams = self.scenario.stream.draw(&mut self.rng);
                self.schedule(now + streams, Event::End(sent));
            }
            Event::Failed(sent, failure) => {
                self.report.failed();
                self.tell(sent, |pool| {
                    pool.failed(sent.ticket, failure, now);
                });
                self.free(sent.replica, now);
            }
            Event::End(sent) => {
                self.tell(sent, |pool| {
                    pool.end(sent.ticket, now);
                });
                self.free(sent.replica, now);
            }
        }
    }

    fn tell(&mut self, sent: Sent, of: impl FnOnce(&mut Pool<usize>)) {
        if let Some(gateway) = self.gateways.get_mut(sent.gateway) {
            of(gateway);
        }
    }

    /// Requests come independently of each other (Poisson), each to any gateway.
    fn arrive(&mut self, now: Duration) {
        if now >= self.scenario.duration {
            return;
        }
        let gap = Time::Exponential(1.0 / self.scenario.per_second).draw(&mut self.rng);
        self.schedule(now + gap, Event::Arrival);
        let gateway = self.rng.usize(..self.gateways.len());
        let Some(pool) = self.gateways.get_mut(gateway) else { return };
        let Ok(ticket) = pool.pick(&Request::default(), now, &mut self.rng) else { return };
        let Some(replica) = pool.key(ticket).copied() else { return };
        let sent = Sent { began: now, gateway, replica, ticket };
        self.report.picked(replica, now);
        if let Some(server) = self.replicas.get_mut(replica) {
            server.queue.push_back(sent);
        }
        self.work(replica, now);
    }

    fn free(&mut self, replica: usize, now: Duration) {
        if let Some(server) = self.replicas.get_mut(replica) {
            server.busy -= 1;
        }
        self.work(replica, now);
    }

    /// Takes on what waits, as far as there are slots.
    fn work(&mut self, replica: usize, now: Duration) {
        let Some(model) = self.scenario.replica(replica) else { return };
        let Some(server) = self.replicas.get_mut(replica).filter(|server| server.busy < model.slots) else { return };
        let Some(sent) = server.queue.pop_front() else { return };
        server.busy += 1;
        match model.draw(now, &mut self.rng) {
            (takes, None) => self.schedule(now + takes, Event::FirstByte(sent)),
            (takes, Some(failure)) => self.schedule(now + takes, Event::Failed(sent, failure)),
        }
    }

    fn tell_gateways(&mut self, now: Duration) {
        let endpoints = |key: usize| Endpoint::new(key, affinity::hash(&key.to_le_bytes()));
        for gateway in &mut self.gateways {
            gateway.update((0..self.replicas.len()).map(endpoints), now, &mut self.rng);
        }
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }
}
