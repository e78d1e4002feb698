//! The requests in flight: a slab with a list through it for each endpoint, of those that still wait for their first byte, in the order
//! in which they began. So the one that has waited longest is known at once, whichever end first.

use std::time::Duration;

/// A request in flight. It stays valid across updates of the pool, and stands for nothing once the request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    index: u32,
    generation: u32,
    /// The endpoint that it went to; its number is not used again.
    pub(super) endpoint: u64,
}

/// The ends of an endpoint's list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    first: Option<u32>,
    last: Option<u32>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// The place of its endpoint.
    pub endpoint: usize,
    pub began: Duration,
    /// It has no first byte yet.
    pub is_waiting: bool,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    request: Option<InFlight>,
    previous: Option<u32>,
    next: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: Vec<Slot>,
    /// Slots without a request; those used last come first, since they are in the CPU's cache.
    free: Vec<u32>,
}

impl Requests {
    /// A request begins, the last in this list of waiting ones.
    pub fn begin(&mut self, endpoint: usize, number: u64, waiting: &mut Waiting, now: Duration) -> Ticket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let last = waiting.last.replace(index);
        match last.and_then(|last| self.slot(last)) {
            Some(slot) => slot.next = Some(index),
            None => waiting.first = Some(index),
        }
        let generation = self.slot(index).map_or(0, |slot| {
            slot.request = Some(InFlight { endpoint, began: now, is_waiting: true });
            (slot.previous, slot.next) = (last, None);
            slot.generation
        });
        Ticket { index, generation, endpoint: number }
    }

    pub fn get(&self, ticket: Ticket) -> Option<InFlight> {
        let slot = self.slots.get(ticket.index as usize)?;
        slot.request.filter(|_| slot.generation == ticket.generation)
    }

    /// When the first one in this list began.
    pub fn oldest(&self, waiting: &Waiting) -> Option<Duration> {
        let slot = self.slots.get(waiting.first? as usize)?;
        slot.request.map(|request| request.began)
    }

    /// The request has its first byte: it is taken out of its endpoint's list.
    pub fn stop_waiting(&mut self, ticket: Ticket, waiting: &mut Waiting) {
        let Some(slot) = self.slot(ticket.index) else { return };
        let Some(request) = slot.request.as_mut().filter(|request| request.is_waiting) else { return };
        request.is_waiting = false;
        let (previous, next) = (slot.previous.take(), slot.next.take());
        match previous.and_then(|previous| self.slot(previous)) {
            Some(slot) => slot.next = next,
            None => waiting.first = next,
        }
        match next.and_then(|next| self.slot(next)) {
            Some(slot) => slot.previous = previous,
            None => waiting.last = previous,
        }
    }

    /// The request has ended; it no longer waits.
    pub fn end(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slot(ticket.index) {
            slot.request = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(ticket.index);
        }
    }

    /// The endpoints have other places now.
    pub fn move_endpoints(&mut self, place: impl Fn(usize) -> usize) {
        for request in self.slots.iter_mut().filter_map(|slot| slot.request.as_mut()) {
            request.endpoint = place(request.endpoint);
        }
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)
    }
}
