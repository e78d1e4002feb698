//! A world in which balancing can be measured without a clock: gateways that know nothing of each other send requests to replicas
//! that differ and change. It is a discrete-event simulation, and the same seed gives the same figures on every machine.

mod replica;
mod report;
mod scenario;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

pub use replica::{Replica, Slowdown, Takes, Time};
pub use report::Report;
pub use scenario::{Join, Scenario};

use crate::affinity;
use crate::pool::{Endpoint, Pool, Request, Settings, Ticket};

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    began: Duration,
    gateway: usize,
    replica: usize,
    /// Its place in `World::tickets`.
    number: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Join,
    FirstByte(Sent),
    End(Sent),
}

struct World<'a> {
    scenario: &'a Scenario,
    replicas: Vec<Server>,
    gateways: Vec<Pool<usize>>,
    tickets: Vec<Ticket>,
    /// By time, and what was scheduled first comes first.
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
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
        tickets: Vec::new(),
        events: BinaryHeap::new(),
        scheduled: 0,
        rng: fastrand::Rng::with_seed(seed),
        report: Report::new(scenario.replicas.len() + usize::from(scenario.join.is_some())),
    };
    world.tell_gateways(Duration::ZERO);
    world.schedule(Duration::ZERO, Event::Arrival);
    if let Some(join) = &scenario.join {
        world.schedule(join.at, Event::Join);
    }
    while let Some(Reverse((now, _, event))) = world.events.pop() {
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
                if let (Some(gateway), Some(ticket)) =
                    (self.gateways.get_mut(sent.gateway), self.tickets.get(sent.number))
                {
                    gateway.first_byte(*ticket, now);
                }
                let streams = self.scenario.stream.draw(&mut self.rng);
                self.schedule(now + streams, Event::End(sent));
            }
            Event::End(sent) => {
                if let (Some(gateway), Some(ticket)) =
                    (self.gateways.get_mut(sent.gateway), self.tickets.get(sent.number))
                {
                    gateway.end(*ticket, now);
                }
                self.free(sent.replica, now);
            }
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
        let sent = Sent { began: now, gateway, replica, number: self.tickets.len() };
        self.tickets.push(ticket);
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
        let takes = model.draw(now, &mut self.rng);
        self.schedule(now + takes, Event::FirstByte(sent));
    }

    fn tell_gateways(&mut self, now: Duration) {
        let endpoints = |key: usize| Endpoint::new(key, affinity::hash(&key.to_le_bytes()));
        for gateway in &mut self.gateways {
            gateway.update((0..self.replicas.len()).map(endpoints), now, &mut self.rng);
        }
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }
}
