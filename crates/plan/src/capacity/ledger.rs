//! The room in every member after all decisions. Whoever decides asks here and enters the decision here before the next one
//! is made: what one was given, no other is given too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::admission::{Admission, Wishes};
use super::room::on_nodes;
use super::{Inventory, ModelKey, Node, PodShape, Resources, Room, Shortage};

/// What may be used of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Nodes come when pods wait for them: what the present ones have left does not bound it.
    pub elastic: bool,
    /// The most that all ModelDeployments together may request, by resource, in the units of [`Resources`]; what is not
    /// named is not bounded.
    pub limits: BTreeMap<String, i64>,
}

/// The room in every member after all decisions.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: HashMap<String, Account>,
    entries: HashMap<ModelKey, Entry>,
    wishes: Wishes,
}

#[derive(Clone, Debug, Default)]
struct Account {
    terms: Terms,
    inventory: Option<Arc<Inventory>>,
    /// The nodes with what was decided and is not seen yet taken off; none while it is to be worked out anew.
    nodes: Option<Vec<Node>>,
    /// Which of them admit pods, by the number of what those wish.
    admissions: HashMap<usize, Vec<Admission>>,
    requested: Resources,
    models: BTreeSet<ModelKey>,
}

#[derive(Clone, Debug)]
struct Entry {
    shape: Arc<PodShape>,
    shares: BTreeMap<String, i32>,
}

impl Ledger {
    /// Takes what was last counted in a cluster and what may be used of it.
    pub fn count(&mut self, cluster: &str, inventory: Option<Arc<Inventory>>, terms: Terms) {
        if !self.accounts.contains_key(cluster) {
            self.accounts.insert(cluster.to_owned(), Account::default());
        }
        let Some(account) = self.accounts.get_mut(cluster) else { return };
        account.terms = terms;
        let same = match (&account.inventory, &inventory) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            account.inventory = inventory;
            account.nodes = None;
            account.admissions.clear();
        }
    }

    /// Enters what is decided for a ModelDeployment: replicas by cluster, whether they run already or not.
    pub fn enter(&mut self, model: &ModelKey, shape: &Arc<PodShape>, shares: &BTreeMap<String, i32>) {
        let before = self.entries.get(model).cloned();
        if before.as_ref().is_some_and(|before| before.shares == *shares && before.shape == *shape) {
            return;
        }
        let before_shares = before.as_ref().map(|before| before.shares.clone()).unwrap_or_default();
        let same_shape = before.as_ref().is_some_and(|before| before.shape == *shape);
        let clusters: BTreeSet<&String> = before_shares.keys().chain(shares.keys()).collect();
        for cluster in clusters {
            let of = |shares: &BTreeMap<String, i32>| i64::from(shares.get(cluster).copied().unwrap_or_default());
            let (had, has) = (of(&before_shares), of(shares));
            let account = self.accounts.entry(cluster.clone()).or_default();
            if let Some(before) = &before {
                account.requested.take(&before.shape.requests, had);
            }
            account.requested.take(&shape.requests, -has);
            if has > 0 {
                account.models.insert(model.clone());
            } else {
                account.models.remove(model);
            }
            account.change(model, shape, had, has, same_shape);
        }
        self.entries.insert(model.clone(), Entry { shape: shape.clone(), shares: shares.clone() });
    }

    /// Forgets a ModelDeployment that holds nothing any more.
    pub fn forget(&mut self, model: &ModelKey) {
        if let Some(entry) = self.entries.get(model) {
            let shape = entry.shape.clone();
            self.enter(model, &shape, &BTreeMap::new());
            self.entries.remove(model);
        }
    }

    /// How many more replicas of this shape a cluster holds.
    pub fn room(&mut self, cluster: &str, shape: &PodShape) -> Room {
        self.work_out(cluster);
        let wishes = self.number(shape);
        let Some(account) = self.accounts.get_mut(cluster) else {
            return Room { shortage: Some(Shortage::NotCounted), ..Room::default() };
        };
        let room = match &account.nodes {
            _ if account.terms.elastic => Room::UNBOUNDED,
            Some(nodes) => {
                let admissions = account
                    .admissions
                    .entry(wishes)
                    .or_insert_with(|| nodes.iter().map(|node| Admission::of(node, shape)).collect());
                on_nodes(nodes, admissions, shape)
            }
            None => Room { shortage: Some(Shortage::NotCounted), ..Room::default() },
        };
        account.within_limits(room, shape)
    }

    fn number(&mut self, shape: &PodShape) -> usize {
        loop {
            match self.wishes.number(shape) {
                Some(number) => return number,
                None => self.accounts.values_mut().for_each(|account| account.admissions.clear()),
            }
        }
    }

    /// What all ModelDeployments together request of a cluster.
    #[must_use]
    pub fn requested(&self, cluster: &str) -> Resources {
        self.accounts.get(cluster).map(|account| account.requested.clone()).unwrap_or_default()
    }

    fn work_out(&mut self, cluster: &str) {
        let Some(account) = self.accounts.get_mut(cluster) else { return };
        let (None, Some(inventory)) = (&account.nodes, account.inventory.clone()) else { return };
        let mut nodes = inventory.nodes.clone();
        // The largest first: those find a node only as long as there is one.
        let mut decided: Vec<(&PodShape, i64)> = account
            .models
            .iter()
            .filter_map(|model| {
                let entry = self.entries.get(model)?;
                let share = i64::from(entry.shares.get(cluster).copied().unwrap_or_default());
                Some((&*entry.shape, share - inventory.bound.get(model).copied().unwrap_or_default()))
            })
            .filter(|(_, unseen)| *unseen > 0)
            .collect();
        decided.sort_by_cached_key(|(shape, _)| inventory.nodes.iter().map(|node| node.fits(shape)).sum::<i64>());
        for (shape, unseen) in decided {
            let homeless = occupy(&mut nodes, shape, unseen);
            reserve_anywhere(&mut nodes, &shape.requests, homeless);
        }
        // Others' pods that no node has room for take none from anybody.
        for shape in &inventory.waiting {
            occupy(&mut nodes, shape, 1);
        }
        account.nodes = Some(nodes);
    }
}

