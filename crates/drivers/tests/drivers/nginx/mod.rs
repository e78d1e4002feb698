//! The real NGINX, which is held to the same as the gateway, and what is its own.

mod calls;
mod changes;
mod hostile;
mod raw;
mod reloads;
mod requests;
mod server;
mod suite;
mod tls;

pub use server::Running;
