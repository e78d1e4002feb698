//! Which nodes of a cluster admit pods, remembered: labels, taints and affinity are compared once, not for every decision.

use super::{Node, PodShape, Resources};

/// What pods ask of nodes, room aside, each given a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    known: Vec<PodShape>,
    /// The one that was asked for last, and most likely is again.
    last: usize,
}

/// So many different wishes are remembered.
const MOST: usize = 256;

impl Wishes {
    /// The number of what pods of this shape ask of nodes. When there are too many all start anew: `None` says that numbers
    /// given before are void.
    pub(super) fn number(&mut self, shape: &PodShape) -> Option<usize> {
        if self.known.get(self.last).is_some_and(|known| are_alike(known, shape)) {
            return Some(self.last);
        }
        let found = self.known.iter().position(|known| are_alike(known, shape));
        if found.is_none() && self.known.len() == MOST {
            self.known.clear();
            return None;
        }
        self.last = found.unwrap_or_else(|| {
            self.known.push(PodShape { requests: Resources::default(), ..shape.clone() });
            self.known.len() - 1
        });
        Some(self.last)
    }
}

fn are_alike(a: &PodShape, b: &PodShape) -> bool {
    // Named one by one so that a new field is not forgotten here.
    let PodShape { requests: _, node_selector, required, preferred, tolerations } = a;
    *node_selector == b.node_selector
        && *required == b.required
        && *preferred == b.preferred
        && *tolerations == b.tolerations
}

/// Whether a node admits such pods, and whether they would rather be on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission {
    pub(super) admits: bool,
    pub(super) is_preferred: bool,
}

impl Admission {
    pub(super) fn of(node: &Node, shape: &PodShape) -> Self {
        let admits = node.admits(shape);
        Self { admits, is_preferred: admits && node.is_preferred(shape) }
    }
}
