//! What is remembered of a target's objects: pages in the order of keys, read and written one at a time beside the listings, so
//! that no number of objects needs more memory.
//!
//! Pages never change once they are written, and an index names those that count: it is what a pass replaces at its end, and
//! from time to time on the way. A page or an index that is lost, damaged, or of another source only makes objects be copied again.

mod adopted;
mod book;
mod index;
mod memory;
mod page;
mod pager;
mod portion_state;
mod proofs;
mod recall;
mod target_state;
mod unsaved;

pub(crate) use book::Book;
pub(crate) use index::PageRef;
pub(crate) use memory::{Asked, Memory};
pub(crate) use page::{Made, StateEntry};
pub(crate) use proofs::{Fit, Fits, Proofs};
pub(crate) use target_state::TargetState;
