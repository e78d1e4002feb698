//! `skyfleet rollout`: how a change goes over the clusters, and how it is held and taken back, as kubectl has it for a
//! Deployment.

mod patch;
mod progress;
mod revisions;
mod status;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_api::{ModelDeployment, labels};

use super::failure::Failure;
use super::hub::{self, Found, HubArgs};
use super::target::Target;
use revisions::{Revision, Undo, history, is_current, numbered, previous, revisions, undo};
use status::StatusArgs;

/// Who writes, as the hub's records have it.
const FIELD_MANAGER: &str = "skyfleet-cli";

/// How often an undo is tried: the operator writes its status into the same object.
const ATTEMPTS: u32 = 5;

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
        let (found, target) = (self.find().await?, &self.target);
        if found.model.spec.rollout.as_ref().is_some_and(|rollout| rollout.paused == pause) {
            let is = if pause { "is already paused" } else { "is not paused" };
            return Err(Failure::Rollout(format!("{target:#} {is}")));
        }
        let patched = change(&found, target, &json!({"spec": {"rollout": {"paused": pause}}})).await;
        patched.map_err(hub::failure(&target.to_string()))?;
        Ok(format!("{target:#} {}", if pause { "paused" } else { "resumed" }))
    }

    /// The revisions that are kept of it.
    async fn revisions(&self, found: &Found) -> Result<Vec<Revision>, Failure> {
        let of_model = format!("{}={}", labels::MODEL_DEPLOYMENT, self.target.name);
        let api = Api::<ControllerRevision>::namespaced(found.client.clone(), &found.namespace);
        let kept = api.list(&ListParams::default().labels(&of_model)).await;
        let kept = kept.map_err(hub::failure(&format!("the revisions of {}", self.target)))?;
        revisions(kept.items, &found.model)
    }
}

impl HistoryArgs {
    async fn run(self) -> Result<String, Failure> {
        let found = self.of.find().await?;
        let all = self.of.revisions(&found).await?;
        if let Some(number) = self.revision {
            return super::json(&numbered(&all, number)?.data);
        }
        if all.is_empty() {
            return Ok(format!("no revision of modeldeployment {:?} is kept yet", self.of.target.name));
        }
        Ok(history(&all, found.model.status.as_ref().and_then(|status| status.rollout.as_ref())))
    }
}

impl UndoArgs {
    async fn run(self) -> Result<String, Failure> {
        for _ in 0..ATTEMPTS {
            if let Some(said) = self.attempt().await? {
                return Ok(said);
            }
        }
        Err(Failure::Rollout(format!("{:#} is being changed all the time: try again later", self.of.target)))
    }

    /// What was done; `None` when the object was changed between the look and the change.
    async fn attempt(&self) -> Result<Option<String>, Failure> {
        let found = self.of.find().await?;
        let all = self.of.revisions(&found).await?;
        let target = &self.of.target;
        let revision = match self.to_revision {
            Some(number) => numbered(&all, number)?,
            None => previous(&all, &found.model)?,
        };
        let number = revision.number;
        if is_current(&all, revision, &found.model) {
            return Ok(Some(format!("{target:#} skipped rollback (the spec already matches revision {number})")));
        }
        // As it is stored, with fields that only a newer version knows: they go too when the revision lacks them.
        let stored = dynamic(&found).get(&target.name).await.map_err(hub::failure(&target.to_string()))?;
        let spec = stored.data.get("spec").cloned().unwrap_or_default();
        let Undo { mut patch, pinned } = undo(&all, revision, &found.model, &spec);
        // What was compared must be what is patched.
        patch["metadata"] = json!({"resourceVersion": found.model.resource_version()});
        match change(&found, target, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(None),
            outcome => outcome.map_err(hub::failure(&target.to_string()))?,
        }
        let paused = found.model.spec.rollout.as_ref().is_some_and(|rollout| rollout.paused);
        Ok(Some(undone(target, number, pinned.as_deref(), paused)))
    }
}

fn undone(target: &Target, number: i64, pinned: Option<&str>, paused: bool) -> String {
    let mut lines = vec![format!("{target:#} rolled back to revision {number}")];
    lines.extend(pinned.map(|digest| {
        format!(
            "it stays on the data of that revision, {digest}: remove spec.model.datasetReplica.digest to follow the newest again"
        )
    }));
    lines.extend(paused.then(|| "it is paused: `rollout resume` has it go on".to_owned()));
    lines.join("\n")
}

fn dynamic(found: &Found) -> Api<DynamicObject> {
    Api::namespaced_with(found.client.clone(), &found.namespace, &ApiResource::erase::<ModelDeployment>(&()))
}

async fn change(found: &Found, target: &Target, patch: &Value) -> Result<(), kube::Error> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    dynamic(found).patch(&target.name, &params, &Patch::Merge(patch)).await.map(|_| ())
}
