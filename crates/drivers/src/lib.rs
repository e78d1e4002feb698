//! Keeps the load balancers that people already run to what routes say.
//!
//! A [`Driver`] knows one of them. What it decides is pure: what the server is to have ([`Driver::plan`]), and the least [steps](Driver::steps)
//! from what it has to that. What touches it obeys: [`Driver::read`] and [`Driver::perform`]. [`reconcile`] puts them together, and reads back.
//!
//! * [`pools`]: the servers of each route, with the shares of requests that its backends have.
//! * [`rules`]: which pool takes a request, in the order in which a load balancer asks.
//! * [`Lack`]: what of a route a load balancer cannot do.

pub mod apache;
mod command;
mod driver;
mod error;
mod files;
pub mod haproxy;
mod lack;
pub mod nginx;
pub mod pools;
mod reconcile;
pub mod rules;
mod shown;

pub use driver::{Driver, Plan};
pub use error::{DriverError, Retry};
pub use lack::Lack;
pub use reconcile::{Reconciled, reconcile};
pub use shown::{Shown, ShownServer, ShownState};
