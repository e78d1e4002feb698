//! How many requests may be in flight to a store: pure.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain, 1989): of all simple rules the one by which programs that do not
//! know of each other come to share a store evenly. The round trip is told by the requests themselves, as TCP does it, so no
//! clock is needed: a window is halved once for all the requests that were on their way when it was.

/// The bounds of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The window is never smaller (default 1). One that is no less than `most` does not change.
    pub least: u32,
    /// The window is never larger, and begins so large (default 64).
    pub most: u32,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { least: 1, most: 64 }
    }
}

/// What an answer tells of the store's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took the request.
    Taken,
    /// It asked for fewer.
    Refused,
    /// Nothing: there was none, or it tells of another trouble.
    Nothing,
}

/// One request in flight, by its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot(u64);

#[derive(Debug)]
pub(super) struct Window {
    bounds: InFlight,
    size: u32,
    in_flight: u32,
    /// The most that were in flight since the window last changed.
    peak: u32,
    /// Requests taken since then that tell that it could be larger.
    taken: u32,
    next: u64,
    /// Requests of smaller numbers were sent before the window was last halved.
    halved_at: u64,
}

impl Window {
    pub(super) fn new(bounds: InFlight) -> Self {
        let bounds = InFlight { least: bounds.least.max(1), most: bounds.most.max(bounds.least).max(1) };
        Self { bounds, size: bounds.most, in_flight: 0, peak: 0, taken: 0, next: 0, halved_at: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.size
    }

    pub(super) fn is_at_its_largest(&self) -> bool {
        self.size == self.bounds.most
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A slot for one request, where there is room.
    pub(super) fn enter(&mut self) -> Option<Slot> {
        if !self.has_room() {
            return None;
        }
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        self.next += 1;
        Some(Slot(self.next - 1))
    }

    /// Gives a slot back.
    pub(super) fn leave(&mut self, slot: &Slot, answer: Answer) {
        // A window that is not used up tells nothing of what is beyond it; nor does what was sent under another one.
        let tells = slot.0 >= self.halved_at;
        match answer {
            Answer::Taken if tells && self.peak >= self.size => self.taken += 1,
            // To half of what was in flight: the window may have been far larger than what anybody sent.
            Answer::Refused if tells => {
                self.change((self.peak.min(self.size) / 2).max(self.bounds.least));
                self.halved_at = self.next;
            }
            Answer::Taken | Answer::Refused | Answer::Nothing => {}
        }
        if self.taken >= self.size && self.size < self.bounds.most {
            self.change(self.size + 1);
        }
        self.in_flight -= 1;
    }

    fn change(&mut self, size: u32) {
        (self.size, self.peak, self.taken) = (size, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, InFlight, Slot, Window};

    fn window(most: u32) -> Window {
        Window::new(InFlight { least: 1, most })
    }

    fn fill(window: &mut Window) -> Vec<Slot> {
        std::iter::from_fn(|| window.enter()).collect()
    }

    /// All that is sent at once comes back so.
    fn round(window: &mut Window, answer: Answer) {
        for slot in fill(window) {
            window.leave(&slot, answer);
        }
    }

    #[test]
    fn a_round_of_refusals_halves_once_and_a_round_of_answers_adds_one() {
        let mut window = window(16);
        let mut sizes = Vec::new();
        for answer in [Answer::Refused, Answer::Taken, Answer::Nothing, Answer::Taken, Answer::Refused, Answer::Refused]
        {
            round(&mut window, answer);
            sizes.push(window.size);
        }
        assert_eq!(sizes, [8, 9, 9, 10, 5, 2]);
        round(&mut window, Answer::Refused);
        round(&mut window, Answer::Refused);
        assert_eq!(window.size, 1, "the floor");
    }

    #[test]
    fn what_is_not_used_up_does_not_grow_and_what_was_in_flight_is_halved() {
        let mut window = window(64);
        let slots = [(); 6].map(|()| window.enter().unwrap());
        window.leave(&slots[0], Answer::Refused);
        assert_eq!(window.size, 3);
        for slot in &slots[1..] {
            window.leave(slot, Answer::Taken);
        }
        assert_eq!((window.size, window.taken), (3, 0), "these were sent before");
        for _ in 0..10 {
            let slot = window.enter().unwrap();
            window.leave(&slot, Answer::Taken);
        }
        assert_eq!(window.size, 3, "one at a time tells nothing of three");
    }

    #[test]
    fn a_window_whose_bounds_are_one_number_stays() {
        let mut window = Window::new(InFlight { least: 8, most: 8 });
        round(&mut window, Answer::Refused);
        assert_eq!(window.size, 8);
    }

    /// Thirty-two workers at a store that takes so many at once, until so many requests were taken: how many it refused.
    fn refused(bounds: InFlight, capacity: usize) -> usize {
        let (mut window, mut taken, mut refused) = (Window::new(bounds), 0, 0);
        while taken < 1000 {
            let slots: Vec<_> = fill(&mut window).into_iter().take(32).collect();
            for (index, slot) in slots.iter().enumerate() {
                let answer = if index < capacity { Answer::Taken } else { Answer::Refused };
                (taken, refused) = (taken + usize::from(index < capacity), refused + usize::from(index >= capacity));
                window.leave(slot, answer);
            }
        }
        refused
    }

    #[test]
    fn a_store_that_takes_four_refuses_few() {
        let (adaptive, fixed) = (InFlight { least: 1, most: 32 }, InFlight { least: 32, most: 32 });
        assert_eq!(refused(fixed, 4), 7000);
        assert!(refused(adaptive, 4) < 200, "{}", refused(adaptive, 4));
        assert_eq!(refused(adaptive, 32), 0);
    }

    proptest! {
        #[test]
        fn the_window_stays_within_its_bounds(
            least in 0..20_u32, most in 0..100_u32, steps in prop::collection::vec((0..3_u8, 0..100_usize), 0..400),
        ) {
            let mut window = Window::new(InFlight { least, most });
            let (mut flying, least, most) = (Vec::new(), least.max(1), most.max(least).max(1));
            for (step, which) in steps {
                let before = window.size;
                match window.enter() {
                    Some(slot) if step > 0 || flying.is_empty() => flying.push(slot),
                    entered => {
                        flying.extend(entered);
                        let slot = flying.swap_remove(which % flying.len());
                        window.leave(&slot, if step == 1 { Answer::Refused } else { Answer::Taken });
                    }
                }
                prop_assert!((least..=most).contains(&window.size));
                prop_assert!(window.size <= before + 1);
                prop_assert_eq!(window.in_flight as usize, flying.len());
            }
        }

        #[test]
        fn it_is_halved_at_most_once_for_what_was_in_flight(most in 2..100_u32) {
            let mut window = window(most);
            round(&mut window, Answer::Refused);
            prop_assert_eq!(window.size, most / 2);
        }
    }
}
