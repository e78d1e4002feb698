//! The real NGINX, which is held to the same as the gateway, and what is its own.

mod server;
mod suite;

pub use server::Running;
