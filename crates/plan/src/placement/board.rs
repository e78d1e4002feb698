//! Who has how many while replicas are being shared out, and which bounds that keeps.

use std::collections::BTreeMap;

use skyfleet_api::model_deployment::{Placement, TopologyKey};

use super::filter::{Standing, Verdict};
use super::snapshot::{Candidate, Snapshot};

/// The kinds of place, in the order of [`Board::places`].
const KINDS: [TopologyKey; 3] = [TopologyKey::Cluster, TopologyKey::Region, TopologyKey::Provider];

/// A cluster at the board.
#[derive(Clone, Debug)]
pub(super) struct Seat<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) standing: &'a Standing,
    /// What counted of its replicas before any were given out.
    pub(super) counted: i32,
    /// Its replicas now.
    pub(super) share: i32,
    /// Its place of each kind.
    places: [usize; 3],
}

impl Seat<'_> {
    /// The number of its place of one kind.
    pub(super) fn place(&self, kind: usize) -> usize {
        self.places[kind]
    }
}

/// Bounds on one kind of place.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    max_skew: Option<i32>,
    min_places: Option<i32>,
    max_places: Option<i32>,
    min_replicas: Option<i32>,
    max_replicas: Option<i32>,
}

/// A place of one kind.
#[derive(Clone, Debug, Default)]
struct Place<'a> {
    name: &'a str,
    replicas: i32,
    /// Replicas that were decided for it before.
    held: i32,
    /// It counts when places are compared: it may hold replicas, or does.
    compared: bool,
    /// It takes no new replica: others of its kind were selected.
    closed: bool,
}

/// Places of one kind of which only some may be used.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The number of the kind.
    pub(super) kind: usize,
    /// How many more may be used.
    pub(super) most: i32,
    /// Those that are not in use yet, with the room that their clusters have.
    pub(super) open: Vec<(usize, i64)>,
}

/// All clusters, in the order of their names.
#[derive(Clone, Debug)]
pub(super) struct Board<'a> {
    pub(super) seats: Vec<Seat<'a>>,
    places: [Vec<Place<'a>>; 3],
    /// How many places of each kind have replicas.
    used: [i32; 3],
    bounds: [Bounds; 3],
    /// Replicas that go together.
    pub(super) group: i32,
}

