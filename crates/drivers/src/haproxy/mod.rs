//! HAProxy, from version 2.6 on.
//!
//! The driver has a folder with backends and a map, which the user's own configuration is started with and looks into. Servers, their weights and
//! the map are changed by commands, and the files with them, so that a restart keeps it all. For what commands cannot change, the master
//! process is told to reload, which fails no request.

mod actual;
pub mod agent_check;
mod backend;
mod lacking_limits;
mod lacks;
mod limits;
mod loads;
mod map;
mod names;
mod parse;
mod perform;
mod plan;
mod read;
mod render;
mod response_times;
mod runtime;
mod server_steps;
mod servers;
mod settings;
mod step;
mod steps;
mod tls;
mod wanted;

pub use actual::Actual;
pub use map::Entry;
pub use settings::{CANDIDATE, Settings};
pub use step::{Made, Named, Step};
pub use wanted::{Asked, Content, Server, Wanted};

use skyfleet_gateway::config::Config;

use crate::{Driver, DriverError, Plan, Shown};

/// Keeps an HAProxy to what routes say.
#[derive(Clone, Debug)]
pub struct HAProxy {
    settings: Settings,
}

impl HAProxy {
    /// One that is set up so.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Driver for HAProxy {
    type Wanted = Wanted;
    type Actual = Actual;
    type Step = Step;

    fn name(&self) -> &'static str {
        runtime::SERVER
    }

    fn plan(&self, config: &Config) -> Plan<Wanted> {
        plan::plan(config, &self.settings)
    }

    fn steps(&self, actual: &Actual, wanted: &Wanted) -> Vec<Step> {
        steps::steps(actual, wanted)
    }

    fn shown(&self, actual: &Actual) -> Shown {
        actual::shown(actual)
    }

    async fn read(&self) -> Result<Actual, DriverError> {
        Box::pin(read::read(&self.settings)).await
    }

    async fn perform(&self, step: &Step) -> Result<(), DriverError> {
        Box::pin(perform::perform(&self.settings, step)).await
    }
}
