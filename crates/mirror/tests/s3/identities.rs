//! Credentials that end: of a role, and temporary ones that a person gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_e2e::token_server::{ROLE, TokenServer};
use skyfleet_mirror::{
    AwsFederation, AwsRole, Credentials, MirrorOptions, ObjectStore, Replica, RetryClass, S3Location, S3Store,
    StoreError, StoreErrorKind, TokenError, TokenSource, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::quick;

const SUBJECT: &str = "subject-hunter2";

/// Says the same each time.
#[derive(Debug)]
struct Says(Result<String, TokenError>);

#[async_trait]
impl TokenSource for Says {
    async fn token(&self) -> Result<String, TokenError> {
        self.0.clone()
    }
}

fn role(tokens: &TokenServer, says: Result<String, TokenError>) -> AwsFederation {
    let role = AwsRole {
        arn: ROLE.to_owned(),
        session_name: "skyfleet-ml-models".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: Some(tokens.endpoint()),
    };
    AwsFederation::new(role, Arc::new(Says(says)))
}

async fn servers() -> (SimulatedS3, TokenServer) {
    let (server, tokens) = (SimulatedS3::start().await.unwrap(), TokenServer::start(SUBJECT).await.unwrap());
    server.admit_only(tokens.grants());
    (server, tokens)
}

async fn open(
    server: &SimulatedS3,
    bucket: &str,
    credentials: Credentials,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let location = S3Location::new(Some(server.endpoint()), None, bucket.to_owned(), String::new());
    Ok(Arc::new(S3Store::connect(location, credentials, quick()).await?))
}

fn trusted(tokens: &TokenServer) -> Credentials {
    Credentials::Federated(role(tokens, Ok(SUBJECT.to_owned())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_goes_on_when_its_credentials_are_taken_back_again_and_again() {
    const OBJECTS: usize = 800;
    let (server, tokens) = servers().await;
    let keys = (0..OBJECTS).map(|number| format!("{number:04}"));
    server.set_bucket("source", SimulatedBucket::default().with(keys, &Contents::of("content".into())));
    server.set_bucket("target", SimulatedBucket::default());
    let (asked, grants) = (AtomicUsize::new(0), tokens.grants().clone());
    server.script(move |_: &Asked| {
        if asked.fetch_add(1, Ordering::SeqCst) % 300 == 299 {
            grants.revoke();
        }
        Fault::None
    });
    // One identity for both: they share its credentials.
    let credentials = trusted(&tokens);
    let [source, target] = ["source", "target"].map(|bucket| open(&server, bucket, credentials.clone()));
    let replica = |store| Replica { store, prefix: String::new() };
    let (source, target) = (replica(source.await.unwrap()), replica(target.await.unwrap()));
    let cancel = CancellationToken::new();
    let report = mirror(&source, &[target], &MirrorOptions::default(), &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.targets[0].copied, report.targets[0].failed), (OBJECTS as u64, 0));
    assert_eq!(server.bucket("target").unwrap().keys().filter(|key| !key.starts_with('.')).count(), OBJECTS);
    let (given, expired) = (tokens.grants().given(), server.expired());
    assert!(given >= 5 && expired >= given - 1, "{given} given, {expired} refused");
    // Requests that met the same end were not each given credentials of their own.
    assert!(given <= 12, "{given} given");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_is_understood_too() {
    let (server, tokens) = servers().await;
    server.set_bucket("source", SimulatedBucket::default().with(["key".to_owned()], &Contents::of("content".into())));
    let store = open(&server, "source", trusted(&tokens)).await.unwrap();
    tokens.grants().revoke();
    assert_eq!(store.head("key").await.unwrap().size, 7);
    assert_eq!((server.expired(), tokens.grants().given()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_renewed_before_their_end() {
    let (server, tokens) = servers().await;
    tokens.set_lifetime(Duration::from_secs(2), Duration::from_secs(2));
    server.set_bucket("source", SimulatedBucket::default());
    let store = open(&server, "source", trusted(&tokens)).await.unwrap();
    let start = Instant::now();
    for _ in 0..80 {
        store.list_page("", None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.expired(), 0, "none was used after its end");
    let given = tokens.grants().given();
    // One a second, whatever the speed of the machine, and not one a request.
    let most = usize::try_from(start.elapsed().as_secs()).unwrap() + 2;
    assert!((3..=most).contains(&given), "{given} given, {most} at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_nobody_trusts_is_refused_with_what_was_said() {
    let (server, tokens) = servers().await;
    for (says, kind, class, said) in [
        (Ok("hunter2".to_owned()), StoreErrorKind::IdentityRefused, RetryClass::Permanent, "InvalidIdentityToken: No"),
        (
            Err(TokenError::Refused("ask somebody".to_owned())),
            StoreErrorKind::IdentityRefused,
            RetryClass::Permanent,
            "ask somebody",
        ),
        (
            Err(TokenError::Unavailable("come again".to_owned())),
            StoreErrorKind::IdentityUnavailable,
            RetryClass::Transient,
            "come again",
        ),
    ] {
        let credentials = Credentials::Federated(role(&tokens, says));
        let error = open(&server, "source", credentials.clone()).await.unwrap_err();
        assert_eq!((&error.kind, error.retry()), (&kind, class));
        assert!(error.detail.contains(said), "{error}");
        assert!(!format!("{error} {error:?} {credentials:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(tokens.refused(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_that_does_not_answer_may_answer_soon() {
    let (server, tokens) = servers().await;
    let federation = role(&tokens, Ok(SUBJECT.to_owned()));
    drop(tokens);
    let error = open(&server, "source", Credentials::Federated(federation)).await.unwrap_err();
    assert_eq!((&error.kind, error.retry()), (&StoreErrorKind::IdentityUnavailable, RetryClass::Transient));
    assert!(error.detail.contains(ROLE) && !format!("{error:?}").contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_credentials_of_a_person_end_with_a_message() {
    let (server, _tokens) = servers().await;
    server.set_bucket("source", SimulatedBucket::default());
    let credentials = Credentials::Static {
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: "hunter2".to_owned(),
        session_token: Some("old".to_owned()),
    };
    let store = open(&server, "source", credentials).await.unwrap();
    let error = store.list_page("", None).await.unwrap_err();
    assert_eq!(
        (error.kind, server.expired()),
        (StoreErrorKind::CredentialsExpired, 1),
        "asked once: there are no others"
    );
}
