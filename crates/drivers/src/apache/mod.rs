//! Apache httpd with `mod_proxy_balancer`.
//!
//! The driver writes one file, which a virtual host includes: a balancer of each route, and the rules of `mod_rewrite` by which requests come to
//! it. Members come, change and go by the balancer-manager while Apache runs; the file is written first, so that a restart keeps them. Only
//! what the balancer-manager cannot do has Apache read its files again.

mod lacks;
mod live;
mod manager;
mod members;
mod names;
mod perform;
mod plan;
mod read;
mod render;
mod routing;
mod section;
mod secured;
mod settings;
mod shown;
mod steps;
mod tls;
mod wanted;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use skyfleet_gateway::config::Config;

pub use settings::{Modules, Settings};
pub use steps::Step;
pub use wanted::Wanted;

use crate::{Driver, DriverError, Plan, Shown};
use live::Live;

/// What is defined while a file is tested that is not used yet.
pub const TRY: &str = "SKYFLEET_TRY";

const SERVER: &str = "Apache httpd";

/// Keeps an Apache httpd to what routes say.
#[derive(Clone, Debug)]
pub struct Apache {
    settings: Settings,
}

impl Apache {
    /// A driver of the server that is set up so.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

/// What an Apache httpd really has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// The file that users include.
    entry: Option<String>,
    /// The managed file.
    managed: Option<String>,
    /// Connections end with each answer.
    is_closing: bool,
    /// Files of certificates, and whether in each is what its name says.
    certificates: BTreeMap<String, bool>,
    /// What the server says that it has.
    live: Live,
}

impl Driver for Apache {
    type Wanted = Wanted;
    type Actual = Actual;
    type Step = Step;

    fn name(&self) -> &'static str {
        SERVER
    }

    fn plan(&self, config: &Config) -> Plan<Wanted> {
        plan::plan(&self.settings, config)
    }

    fn steps(&self, actual: &Actual, wanted: &Wanted) -> Vec<Step> {
        steps::steps(&self.settings, actual, wanted)
    }

    fn shown(&self, actual: &Actual) -> Shown {
        shown::shown(actual)
    }

    async fn read(&self) -> Result<Actual, DriverError> {
        read::read(&self.settings).await
    }

    async fn perform(&self, step: &Step) -> Result<(), DriverError> {
        perform::perform(&self.settings, &step.0).await
    }
}
