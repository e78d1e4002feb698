//! The way from a Bucket that names a ServiceAccount to its objects: a hub that gives tokens, a token service that trusts them, and
//! a store that takes what it gives.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse, response::Response};
use kube::{Client, Config};
use serde_json::{Value, json};
use skyfleet_api::BucketSpec;
use skyfleet_api::conditions::Reason;
use skyfleet_e2e::object_store::{SimulatedBucket, SimulatedS3};
use skyfleet_e2e::token_server::{ROLE, TokenServer};
use skyfleet_mirror::{AwsRole, StoreErrorKind};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::apply::connect;
use super::dereference::{Asker, Identity, find};
use super::identities::Identities;
use super::trust::Trust;
use super::validate::access;

const SUBJECT: &str = "subject-hunter2";
const ACCOUNTS: &str = "/api/v1/namespaces/{namespace}/serviceaccounts/{name}";

/// What the hub was asked for, and whether it may give tokens.
#[derive(Default)]
struct Hub {
    asked: Mutex<Vec<(String, Value)>>,
    forbids: bool,
}

fn refusal(code: StatusCode) -> Response {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Forbidden" };
    let status =
        json!({"kind": "Status", "status": "Failure", "code": code.as_u16(), "message": "no", "reason": reason});
    (code, status.to_string()).into_response()
}

async fn account(Path((namespace, name)): Path<(String, String)>) -> Response {
    match (namespace.as_str(), name.as_str()) {
        ("ml", "models" | "plain") => {
            let annotations = if name == "models" { json!({"eks.amazonaws.com/role-arn": ROLE}) } else { json!({}) };
            let metadata = json!({
                "name": name, "namespace": "ml", "uid": "u", "resourceVersion": "7", "annotations": annotations,
            });
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}).to_string().into_response()
        }
        ("ml", "unseen") => refusal(StatusCode::FORBIDDEN),
        _ => refusal(StatusCode::NOT_FOUND),
    }
}

async fn token(State(hub): State<Arc<Hub>>, Path((namespace, name)): Path<(String, String)>, body: String) -> Response {
    if hub.forbids {
        return refusal(StatusCode::FORBIDDEN);
    }
    let mut request: Value = serde_json::from_str(&body).unwrap();
    hub.asked.lock().unwrap().push((format!("{namespace}/{name}"), request["spec"].clone()));
    request["status"] = json!({"token": SUBJECT, "expirationTimestamp": "2030-01-01T00:00:00Z"});
    (StatusCode::CREATED, request.to_string()).into_response()
}

async fn serve(hub: Hub) -> (Arc<Hub>, Client, AbortOnDropHandle<()>) {
    let hub = Arc::new(hub);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route(ACCOUNTS, get(account)).route(&format!("{ACCOUNTS}/token"), post(token));
    let routes = routes.with_state(hub.clone());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let client = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    (hub, client, AbortOnDropHandle::new(server))
}

fn spec(name: &str, identity: &Value, store: &SimulatedS3) -> BucketSpec {
    let spec = json!({"provider": "s3", "name": name, "endpoint": store.endpoint(), "workloadIdentity": identity});
    serde_json::from_value(spec).unwrap()
}

/// As the annotations say, but with the token service of the test.
fn trust(tokens: &TokenServer) -> Trust {
    let (session_name, region) = ("skyfleet-ml-models".to_owned(), "us-east-1".to_owned());
    Trust::Aws(AwsRole { arn: ROLE.to_owned(), session_name, region, endpoint: Some(tokens.endpoint()) })
}

fn service_account() -> k8s_openapi::api::core::v1::ServiceAccount {
    serde_json::from_value(json!({"metadata": {"name": "models", "namespace": "ml", "uid": "u"}})).unwrap()
}

#[tokio::test]
async fn a_bucket_is_opened_by_a_token_of_its_service_account() {
    let (hub, client, _running) = serve(Hub::default()).await;
    let (store, tokens) = (SimulatedS3::start().await.unwrap(), TokenServer::start(SUBJECT).await.unwrap());
    store.admit_only(tokens.grants());
    let identities = Identities::new(client, false);
    for name in ["one-bucket", "another-bucket"] {
        store.set_bucket(name, SimulatedBucket::default());
        let federation = identities.federation("ml", &service_account(), trust(&tokens));
        let asker =
            Asker::Identity(Box::new(Ok(Identity::Federated { federation, account: Box::default(), version: None })));
        let spec = spec(name, &json!({"serviceAccountName": "models"}), &store);
        connect(access(&spec, &asker).unwrap()).await.unwrap().list_page("", None).await.unwrap();
    }
    let wanted = json!({"audiences": ["sts.amazonaws.com"], "expirationSeconds": 600});
    assert_eq!(*hub.asked.lock().unwrap(), [("ml/models".to_owned(), wanted)], "both share what the first was given");
    assert_eq!((tokens.grants().given(), tokens.refused()), (1, 0));
}

#[tokio::test]
async fn what_is_missing_on_the_hub_is_said() {
    let (_hub, client, _running) = serve(Hub::default()).await;
    let store = SimulatedS3::start().await.unwrap();
    let identities = Identities::new(client.clone(), false);
    for (identity, expected) in [
        (json!({"serviceAccountName": "models"}), None),
        (json!({"serviceAccountName": "none"}), Some((Reason::ReferenceNotFound, "no ServiceAccount \"none\""))),
        (json!({"serviceAccountName": "plain"}), Some((Reason::InvalidCredentials, "eks.amazonaws.com/role-arn"))),
        (
            json!({"serviceAccountName": "unseen"}),
            Some((Reason::PermissionDenied, "rbac.serviceAccountTokens.enabled")),
        ),
        (json!({}), Some((Reason::PermissionDenied, "buckets.ownIdentity"))),
    ] {
        let spec = spec("models", &identity, &store);
        let asker = find(&client, &identities, "ml", &spec).await.unwrap();
        match (access(&spec, &asker), expected) {
            (Ok(access), None) => assert_eq!(access.credentials_version.as_deref(), Some("7")),
            (Err(refusal), Some((reason, says))) => {
                assert!(refusal.reason == reason && refusal.message.contains(says), "{identity}: {refusal:?}");
                assert!(!refusal.passing, "{identity}");
            }
            (found, _) => panic!("{identity}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_hub_that_gives_no_tokens_is_told_from_a_cloud_that_takes_none() {
    let (_hub, client, _running) = serve(Hub { forbids: true, ..Hub::default() }).await;
    let (store, tokens) = (SimulatedS3::start().await.unwrap(), TokenServer::start("another").await.unwrap());
    let federation = Identities::new(client, false).federation("ml", &service_account(), trust(&tokens));
    let asker =
        Asker::Identity(Box::new(Ok(Identity::Federated { federation, account: Box::default(), version: None })));
    let spec = spec("models", &json!({"serviceAccountName": "models"}), &store);
    let error = connect(access(&spec, &asker).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::IdentityRefused);
    assert!(error.detail.contains("rbac.serviceAccountTokens.enabled=true"), "{error}");
    assert_eq!(tokens.refused(), 0, "the cloud was not asked");
}
