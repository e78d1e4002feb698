//! What a decision on a ModelDeployment would depend on now, for `kubectl skyfleet explain`: the plugin asks the same plan the
//! same question.

use jiff::Timestamp;
use kube::api::Api;
use serde::Serialize;
use skyfleet_api::ModelDeployment;
use skyfleet_plan::placement::Snapshot;

use super::validate::{Verdict, validate};
use super::{decide, dereference};
use crate::operator::context::Context;
use crate::operator::error::ReconcileError;

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    snapshot: Snapshot,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotExplained {
    #[error("there is no ModelDeployment {1:?} in the namespace {0:?}")]
    NotFound(String, String),
    #[error("nothing is decided for it: {0}")]
    NothingDecided(String),
    #[error("{0}")]
    Failed(#[from] ReconcileError),
}

/// Makes the snapshot of one ModelDeployment. Nothing is decided or entered anywhere.
///
/// # Errors
/// See [`NotExplained`].
pub(crate) async fn explain(context: &Context, namespace: &str, name: &str) -> Result<Explanation, NotExplained> {
    let api = Api::<ModelDeployment>::namespaced(context.hub.clone(), namespace);
    let model = api.get_opt(name).await.map_err(ReconcileError::hub("read the ModelDeployment"))?;
    let model = model.ok_or_else(|| NotExplained::NotFound(namespace.to_owned(), name.to_owned()))?;
    let snapshot = dereference::snapshot(context, &model).await?;
    match validate(&model, &snapshot) {
        Verdict::Place(request) => {
            let mut ledger = context.books.lock();
            let asked = decide::ask(context, &mut ledger, &model, &snapshot, &request, Timestamp::now());
            match asked {
                Ok(asked) => Ok(Explanation { snapshot: asked.question }),
                Err(error) => Err(NotExplained::NothingDecided(error.to_string())),
            }
        }
        Verdict::Refused(findings) | Verdict::Unknown(findings) => {
            let why = findings.first().map(|finding| finding.message.clone()).unwrap_or_default();
            Err(NotExplained::NothingDecided(why))
        }
    }
}
