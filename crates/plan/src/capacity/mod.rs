//! How much room there is, node by node, less what was decided and is not seen to run yet.
//!
//! * [`Resources`]: amounts, in whole units.
//! * [`PodShape`]: what one replica needs of a node.
//! * [`Node`]: what a node has left, and whether it admits a shape.
//! * [`Inventory`]: the nodes of a member and what runs there, as they were last counted.
//! * [`Ledger`]: the room in every member after all decisions, made one at a time, so that none is promised twice.

mod admission;
mod inventory;
mod ledger;
mod node;
mod resources;
mod room;
mod shape;

pub use inventory::{Inventory, ModelKey};
pub use ledger::{Ledger, Terms};
pub use node::{Node, NodeTaint};
pub use resources::Resources;
pub use room::{Room, Shortage};
pub use shape::PodShape;

#[cfg(test)]
mod tests;
