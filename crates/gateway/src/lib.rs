//! The request router's data plane: HTTP in, and HTTP out to the best replica in any cloud. What it is to do is plain data
//! ([`config`]); nothing here knows Kubernetes.
//!
//! * [`table`] finds the route of a request.
//! * A route shares its requests out among backends, and a backend among its endpoints (`skyfleet-balance`).
//! * `attempts` sends a request to one endpoint after the other until one answers, `answer` passes that on.
//! * [`server`] accepts connections, each worker thread for itself.

mod access_log;
mod affinity;
mod answer;
mod answered;
mod areas;
mod attempts;
mod backend;
mod body;
mod causes;
mod charging;
pub mod config;
mod connection;
mod connections;
mod cookie;
mod counters;
mod deadline;
mod exchange;
mod gateway;
mod grpc;
mod grpc_health;
mod handover;
mod headers;
mod health;
mod hedge;
mod http2;
mod idle;
mod limits;
pub mod liveness;
mod metrics;
mod multiplexed;
mod openai;
mod outcome;
mod preface;
mod proxy;
mod record;
mod refusal;
mod relay;
mod replay;
mod route;
pub mod server;
mod shadow;
pub mod status;
pub mod table;
pub mod tls;
mod trace;
mod tunnel;
mod unanswered;
mod upstream;
mod usage;
mod waiting;
mod worker;

pub use access_log::Sink;
pub use gateway::Gateway;
pub use relay::Relay;
pub use server::{Serving, serve};
