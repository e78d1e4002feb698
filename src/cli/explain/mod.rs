//! `skyfleet explain`: why each replica is where it is, why not elsewhere, and what would change it.

mod explanation;
mod lift;
mod operator;
mod render;
mod statuses;
#[cfg(test)]
mod tests;

use clap::ValueEnum;
use jiff::Timestamp;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_plan::capacity::ModelKey;

use super::failure::Failure;
use super::hub::HubArgs;
use super::target::Target;
use explanation::Source;
use operator::{NoAnswer, OperatorArgs};

/// Why each replica of a model is where it is, why not elsewhere, and what would change it
#[derive(Debug, clap::Args)]
#[command(after_help = super::HUB_EXIT_STATUSES)]
pub(crate) struct ExplainArgs {
    /// modeldeployment/NAME, or just NAME
    #[arg(value_name = "MODELDEPLOYMENT")]
    target: Target,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl ExplainArgs {
    pub(super) async fn run(self) -> Result<String, Failure> {
        let found = self.hub.find(&self.target).await?;
        let (namespace, name) = (found.namespace, self.target.name);
        let (source, snapshot) = match operator::ask(&found.client, &self.operator, &namespace, &name).await {
            Ok(snapshot) => (Source::Operator, snapshot),
            Err(NoAnswer::NothingDecided(why)) => return Err(Failure::Refused(why)),
            Err(NoAnswer::NotAsked(because)) => {
                let now = whole_seconds(Timestamp::now());
                let key = ModelKey { namespace: namespace.clone(), name: name.clone() };
                let snapshot = statuses::snapshot(&found.client, &key, &found.model, now).await?;
                (Source::Statuses { because }, snapshot)
            }
        };
        let explained = explanation::explain(&namespace, &name, source, snapshot)
            .map_err(|error| Failure::Refused(format!("spec.placement.clusterSelector: {error}")))?;
        match self.output {
            Output::Text => Ok(render::text(&explained)),
            Output::Json => {
                if let Source::Statuses { because } = &explained.source {
                    eprintln!("note: by the Clusters' statuses; the operator could not be asked: {because}");
                }
                super::json(&explained)
            }
        }
    }
}
