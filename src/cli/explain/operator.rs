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

/// The snapshot that the leading operator would decide on now.
///
/// # Errors
/// Why it could not be asked, in words.
pub(super) async fn ask(
    client: &Client,
    operator: &OperatorArgs,
    namespace: &str,
    name: &str,
) -> Result<Snapshot, String> {
    let pod = leader(client, operator).await?;
    let of = &operator.operator_namespace;
    let folder = format!("/api/v1/namespaces/{of}/pods/{pod}:{PORT}/proxy/explain/{namespace}");
    let request = Request::new(folder).get(name, &GetParams::default()).map_err(|error| error.to_string())?;
    let body = client.request_text(request).await.map_err(|error| refused(&error, &pod))?;
    let answer: Answer = serde_json::from_str(&body).map_err(|error| format!("{pod} answers in other words: {error}"))?;
    Ok(answer.snapshot)
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

fn refused(error: &Error, pod: &str) -> String {
    match error {
        // The API server answers with a Status; what is none comes from the operator itself.
        Error::Api(status) if status.reason == "Failed to parse error data" => {
            let text = status.message.lines().next().filter(|line| !line.is_empty());
            format!("{pod} answers {}: {}", status.code, text.unwrap_or("it does not know the question"))
        }
        Error::Api(status) if status.code == 403 => {
            format!("{} (it takes the right to get pods/proxy in its namespace)", status.message)
        }
        other => said(other),
    }
}
