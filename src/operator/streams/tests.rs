use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use skyfleet_mirror::Filter;
use skyfleet_stream::{Change, LookOutcome, Origin, TargetOutcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

fn teller(token: Option<&str>) -> Teller {
    Teller {
        origin: Origin::Azure { account: Some("acme".to_owned()), container: "data".to_owned() },
        prefix: "team/".to_owned(),
        token: token.map(|token| token.as_bytes().to_vec()),
        queue: None,
        version: format!("{token:?}"),
    }
}

fn selection(version: &str) -> Selection {
    let filter = Filter::new(&[], &["**/*.tmp".to_owned()]).expect("a filter");
    Selection { prefix: "raw/".to_owned(), filter, targets: 1, version: version.to_owned() }
}

fn bucket() -> BucketName {
    ("ml".to_owned(), "data".to_owned())
}

fn streams(receives: bool) -> (Arc<Streams>, mpsc::Receiver<Reference>) {
    let (wake, woken) = mpsc::channel(8);
    (Arc::new(Streams::new(wake, receives, Metrics::new())), woken)
}

fn follow(streams: &Arc<Streams>, uid: &str, teller: Teller, selection: Selection) -> Arc<Stream> {
    streams.follow((uid, Reference::new(uid)), (bucket(), teller), selection, Timestamp::now())
}

fn change(container: &str, account: Option<&str>, key: Option<&str>) -> Change {
    let origin = Origin::Azure { account: account.map(str::to_owned), container: container.to_owned() };
    Change { origin, key: key.map(str::to_owned), at: None }
}

/// As after a look at everything.
fn listed(stream: &Stream) {
    stream.begin_listing(Timestamp::now());
    stream.end_listing(&[true]);
}

#[tokio::test]
async fn only_changes_of_its_own_objects_are_kept() {
    let (streams, mut woken) = streams(true);
    let stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    assert!(stream.needs_listing(), "what was told before is not known");
    listed(&stream);
    let changes = [
        change("data", Some("acme"), Some("team/raw/a")),
        change("data", None, Some("team/raw/b")),
        change("data", Some("acme"), Some("team/raw/x/c.tmp")),
        change("data", Some("acme"), Some("team/raw/.skyfleet/state/x")),
        change("data", Some("acme"), Some("team/other/d")),
        change("data", Some("acme"), Some("e")),
        change("data", Some("other"), Some("team/raw/f")),
        change("elsewhere", Some("acme"), Some("team/raw/g")),
        Change { origin: Origin::Unsaid, key: Some("team/raw/h".to_owned()), at: None },
    ];
    streams.tell(&bucket(), &changes, Timestamp::now());
    streams.tell(&("ml".to_owned(), "unread".to_owned()), &changes, Timestamp::now());
    let woken = tokio::time::timeout(Duration::from_secs(20), woken.recv()).await.expect("it is woken");
    assert_eq!(woken.expect("a reference").name, "one");
    assert_eq!(stream.take(), (["a", "b", "h"].map(str::to_owned).to_vec(), vec![true], vec![0]));
    assert_eq!(streams.measure(Timestamp::now()).0, 3);
    let targets = [(0, TargetOutcome::default())].into();
    stream.end_look(&LookOutcome::Ended { unread: BTreeSet::new(), targets });
    assert_eq!(streams.measure(Timestamp::now()), (0, None));
}

#[tokio::test]
async fn a_folder_that_went_needs_a_look_at_everything() {
    let (streams, _woken) = streams(true);
    let stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    listed(&stream);
    streams.tell(&bucket(), &[change("data", None, None)], Timestamp::now());
    assert!(stream.needs_listing());
}

#[tokio::test]
async fn who_shows_the_token_may_tell_and_nobody_else() {
    let (streams, _woken) = streams(true);
    assert!(!streams.admits(&bucket(), Some(b"t")), "nobody reads it");
    let _stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    assert!(streams.admits(&bucket(), Some(b"t")));
    for wrong in [None, Some(&b"T"[..]), Some(b""), Some(b"tt")] {
        assert!(!streams.admits(&bucket(), wrong), "{wrong:?}");
    }
    // The Secret has another one now; then the Bucket has no webhook any more.
    let _stream = follow(&streams, "one", teller(Some("new")), selection("1"));
    assert!(streams.admits(&bucket(), Some(b"new")) && !streams.admits(&bucket(), Some(b"t")));
    let _stream = follow(&streams, "one", teller(None), selection("1"));
    assert!(!streams.admits(&bucket(), None) && !streams.admits(&bucket(), Some(b"new")));
    streams.leave("one");
    assert!(!streams.admits(&bucket(), Some(b"new")));
}

#[tokio::test]
async fn what_was_told_stays_as_long_as_the_same_is_read() {
    let (streams, _woken) = streams(true);
    let stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    listed(&stream);
    streams.tell(&bucket(), &[change("data", None, Some("team/raw/a"))], Timestamp::now());
    assert!(Arc::ptr_eq(&stream, &follow(&streams, "one", teller(Some("new")), selection("1"))));
    let other = follow(&streams, "one", teller(Some("new")), selection("2"));
    assert!(!Arc::ptr_eq(&stream, &other) && other.needs_listing(), "another filter or other targets");
    streams.retain(&BTreeSet::new());
    assert!(streams.lock().buckets.is_empty() && streams.lock().streams.is_empty());
}

#[tokio::test]
async fn a_webhook_that_nobody_can_reach_is_said() {
    let (streams, _woken) = streams(false);
    let _stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    assert!(streams.error(&bucket()).is_some_and(|error| error.contains("--notifications-listen")));
    let (streams, _woken) = self::streams(true);
    let _stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    assert_eq!(streams.error(&bucket()), None);
}

#[tokio::test]
async fn what_was_said_a_moment_ago_is_not_said_again() {
    let (streams, _woken) = streams(true);
    let stream = follow(&streams, "one", teller(Some("t")), selection("1"));
    let at = |second: i64| Timestamp::from_second(1000 + second).expect("a time");
    assert_eq!(stream.silence(at(0)), None);
    assert_eq!(stream.silence(at(4)), Some(Duration::from_secs(6)));
    assert_eq!(stream.silence(at(10)), None);
    assert_eq!(stream.silence(at(5)), Some(Duration::from_secs(10)), "a clock that was set back");
}

/// A server of the operator's; asks it, and gives the whole answer.
async fn ask(streams: Option<Arc<Streams>>, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, routes(Arc::new(move || streams.clone()))).await });
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    server.abort();
    answer
}

