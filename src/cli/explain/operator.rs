//! Asks the operator that leads for its own snapshot, through the hub's API server.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, GetParams};
use kube::core::Request;
use kube::{Client, Error};
use serde::Deserialize;
use skyfleet_plan::placement::Snapshot;

use crate::cli::hub::said;

/// Where the operator serves, unless its own flag `--listen` says otherwise; the chart leaves it there.
const PORT: u16 = 8080;

/// By this the client marks an answer that is no Status.
const NO_STATUS: &str = "Failed to parse error data";
/// How the operator begins when it places nothing.
const NOTHING_DECIDED: &str = "nothing is decided for it: ";

/// Where the operator runs.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OperatorArgs {
    /// The operator's namespace
    #[arg(long, default_value = "skyfleet-system", value_name = "NAMESPACE")]
    operator_namespace: String,
    /// The Lease that says which operator leads
    #[arg(long, default_value = "skyfleet-operator")]
    lease: String,
}

#[derive(Deserialize)]
struct Answer {
    snapshot: Snapshot,
}

/// Why there is no snapshot of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It decides nothing, for this reason.
    NothingDecided(String),
    /// It could not be asked, for this reason.
    NotAsked(String),
}

/// The snapshot that the leading operator would decide on now.
pub(super) async fn ask(
    client: &Client,
    operator: &OperatorArgs,
    namespace: &str,
    name: &str,
) -> Result<Snapshot, NoAnswer> {
    let pod = leader(client, operator).await.map_err(NoAnswer::NotAsked)?;
    let of = &operator.operator_namespace;
    let folder = format!("/api/v1/namespaces/{of}/pods/{pod}:{PORT}/proxy/explain/{namespace}");
    let request =
        Request::new(folder).get(name, &GetParams::default()).map_err(|error| NoAnswer::NotAsked(error.to_string()))?;
    let body = client.request_text(request).await.map_err(|error| refused(&error, &pod))?;
    // Another version of the operator may say it in other words.
    let other = |error| NoAnswer::NotAsked(format!("what {pod} answers is not understood: {error}"));
    serde_json::from_str(&body).map(|answer: Answer| answer.snapshot).map_err(other)
}

/// The pod of the operator that leads.
async fn leader(client: &Client, operator: &OperatorArgs) -> Result<String, String> {
    let OperatorArgs { operator_namespace, lease } = operator;
    let api = Api::<Lease>::namespaced(client.clone(), operator_namespace);
    let found = api.get_opt(lease).await.map_err(|error| said(&error))?;
    let found = found.ok_or_else(|| format!("there is no Lease {lease:?} in the namespace {operator_namespace:?}"))?;
    let holder = found.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    // It becomes a part of a path.
    let is_name = !holder.is_empty()
        && holder.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    match (is_name, holder.is_empty()) {
        (true, _) => Ok(holder),
        (false, true) => Err(format!("nobody holds the Lease {lease:?}: does the operator run?")),
        (false, false) => Err(format!("the Lease {lease:?} is held by {holder:?}, which is no pod")),
    }
}

fn refused(error: &Error, pod: &str) -> NoAnswer {
    NoAnswer::NotAsked(match error {
        // The API server answers with a Status; what is none comes from the operator itself.
        Error::Api(status) if status.reason == NO_STATUS => {
            let text = status.message.lines().next().unwrap_or_default();
            if let (409, Some(why)) = (status.code, text.strip_prefix(NOTHING_DECIDED)) {
                return NoAnswer::NothingDecided(why.to_owned());
            }
            let text = if text.is_empty() { "it does not know the question" } else { text };
            format!("{pod} answers {}: {text}", status.code)
        }
        Error::Api(status) if status.code == 403 => {
            format!("{} (it takes the right to get pods/proxy in its namespace)", status.message)
        }
        other => said(other),
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn who_has_answered_and_what_is_told_apart() {
        let answer = |message: &str, reason: &str, code| {
            refused(&Error::Api(Box::new(Status::failure(message, reason).with_code(code))), "pod-1")
        };
        let not_asked = |why: &str| NoAnswer::NotAsked(why.to_owned());
        assert_eq!(
            answer("nothing is decided for it: no such dataset\n", NO_STATUS, 409),
            NoAnswer::NothingDecided("no such dataset".to_owned())
        );
        assert_eq!(answer("", NO_STATUS, 404), not_asked("pod-1 answers 404: it does not know the question"));
        assert_eq!(answer("pods \"pod-1\" not found", "NotFound", 404), not_asked("pods \"pod-1\" not found"));
        let NoAnswer::NotAsked(why) = answer("pods is forbidden", "Forbidden", 403) else { panic!("it was asked") };
        assert!(why.contains("the right to get pods/proxy"), "{why}");
    }
}
