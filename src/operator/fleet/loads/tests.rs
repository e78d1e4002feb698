mod member;

use std::time::Duration;

use skyfleet_api::model_deployment::RuntimeMetrics;
use skyfleet_plan::load::{Load, Reading};

use super::*;
use member::{Answer, FakeMember};

const MODEL: (&str, &str) = ("team-a", "minilm");

fn metrics() -> RuntimeMetrics {
    let name = |name: &str| Some(name.to_owned());
    RuntimeMetrics {
        path: "/metrics".to_owned(),
        port: Some(8080),
        queued: name("queued"),
        requests: name("requests"),
        errors: name("errors"),
        ..RuntimeMetrics::default()
    }
}

fn collector(member: &FakeMember) -> Collector {
    let reading = Reading::new(&metrics()).expect("good names");
    let key = (MODEL.0.to_owned(), MODEL.1.to_owned());
    Collector::new(member.source.clone(), Arc::new(Semaphore::new(REQUESTS_AT_ONCE)), key, reading)
}

fn body(queued: u32, requests: u32, errors: u32) -> Answer {
    Answer::Body(format!("queued {queued}\nrequests {requests}\nerrors {errors}\n"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number of seconds")
}

async fn round(collector: &mut Collector, second: i64) -> Option<Load> {
    collector.round(|| at(second)).await
}

#[tokio::test]
async fn ready_pods_are_added_up_and_a_restarted_counter_counts_from_zero() {
    let member = FakeMember::start().await;
    member.pod("a", body(3, 100, 1));
    member.pod("b", body(4, 50, 0));
    member.unready_pod("c");
    let mut collector = collector(&member);
    let first = round(&mut collector, 0).await.expect("a report");
    assert_eq!((first.observed, first.reporting, first.queued, first.requests), (at(0), 2, Some(7.0), None));
    member.pod("a", body(0, 110, 3));
    member.pod("b", body(1, 10, 0));
    let second = round(&mut collector, 15).await.expect("a report");
    assert_eq!((second.queued, second.requests, second.error_ratio), (Some(1.0), Some(20.0), Some(0.1)));
    let selector = "app.kubernetes.io/managed-by=skyfleet,skyfleet.dev/hub=hub-1,skyfleet.dev/model-deployment=minilm";
    assert_eq!(member.selector().as_deref(), Some(selector));
    assert_eq!(member.counted("reported"), 4);
}

#[tokio::test]
async fn pods_that_hang_fail_or_say_too_much_are_no_report_and_harm_no_other() {
    let member = FakeMember::start().await;
    member.pod("good", body(3, 1, 0));
    member.pod("hangs", Answer::Hang);
    member.pod("hangs-in-the-body", Answer::HangInBody);
    member.pod("endless", Answer::Endless);
    member.pod("html", Answer::Body("<html>".to_owned()));
    member.pod("other", Answer::Body("something_else 1\n".to_owned()));
    member.pod("refuses", Answer::Status(403));
    member.pod("redirects", Answer::Status(302));
    let load = round(&mut collector(&member), 0).await.expect("a report");
    assert_eq!((load.reporting, load.queued), (2, Some(3.0)));
    for (outcome, count) in [
        ("reported", 1),
        ("nothing", 1),
        ("timed_out", 2),
        ("too_large", 1),
        ("unreadable", 1),
        ("denied", 1),
        ("failed", 1),
    ] {
        assert_eq!(member.counted(outcome), count, "{outcome}");
    }
}

#[tokio::test]
async fn requests_at_once_are_bounded_by_model_and_by_member() {
    let member = FakeMember::start().await;
    for (model, pod) in ["minilm", "second", "third"].into_iter().flat_map(|model| (0..6).map(move |pod| (model, pod)))
    {
        member.pod_of(model, &format!("{model}-{pod}"), Answer::Slow("queued 1\n".to_owned()));
    }
    let load = round(&mut collector(&member), 0).await.expect("a report");
    assert_eq!((load.reporting, member.at_once()), (6, 2));
    let loads = Loads::new(member.another_source());
    for model in ["minilm", "second", "third"] {
        member.deployment(model, 6);
        loads.watch(MODEL.0, model, &metrics()).expect("good metrics");
    }
    until("all are at work", || member.at_once() >= 4).await;
    until("each reported", || ["minilm", "second", "third"].iter().all(|model| loads.load(MODEL.0, model).is_some()))
        .await;
    assert_eq!(member.at_once(), 4);
}

#[tokio::test]
async fn a_body_just_below_the_bound_is_read() {
    let member = FakeMember::start().await;
    let comment = format!("# {}\n", "x".repeat((4 << 20) - 20));
    member.pod("a", Answer::Body(format!("{comment}queued 5\n")));
    assert_eq!(round(&mut collector(&member), 0).await.and_then(|load| load.queued), Some(5.0));
}

#[tokio::test]
async fn a_silent_pod_is_left_in_peace_for_longer_and_longer() {
    let member = FakeMember::start().await;
    member.pod("a", Answer::Status(500));
    let mut collector = collector(&member);
    let mut asked_in = Vec::new();
    for number in 1..=22 {
        let before = member.counted("failed");
        assert_eq!(round(&mut collector, 0).await, None);
        if member.counted("failed") > before {
            asked_in.push(number);
        }
    }
    assert_eq!(asked_in, [1, 2, 4, 8, 16]);
    member.pod("a", body(1, 0, 0));
    for _ in 23..=24 {
        round(&mut collector, 0).await;
    }
    assert_eq!(member.counted("reported"), 1, "asked again in round 24");
    member.pod("a", Answer::Status(500));
    for _ in 0..2 {
        round(&mut collector, 0).await;
    }
    assert_eq!(member.counted("failed"), 7, "what it had answered in between was forgiven");
}

#[tokio::test]
async fn few_silent_pods_are_tried_again_in_one_round() {
    let member = FakeMember::start().await;
    for number in 0..20 {
        member.pod(&format!("pod-{number}"), Answer::Status(500));
    }
    member.pod("good", body(1, 1, 0));
    let mut collector = collector(&member);
    let mut tried = Vec::new();
    for _ in 0..12 {
        let before = member.counted("failed");
        round(&mut collector, 0).await.expect("the good one reports");
        tried.push(member.counted("failed") - before);
    }
    assert_eq!(tried[..2], [20, 20]);
    assert!(tried[2..].iter().all(|count| *count <= 4), "{tried:?}");
    assert!(tried[2..].iter().sum::<u64>() >= 20, "each got its turn: {tried:?}");
}

#[tokio::test]
async fn of_very_many_pods_always_the_same_are_asked() {
    let member = FakeMember::start().await;
    for number in 0..40 {
        member.pod(&format!("pod-{number}"), body(1, 10, 0));
    }
    let mut collector = collector(&member);
    for second in [0, 15] {
        let load = round(&mut collector, second).await.expect("a report");
        assert_eq!((load.reporting, load.queued), (32, Some(32.0)));
        assert_eq!(load.scaled_to(40).queued, Some(40.0));
    }
    assert_eq!(member.asked().len(), 32, "{:?}", member.asked());
}

#[tokio::test]
async fn without_the_right_to_list_nothing_is_known() {
    let member = FakeMember::start().await;
    member.pod("a", body(1, 1, 1));
    member.refuse_lists();
    assert_eq!(round(&mut collector(&member), 0).await, None);
    assert_eq!((member.counted("denied"), member.asked().len()), (1, 0));
}

/// Waits, however slow the machine is, until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn only_what_is_watched_is_asked_and_each_report_triggers_its_model_deployment() {
    let member = FakeMember::start().await;
    member.pod("a", body(1, 1, 0));
    let loads = Loads::new(member.another_source());
    member.deployment("minilm", 1);
    assert!(loads.watch(MODEL.0, MODEL.1, &RuntimeMetrics { port: None, ..metrics() }).is_err());
    sleep(Duration::from_millis(200)).await;
    assert_eq!((member.lists(), loads.load(MODEL.0, MODEL.1)), (0, None), "nobody asked for anything");

    loads.watch(MODEL.0, MODEL.1, &metrics()).expect("good metrics");
    let triggered = member.triggered().await;
    assert_eq!((triggered.namespace.as_deref(), triggered.name.as_str()), (Some("team-a"), "minilm"));
    assert_eq!(loads.load(MODEL.0, MODEL.1).and_then(|load| load.queued), Some(1.0));
    until("differences follow", || {
        loads.watch(MODEL.0, MODEL.1, &metrics()).expect("to say it again changes nothing");
        loads.load(MODEL.0, MODEL.1).is_some_and(|load| load.requests == Some(0.0))
    })
    .await;

    loads.forget(MODEL.0, MODEL.1);
    assert_eq!(loads.load(MODEL.0, MODEL.1), None);
    member.settle().await;
    let lists = member.lists();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(member.lists(), lists, "what was forgotten is asked no more");
}

#[tokio::test]
async fn nobody_is_asked_where_nobody_is_ready_or_the_member_is_lost() {
    let member = FakeMember::start().await;
    member.pod("a", body(1, 1, 0));
    let loads = Loads::new(member.another_source());
    loads.watch(MODEL.0, MODEL.1, &metrics()).expect("good metrics");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(member.lists(), 0, "there is no Deployment");
    member.deployment("minilm", 1);
    until("it is asked", || loads.load(MODEL.0, MODEL.1).is_some()).await;
    member.lose();
    member.settle().await;
    let lists = member.lists();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(member.lists(), lists, "a lost member is not asked");
    assert_eq!(loads.load(MODEL.0, MODEL.1).map(|load| load.reporting), Some(1), "what was known is not forgotten");
}

#[tokio::test]
async fn a_model_whose_pods_all_hang_holds_up_no_other() {
    let member = FakeMember::start().await;
    member.deployment("minilm", 1);
    member.deployment("broken", 30);
    member.pod("a", body(1, 1, 0));
    for number in 0..30 {
        member.pod_of("broken", &format!("broken-{number}"), Answer::Hang);
    }
    let loads = Loads::new(member.another_source());
    loads.watch(MODEL.0, "broken", &metrics()).expect("good metrics");
    until("it hangs", || member.at_once() >= 2).await;
    loads.watch(MODEL.0, MODEL.1, &metrics()).expect("good metrics");
    for _ in 0..5 {
        assert_eq!(member.triggered().await.name, MODEL.1);
    }
    assert!(member.counted("timed_out") < 30, "the broken one was through before the good one had its turns");
    assert_eq!(loads.load(MODEL.0, "broken"), None);
}
