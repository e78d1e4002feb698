//! Days of random trouble on the virtual clock: whatever happens, no decision costs a serving replica that is wanted.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;

use super::random::{Weather, candidates, cases, requests};
use super::rules::{Change, broken, changes, wanted};
use super::simulation::World;
use super::*;

/// What happens to the world.
#[derive(Clone, Debug)]
enum Event {
    Kill(usize),
    CutOff(usize),
    /// So many members, one after the other within so many seconds.
    CutOffTogether(usize, i64),
    BringBack(usize),
    Scale(i32),
    /// Others take all of a member's room but so much.
    Fill(usize, i64),
    /// Pods take so many seconds to be ready.
    Start(i64),
}

fn events() -> impl Strategy<Value = Event> {
    let member = 0_usize..8;
    prop_oneof![
        2 => member.clone().prop_map(Event::Kill),
        3 => member.clone().prop_map(Event::CutOff),
        1 => (2_usize..8, 1_i64..150).prop_map(|(members, seconds)| Event::CutOffTogether(members, seconds)),
        6 => member.clone().prop_map(Event::BringBack),
        2 => (0..14).prop_map(Event::Scale),
        1 => (member, 0_i64..4).prop_map(|(member, room)| Event::Fill(member, room)),
        1 => select(&[5_i64, 20, 400, 5000]).prop_map(Event::Start),
    ]
}

/// Seconds, from a moment to hours.
fn pauses() -> impl Strategy<Value = i64> {
    prop_oneof![2 => 5_i64..60, 2 => 60_i64..900, 2 => 900_i64..7200, 1 => 7200_i64..40_000]
}

fn worlds() -> impl Strategy<Value = World> {
    let fleets = prop::collection::vec(candidates(Weather::Calm), 2..8);
    (fleets, requests(Weather::Calm)).prop_map(|(mut fleet, request)| {
        for (index, candidate) in fleet.iter_mut().enumerate() {
            candidate.name = format!("c{index:02}");
            candidate.held = Held::default();
            candidate.load = None;
        }
        let mut world = World::new(request.replicas, fleet);
        world.snapshot.request = request;
        world
    })
}

impl World {
    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let member = |index: usize| index % self.members.len();
        match *event {
            Event::Kill(index) => self.kill(member(index)),
            Event::CutOff(index) => self.cut_off(member(index)),
            Event::BringBack(index) => self.bring_back(member(index)),
            Event::Scale(replicas) => self.snapshot.request.replicas = replicas,
            Event::Fill(index, left) => {
                let index = member(index);
                let room = &mut self.snapshot.candidates[index].room;
                *room = Room { replicas: room.replicas.min(left), preferred: 0, shortage: room.shortage.clone() };
            }
            Event::Start(seconds) => self.start = SignedDuration::from_secs(seconds),
            Event::CutOffTogether(members, seconds) => {
                for index in 0..members.min(self.members.len()) {
                    self.cut_off(index);
                    self.pass(seconds / 8 + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Lets time pass, and looks at every plan. Steps are short at first and then as long as nothing happens.
    fn pass(&mut self, seconds: i64) -> Result<(), TestCaseError> {
        let end = self.snapshot.now + SignedDuration::from_secs(seconds);
        let mut steps = 0;
        while self.snapshot.now < end {
            let shortest = self.snapshot.now + SignedDuration::from_secs(5);
            // A changed status starts the next pass.
            let next = if steps < 3 || changes(&self.question, &self.last).iter().any(Change::is_one) {
                shortest
            } else {
                self.next().unwrap_or(end).max(shortest)
            };
            self.step(next.min(end).duration_since(self.snapshot.now).as_secs());
            self.check()?;
            steps += 1;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (question, plan) = (&self.question, &self.last);
        let rules = broken(question, plan);
        prop_assert!(rules.is_empty(), "{rules:?}\n{}", serde_json::to_string(question).expect("plain data"));
        let wanted = self.served.min(wanted(question, &changes(question, plan)));
        prop_assert!(self.serving() >= wanted, "{} serve, {} did: {:?}", self.serving(), self.served, both(plan));
        for candidate in question.candidates.iter().filter(|candidate| vanished_with_most(candidate, question)) {
            let owed = |displaced: Option<i32>| displaced.unwrap_or_default();
            let before = owed(candidate.held.displaced.as_ref().map(|displaced| displaced.replicas));
            let now = plan.assignment(&candidate.name).and_then(|assignment| assignment.displaced.as_ref());
            prop_assert!(
                owed(now.map(|displaced| displaced.replicas)) <= before,
                "{}: {:?}",
                candidate.name,
                both(plan)
            );
        }
        Ok(())
    }
}

/// It fell silent together with more than half of those that had been heard.
fn vanished_with_most(candidate: &Candidate, question: &Snapshot) -> bool {
    let silent = |contact: &Contact| contact.state == ContactState::Silent;
    if !silent(&candidate.contact) {
        return false;
    }
    let together =
        |other: &Contact| other.since.duration_since(candidate.contact.since).abs() <= SignedDuration::from_mins(2);
    let contacts = || question.candidates.iter().map(|other| &other.contact);
    let lost = contacts().filter(|other| silent(other) && together(other)).count();
    let heard = contacts().filter(|other| !silent(other)).count();
    lost > heard
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn trouble_costs_nothing_that_serves_and_leaves_nothing_behind(
        mut world in worlds(),
        troubles in prop::collection::vec((events(), pauses()), 1..25),
    ) {
        for (event, pause) in &troubles {
            world.happen(event)?;
            world.pass(*pause)?;
        }
        // Everything is back, there is room, and nothing happens for hours.
        world.start = SignedDuration::from_secs(20);
        for index in 0..world.members.len() {
            world.bring_back(index);
            world.snapshot.candidates[index].room = Room { replicas: 100, preferred: 100, shortage: None };
        }
        world.pass(4 * 3600)?;
        let plan = &world.last;
        prop_assert!(plan.assignments.iter().all(|assignment| assignment.retained == 0), "{:?}", plan.assignments);
        // Upper bounds may forbid that all goes back to where it was.
        let spread = &world.snapshot.request.placement.spread;
        let forbid = spread.iter().any(|of| of.max_skew.or(of.max_places).or(of.max_replicas).is_some());
        let owed = plan.assignments.iter().filter(|assignment| assignment.displaced.is_some()).count();
        prop_assert!(owed == 0 || forbid, "{:?}", plan.assignments);
        let told: i32 = (0..world.members.len()).map(|index| world.told(index)).sum();
        prop_assert_eq!(told + plan.unplaced, world.snapshot.request.replicas);
        prop_assert_eq!(world.serving(), told);
    }
}
