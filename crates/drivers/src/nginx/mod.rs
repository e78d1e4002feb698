//! NGINX: files that its configuration includes, and a reload.
//!
//! A change is three steps. A new generation of files is written beside the live one, and NGINX tests its whole configuration with it
//! ([`Step::Prepare`]); a link is made to lead to it ([`Step::Switch`]); and NGINX loads it ([`Step::Reload`]). What is live has passed the test
//! at any time, so NGINX can be started at any time. Which generation the workers have they are asked themselves.

mod affinity;
mod control;
mod files;
mod generation;
mod lacks;
mod limits;
mod location;
mod matching;
mod perform;
mod plan;
mod read;
mod resolve;
mod settings;
mod steps;
mod text;
mod tls;
mod trial;
mod upstream;
mod wanted;

use skyfleet_gateway::config::Config;

pub use settings::Settings;
pub use steps::{Actual, Step};
pub use wanted::Wanted;

use crate::{Driver, DriverError, Plan, Shown};

const NGINX: &str = "NGINX";

/// Keeps an NGINX to what routes say.
#[derive(Clone, Debug)]
pub struct Nginx {
    settings: Settings,
}

impl Nginx {
    /// One that is set up so.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Driver for Nginx {
    type Wanted = Wanted;
    type Actual = Actual;
    type Step = Step;

    fn name(&self) -> &'static str {
        NGINX
    }

    fn plan(&self, config: &Config) -> Plan<Wanted> {
        plan::plan(config, &self.settings)
    }

    fn steps(&self, actual: &Actual, wanted: &Wanted) -> Vec<Step> {
        steps::steps(actual, wanted)
    }

    fn shown(&self, actual: &Actual) -> Shown {
        steps::shown(actual)
    }

    async fn read(&self) -> Result<Actual, DriverError> {
        read::read(&self.settings).await
    }

    async fn perform(&self, step: &Step) -> Result<(), DriverError> {
        perform::perform(step, &self.settings).await
    }
}