impl Account {
    /// Keeps the worked-out nodes up to date where that is simple, and has them worked out anew where it is not.
    fn change(&mut self, model: &ModelKey, shape: &PodShape, had: i64, has: i64, same_shape: bool) {
        let Some(inventory) = &self.inventory else { return };
        let bound = inventory.bound.get(model).copied().unwrap_or_default();
        match &mut self.nodes {
            Some(nodes) if has >= had && (same_shape || had == 0) => {
                let more = (has - bound).max(0) - (had - bound).max(0);
                let homeless = occupy(nodes, shape, more);
                reserve_anywhere(nodes, &shape.requests, homeless);
            }
            // Pods that are bound hold their room until they are seen to be gone.
            Some(_) if had <= bound && has <= had && same_shape => {}
            _ => self.nodes = None,
        }
    }

    fn within_limits(&self, mut room: Room, shape: &PodShape) -> Room {
        for (resource, limit) in &self.terms.limits {
            let needed = shape.requests.amount(resource);
            if needed <= 0 {
                continue;
            }
            let left = limit.saturating_sub(self.requested.amount(resource));
            let most = left.max(0) / needed;
            if most < room.replicas {
                room.replicas = most;
                room.preferred = room.preferred.min(most);
            }
            if most == 0 && room.shortage.is_none() {
                room.shortage = Some(Shortage::Limit { resource: resource.clone(), needed, left });
            }
        }
        room
    }
}

/// Puts pods onto the nodes as Kubernetes' scheduler does by default, each where most is left (`LeastAllocated`): to count on
/// them lying closer together than they will would promise room that is not there. Gives how many found no node.
fn occupy(nodes: &mut [Node], shape: &PodShape, count: i64) -> i64 {
    for placed in 0..count.max(0) {
        let most_left = nodes
            .iter_mut()
            .map(|node| (node.fits(shape), node))
            .filter(|(fits, _)| *fits > 0)
            .max_by(|(a, x), (b, y)| a.cmp(b).then_with(|| y.name.cmp(&x.name)));
        let Some((_, node)) = most_left else { return count - placed };
        node.free.take(&shape.requests, 1);
    }
    0
}

/// Takes what was promised to pods that no single node has room for from what is left in bits and pieces: it was promised,
/// and must not be promised again.
fn reserve_anywhere(nodes: &mut [Node], requests: &Resources, count: i64) {
    for (resource, _, needed) in requests.against(requests) {
        let mut owed = needed.saturating_mul(count.max(0));
        for node in nodes.iter_mut() {
            let taken = node.free.amount(resource).clamp(0, owed.max(0));
            node.free.reduce(resource, taken);
            owed -= taken;
        }
    }
}