fn post(query: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /notifications/ml/data{query} HTTP/1.0\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn clouds_are_answered_as_they_want_to_be() {
    let (streams, _woken) = streams(true);
    let stream = follow(&streams, "one", teller(Some("t k")), selection("1"));
    listed(&stream);
    let ask = async |request: String| ask(Some(streams.clone()), &request).await;
    let keys = r#"{"keys": ["team/raw/a", "b"]}"#;
    for (query, headers) in [("?token=t+k", ""), ("?x=1&token=t%20k", ""), ("", "Authorization: Bearer t k\r\n")] {
        let answer = ask(post(query, headers, keys)).await;
        assert!(answer.contains(" 200 ") && answer.ends_with("2 changes\n"), "{answer}");
    }
    assert_eq!(stream.take().0, ["a"]);
    for (query, headers) in [("", ""), ("?token=other", ""), ("?token=t+k", "Authorization: Bearer other\r\n")] {
        let answer = ask(post(query, headers, keys)).await;
        assert!(answer.contains(" 401 ") && answer.contains("spec.notifications.webhook"), "{answer}");
    }
    let validating =
        r#"[{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d"}}]"#;
    let answer = ask(post("?token=t+k", "aeg-event-type: SubscriptionValidation\r\n", validating)).await;
    assert!(answer.ends_with(r#"{"validationResponse":"512d"}"#), "{answer}");
    let asking = "WebHook-Request-Origin: eventgrid.azure.net\r\n";
    let options = |query: &str| format!("OPTIONS /notifications/ml/data{query} HTTP/1.0\r\n{asking}\r\n");
    let answer = ask(options("?token=t+k")).await.to_ascii_lowercase();
    assert!(answer.contains(" 200 ") && answer.contains("webhook-allowed-origin: eventgrid.azure.net"), "{answer}");
    assert!(ask(options("")).await.contains(" 401 "));
    let answer = ask(post("?token=t+k", "", "hello")).await;
    assert!(answer.contains(" 400 ") && answer.contains("expected one of Amazon S3"), "{answer}");
}

#[tokio::test]
async fn an_operator_that_does_not_lead_asks_to_send_it_again() {
    let answer = ask(None, &post("?token=t", "", "{}")).await;
    assert!(answer.contains(" 503 ") && answer.to_ascii_lowercase().contains("retry-after: 1"), "{answer}");
}
