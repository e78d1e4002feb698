//! Steps, by a server that exists only in memory, the pages of a real one, and what it cannot do.

mod lacks;
mod memory;
mod pages;
mod sequences;