impl<'a> Board<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, standings: &'a [Standing]) -> Self {
        let placement = &snapshot.request.placement;
        let mut board = Self {
            seats: Vec::with_capacity(standings.len()),
            places: Default::default(),
            used: [0; 3],
            bounds: bounds(placement),
            group: placement.gang.as_ref().map_or(1, |gang| gang.group_size.max(1)),
        };
        let mut order: Vec<usize> = (0..standings.len()).collect();
        order.sort_by(|a, b| snapshot.candidates[*a].name.cmp(&snapshot.candidates[*b].name));
        let mut known: [BTreeMap<&str, usize>; 3] = Default::default();
        for index in order {
            let (candidate, standing) = (&snapshot.candidates[index], &standings[index]);
            let names = [candidate.name.as_str(), candidate.region.as_str(), candidate.provider.as_str()];
            let mut places = [0; 3];
            for kind in 0..3 {
                let all = &mut board.places[kind];
                places[kind] = *known[kind].entry(names[kind]).or_insert_with(|| {
                    all.push(Place { name: names[kind], ..Place::default() });
                    all.len() - 1
                });
                let place = &mut all[places[kind]];
                place.replicas += standing.counted;
                place.held += candidate.held.desired;
                place.compared |= standing.counted > 0 || may_hold(&standing.verdict);
            }
            let counted = standing.counted;
            board.seats.push(Seat { candidate, standing, counted, share: counted, places });
        }
        board.used = [0, 1, 2].map(|kind| count(board.places[kind].iter().filter(|place| place.replicas > 0)));
        board
    }

    /// Whether there is any bound that the choice of one cluster can spoil for another.
    pub(super) fn is_bounded(&self) -> bool {
        self.bounds.iter().any(|of| {
            [of.max_skew, of.min_places, of.max_places, of.min_replicas, of.max_replicas].iter().any(Option::is_some)
        })
    }

    pub(super) fn total(&self) -> i32 {
        self.seats.iter().map(|seat| seat.share).sum()
    }

    /// How many replicas one step adds: a group, or what completes one.
    pub(super) fn step_up(&self, seat: usize) -> i32 {
        self.group - self.seats[seat].share.rem_euclid(self.group)
    }

    /// How many replicas one step takes: a group, or what is left of a broken one.
    pub(super) fn step_down(&self, seat: usize) -> i32 {
        match self.seats[seat].share.rem_euclid(self.group) {
            0 => self.group,
            rest => rest,
        }
    }

    /// How many more replicas a cluster holds than it has now.
    pub(super) fn room(&self, seat: usize) -> i64 {
        let Seat { candidate, counted, share, .. } = &self.seats[seat];
        let held = i64::from(candidate.held.in_force() - counted).max(0);
        candidate.room.replicas.max(0).saturating_add(held).saturating_sub(i64::from(share - counted))
    }

    /// Whether a cluster may take so many more without passing an upper bound.
    pub(super) fn permits(&self, seat: usize, more: i32) -> bool {
        self.permits_but_skew(seat, more) && self.permits_skew(seat, more)
    }

    /// The same, whatever the skew.
    pub(super) fn permits_but_skew(&self, seat: usize, more: i32) -> bool {
        self.seats[seat].standing.verdict == Verdict::Eligible
            && self.room(seat) >= i64::from(more)
            && (0..3).all(|kind| {
                let (bounds, place) = (&self.bounds[kind], &self.places[kind][self.seats[seat].places[kind]]);
                !place.closed
                    && bounds.max_replicas.is_none_or(|most| place.replicas + more <= most)
                    && bounds.max_places.is_none_or(|most| place.replicas > 0 || self.used(kind) < most)
            })
    }

    /// Whether places differ by no more than they may when a cluster has so many more.
    pub(super) fn permits_skew(&self, seat: usize, more: i32) -> bool {
        (0..3).all(|kind| {
            let after = self.places[kind][self.seats[seat].places[kind]].replicas + more;
            self.bounds[kind].max_skew.is_none_or(|most| after - self.least(kind) <= most)
        })
    }

    /// Whether so many of a cluster's replicas may go on counting there: no upper bound is passed that was not passed before.
    pub(super) fn may_stay(&self, seat: usize, more: i32) -> bool {
        (0..3).all(|kind| {
            let (bounds, place) = (&self.bounds[kind], &self.places[kind][self.seats[seat].places[kind]]);
            let after = place.replicas + more;
            let used_before = count(self.places[kind].iter().filter(|place| place.held > 0));
            let grows = after > place.held;
            let passes = bounds.max_replicas.is_some_and(|most| after > most)
                || bounds.max_skew.is_some_and(|most| after - self.least(kind) > most);
            !(grows && passes)
                && bounds.max_places.is_none_or(|most| place.replicas > 0 || self.used(kind) < most.max(used_before))
        })
    }

    /// Gives a cluster so many more, or takes as many with a negative number.
    pub(super) fn give(&mut self, seat: usize, more: i32) {
        self.seats[seat].share += more;
        for (kind, place) in self.seats[seat].places.into_iter().enumerate() {
            let replicas = &mut self.places[kind][place].replicas;
            let was_used = *replicas > 0;
            *replicas += more;
            self.used[kind] += i32::from(*replicas > 0) - i32::from(was_used);
        }
    }

    /// Of the lower bounds that are not kept yet, how many another replica in this cluster helps to keep.
    pub(super) fn floors_helped(&self, seat: usize) -> i32 {
        let helps = |kind: usize| {
            let (bounds, place) = (&self.bounds[kind], &self.places[kind][self.seats[seat].places[kind]]);
            let opens = place.replicas == 0 && bounds.min_places.is_some_and(|least| self.used(kind) < least);
            let fills = bounds.min_replicas.is_some_and(|least| place.replicas < least);
            i32::from(opens) + i32::from(fills)
        };
        (0..3).map(helps).sum()
    }

    /// How many bounds would be broken by taking so many from this cluster.
    pub(super) fn floors_broken(&self, seat: usize, less: i32) -> i32 {
        let breaks = |kind: usize| {
            let (bounds, place) = (&self.bounds[kind], &self.places[kind][self.seats[seat].places[kind]]);
            let after = place.replicas - less;
            let closes = after <= 0 && bounds.min_places.is_some_and(|least| self.used(kind) <= least);
            let empties = bounds.min_replicas.is_some_and(|least| after < least);
            let skews = bounds.max_skew.is_some_and(|most| self.most(kind) - after > most);
            i32::from(closes) + i32::from(empties) + i32::from(skews)
        };
        (0..3).map(breaks).sum()
    }

    /// The lower bounds that are not kept, in words; none when there are too few replicas to keep them.
    pub(super) fn unmet(&self) -> Vec<String> {
        let total = self.total();
        let mut unmet = Vec::new();
        for kind in 0..3 {
            let (bounds, used) = (&self.bounds[kind], self.used(kind));
            let name = kind_name(kind);
            let enough = |least: &i32| used >= (*least).min(total / self.group);
            if let Some(least) = bounds.min_places.filter(|least| !enough(least)) {
                unmet.push(format!("replicas are in {used} {name}s, of at least {least}"));
            }
            let Some(least) = bounds.min_replicas else { continue };
            let wanted: i32 = self.compared(kind).map(|_| least).sum();
            if let Some(short) = self.compared(kind).find(|place| place.replicas < least)
                && total >= wanted
            {
                unmet.push(format!("the {name} {:?} has {} replicas, of at least {least}", short.name, short.replicas));
            }
        }
        unmet
    }

    /// By how many places and replicas lower bounds are missed, beyond what too few replicas cannot help.
    pub(super) fn floors_missed(&self) -> i32 {
        let total = self.total();
        let missed = |kind: usize| {
            let (bounds, used) = (&self.bounds[kind], self.used(kind));
            let places = bounds.min_places.map_or(0, |least| (least.min(total / self.group) - used).max(0));
            let replicas = bounds.min_replicas.map_or(0, |least| {
                let (mut wanted, mut short) = (0, 0);
                for place in self.compared(kind) {
                    wanted += least;
                    short += (least - place.replicas).max(0);
                }
                short - (wanted - total).max(0)
            });
            places + replicas.max(0)
        };
        (0..3).map(missed).sum()
    }

    /// Numbers of replicas of all places of one kind, for strategies that even them out.
    pub(super) fn crowd(&self, seat: usize) -> [i32; 3] {
        let of = |kind: usize| self.places[kind][self.seats[seat].places[kind]].replicas;
        [of(2), of(1), of(0)]
    }

    /// The sum of the squares of the replicas, by kind of place: the smaller, the more even.
    pub(super) fn squares(&self) -> [f64; 3] {
        let of = |kind: usize| self.places[kind].iter().map(|place| f64::from(place.replicas).powi(2)).sum();
        [of(2), of(1), of(0)]
    }

    /// Clusters with replicas.
    pub(super) fn clusters_used(&self) -> i32 {
        self.used(0)
    }

    /// The coarsest kind of place of which only some may be used, and that has more.
    pub(super) fn choice(&self) -> Option<Choice> {
        for kind in (0..3).rev() {
            let Some(most) = self.bounds[kind].max_places else { continue };
            let mut open: BTreeMap<usize, i64> = BTreeMap::new();
            for (index, seat) in self.seats.iter().enumerate() {
                let place = &self.places[kind][seat.places[kind]];
                if seat.standing.verdict == Verdict::Eligible && place.replicas == 0 && !place.closed {
                    let room = open.entry(seat.places[kind]).or_default();
                    *room = room.saturating_add(self.room(index));
                }
            }
            let left = most - self.used(kind);
            if left > 0 && usize::try_from(left).is_ok_and(|left| open.len() > left) {
                return Some(Choice { kind, most: left, open: open.into_iter().collect() });
            }
        }
        None
    }

    /// Closes the places of one kind that are not in use and not among `chosen`.
    pub(super) fn close_others(&mut self, kind: usize, chosen: &[usize]) {
        for (index, place) in self.places[kind].iter_mut().enumerate() {
            if place.replicas == 0 && !chosen.contains(&index) {
                place.closed = true;
                place.compared = false;
            }
        }
    }

    /// Has a cluster take no new replica, or lets it again.
    pub(super) fn close(&mut self, seat: usize, closed: bool) {
        let place = self.seats[seat].places[0];
        self.places[0][place].closed = closed;
    }

    /// By how many replicas places differ more than they may, over all kinds.
    pub(super) fn excess_skew(&self) -> i32 {
        let excess = |kind: usize| {
            self.bounds[kind].max_skew.map_or(0, |most| (self.most(kind) - self.least(kind) - most).max(0))
        };
        (0..3).map(excess).sum()
    }

    fn used(&self, kind: usize) -> i32 {
        self.used[kind]
    }

    /// The places of one kind that are compared. Once as many are in use as may be, the others are out of it.
    fn compared(&self, kind: usize) -> impl Iterator<Item = &Place<'a>> {
        let full = self.bounds[kind].max_places.is_some_and(|most| self.used(kind) >= most);
        self.places[kind].iter().filter(move |place| place.compared && (place.replicas > 0 || !full))
    }

    fn least(&self, kind: usize) -> i32 {
        self.compared(kind).map(|place| place.replicas).min().unwrap_or_default()
    }

    fn most(&self, kind: usize) -> i32 {
        self.compared(kind).map(|place| place.replicas).max().unwrap_or_default()
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> i32 {
    i32::try_from(all.count()).unwrap_or(i32::MAX)
}

/// Whether a cluster may hold replicas by what the spec says of it; being full or unheard is no matter of the spec.
fn may_hold(verdict: &Verdict) -> bool {
    use super::exclusion::Exclusion::NoRoom;
    matches!(verdict, Verdict::Eligible | Verdict::Keeps(NoRoom(_)))
}

fn kind_name(kind: usize) -> &'static str {
    match KINDS[kind] {
        TopologyKey::Cluster => "cluster",
        TopologyKey::Region => "region",
        TopologyKey::Provider => "provider",
    }
}

fn bounds(placement: &Placement) -> [Bounds; 3] {
    KINDS.map(|kind| {
        let spread = placement.spread.iter().find(|spread| spread.by == kind);
        let mut bounds = spread.map_or_else(Bounds::default, |spread| Bounds {
            max_skew: spread.max_skew,
            min_places: spread.min_places,
            max_places: spread.max_places,
            min_replicas: spread.min_replicas,
            max_replicas: spread.max_replicas,
        });
        if kind == TopologyKey::Cluster {
            bounds.min_places = bounds.min_places.max(placement.min_clusters);
        }
        bounds
    })
}
