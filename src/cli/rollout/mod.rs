//! `skyfleet rollout`: how a change goes over the clusters, and how it is held and taken back, as kubectl has it for a
//! Deployment.

mod patch;
mod progress;
mod revisions;
mod status;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use skyfleet_api::{ModelDeployment, labels};

use super::failure::Failure;
use super::hub::{self, Found, HubArgs};
use super::target::Target;
use revisions::{Revision, history, numbered, previous, revisions, undo};
use status::StatusArgs;

/// Who writes, as the hub's records have it.
const FIELD_MANAGER: &str = "skyfleet-cli";

/// How a change goes over the clusters, and how it is held and taken back
#[derive(Debug, clap::Args)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Status(StatusArgs),
    /// List the revisions that are kept, with what each changed
    History(HistoryArgs),
    /// Begin no further wave
    Pause(TargetArgs),
    /// Go on with the waves
    Resume(TargetArgs),
    /// Give the spec back the model, runtime and service of an earlier revision
    Undo(UndoArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = super::HUB_EXIT_STATUSES)]
struct TargetArgs {
    /// modeldeployment/NAME, or just NAME
    #[arg(value_name = "MODELDEPLOYMENT")]
    target: Target,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, clap::Args)]
struct HistoryArgs {
    #[command(flatten)]
    of: TargetArgs,
    /// Show what this revision consists of
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct UndoArgs {
    #[command(flatten)]
    of: TargetArgs,
    /// The revision [default: the newest that is another]
    #[arg(long, value_name = "NUMBER")]
    to_revision: Option<i64>,
}

impl RolloutArgs {
    pub(super) async fn run(self) -> Result<String, Failure> {
        match self.verb {
            Verb::Status(arguments) => arguments.run().await,
            Verb::History(arguments) => arguments.run().await,
            Verb::Pause(arguments) => arguments.pause(true).await,
            Verb::Resume(arguments) => arguments.pause(false).await,
            Verb::Undo(arguments) => arguments.run().await,
        }
    }
}

impl TargetArgs {
    /// The ModelDeployment, which must have rollouts.
    async fn find(&self) -> Result<Found, Failure> {
        let found = self.hub.find(&self.target).await?;
        match found.model.spec.rollout {
            Some(_) => Ok(found),
            None => Err(Failure::Rollout(progress::without_rollout(&self.target.name))),
        }
    }

    async fn pause(&self, pause: bool) -> Result<String, Failure> {
        let Found { client, namespace, model } = self.find().await?;
        let (name, done) = (&self.target.name, if pause { "paused" } else { "resumed" });
        if model.spec.rollout.is_some_and(|rollout| rollout.paused == pause) {
            let is = if pause { "is already paused" } else { "is not paused" };
            return Err(Failure::Rollout(format!("modeldeployment {name:?} {is}")));
        }
        let patch = json!({"spec": {"rollout": {"paused": pause}}});
        change(&client, &namespace, &self.target, &patch).await?;
        Ok(format!("modeldeployment.skyfleet.dev/{name} {done}"))
    }

    /// The revisions that are kept of it.
    async fn revisions(&self, client: &Client, namespace: &str) -> Result<Vec<Revision>, Failure> {
        let of_model = format!("{}={}", labels::MODEL_DEPLOYMENT, self.target.name);
        let api = Api::<ControllerRevision>::namespaced(client.clone(), namespace);
        let kept = api.list(&ListParams::default().labels(&of_model)).await;
        Ok(revisions(kept.map_err(hub::failure(&format!("the revisions of {}", self.target)))?.items))
    }
}

impl HistoryArgs {
    async fn run(self) -> Result<String, Failure> {
        let Found { client, namespace, model } = self.of.find().await?;
        let all = self.of.revisions(&client, &namespace).await?;
        if let Some(number) = self.revision {
            return super::json(&numbered(&all, number)?.data);
        }
        if all.is_empty() {
            return Ok(format!("no revision of modeldeployment {:?} is kept yet", self.of.target.name));
        }
        Ok(history(&all, model.status.as_ref().and_then(|status| status.rollout.as_ref())))
    }
}

impl UndoArgs {
    async fn run(self) -> Result<String, Failure> {
        let Found { client, namespace, .. } = self.of.find().await?;
        let all = self.of.revisions(&client, &namespace).await?;
        let target = &self.of.target;
        // As it is stored, with fields that only a newer version knows: they go too when the revision lacks them.
        let stored = dynamic(&client, &namespace).get(&target.name).await.map_err(hub::failure(&target.to_string()))?;
        let spec = stored.data.get("spec").cloned().unwrap_or(Value::Null);
        let revision = match self.to_revision {
            Some(number) => numbered(&all, number)?,
            None => previous(&all, &spec)?,
        };
        let (name, number) = (&target.name, revision.number);
        let Some(mut patch) = undo(&spec, revision) else {
            return Ok(format!(
                "modeldeployment.skyfleet.dev/{name} skipped rollback (the spec already matches revision {number})"
            ));
        };
        // What was compared must be what is patched.
        patch["metadata"] = json!({"resourceVersion": stored.resource_version()});
        change(&client, &namespace, target, &patch).await?;
        let paused = spec.pointer("/rollout/paused") == Some(&Value::Bool(true));
        let hint = if paused { "; it is paused: `rollout resume` has it go on" } else { "" };
        Ok(format!("modeldeployment.skyfleet.dev/{name} rolled back to revision {number}{hint}"))
    }
}

fn dynamic(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<ModelDeployment>(&()))
}

async fn change(client: &Client, namespace: &str, target: &Target, patch: &Value) -> Result<(), Failure> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = dynamic(client, namespace).patch(&target.name, &params, &Patch::Merge(patch)).await;
    let conflict = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 409);
    match patched {
        Err(error) if conflict(&error) => {
            Err(Failure::Rollout(format!("{target} was changed by somebody else meanwhile: look, and try again")))
        }
        outcome => outcome.map(|_| ()).map_err(hub::failure(&target.to_string())),
    }
}
