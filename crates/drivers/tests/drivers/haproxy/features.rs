//! What routes say beyond shares, as HAProxy itself does it.

use std::time::Duration;

use hyper::StatusCode;
use skyfleet_drivers::Driver as _;
use skyfleet_gateway::config::{
    Affinity, AffinityBy, Algorithm, Config, HealthConfig, Locality, Matching, Protocol, QueueConfig, RateLimits,
    Rates, RouteConfig,
};

use super::running::Running;
use crate::balancer::Balancer;
use crate::client::{Answer, Asked, Client, get};
use crate::load::{Load, ask};
use crate::replica::Replica;
use crate::routes::{HOST, route, to};

fn affinity(by: AffinityBy) -> Affinity {
    Affinity { by, bound_percent: 125 }
}

fn health(path: &str) -> HealthConfig {
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(5));
    HealthConfig { path: Some(path.to_owned()), interval, timeout, rise: 1, fall: 1 }
}

/// One route of each kind, with the names that users might choose to break out.
fn all_kinds(replicas: &[(&Replica, u32)]) -> Config {
    let of = |name: &str, change: &dyn Fn(&mut RouteConfig)| {
        let mut route = route(name, &format!("{name}.example.com"), replicas);
        change(&mut route);
        route
    };
    let rates = Some(Rates { requests_per_minute: Some(60), tokens_per_minute: None });
    let hostile = "a b'\"#%[x]\\};\u{e9}\n";
    let routes = vec![
        of("header", &|one| one.affinity = Some(affinity(AffinityBy::Header("x-session".to_owned())))),
        of("address", &|one| one.affinity = Some(affinity(AffinityBy::ClientAddress))),
        of("cookie", &|one| {
            one.affinity =
                Some(affinity(AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(Duration::from_mins(1)) }));
        }),
        of("prefix", &|one| one.affinity = Some(affinity(AffinityBy::PromptPrefix(64)))),
        of("time", &|one| one.algorithm = Algorithm::LeastResponseTime),
        of("least", &|one| one.algorithm = Algorithm::LeastConnection),
        of("http2", &|one| (one.protocol, one.health) = (Protocol::Http2, Some(health("/health")))),
        of("locality", &|one| one.locality = Some(Locality { cluster: "aws-1".to_owned(), spill_over_percent: 80 })),
        of("elsewhere", &|one| one.locality = Some(Locality { cluster: "b".to_owned(), spill_over_percent: 80 })),
        of("slow-start", &|one| one.slow_start = Duration::from_secs(9)),
        of("once", &|one| (one.retries.attempts, one.ejection.most_percent) = (0, 0)),
        of("limits", &|one| {
            one.limits = RateLimits { client_header: Some("x-key".to_owned()), per_client: rates, total: rates };
            one.most_in_flight = Some(2);
            one.queue = Some(QueueConfig { most: 5, timeout: Duration::from_secs(5) });
        }),
        of("hostile", &|one| {
            one.name = format!("ml/{hostile}");
            one.matching.models = vec![hostile.to_owned(), "llama 3, the 2nd".to_owned()];
            one.matching.path_prefixes = vec![format!("/{hostile}"), "/v1".to_owned()];
            one.health = Some(health("/health'\"#%[x]\\}; \u{e9}"));
        }),
    ];
    Config { routes }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_of_each_kind_are_taken_and_changed_without_a_reload() {
    let balancer = Running::start().await;
    let [a, b, c] = ["a", "b", "c"].map(Replica::start);
    balancer.settle(&all_kinds(&[(&a, 1), (&b, 1)])).await;
    let before = balancer.process().await;
    balancer.settle(&all_kinds(&[(&b, 2), (&c, 1)])).await;
    assert_eq!(balancer.process().await, before, "it was reloaded");
    for name in ["header", "address", "cookie", "prefix", "time", "least", "elsewhere", "slow-start", "once", "limits"]
    {
        let answer = get(balancer.address(), &format!("{name}.example.com"), "/x").await;
        assert!(matches!(answer.server(), Some("b" | "c")), "{name}: {answer:?}");
    }
    assert_eq!(balancer.apply(&all_kinds(&[(&b, 2), (&c, 1)])).await.steps, 0);
}

async fn with(balancer: &Running, header: Option<(&str, &str)>, path: &str) -> Answer {
    Client::new(balancer.address()).get(Asked { host: HOST, path, header }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_known_by_their_header() {
    let balancer = Running::start().await;
    let [a, b, c] = ["llama", "other", "any"].map(Replica::start);
    let of = |replica: &Replica, path: &str, models: &[&str]| {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        let path_prefixes = vec![path.to_owned()];
        RouteConfig {
            matching: Matching { hosts: vec![], path_prefixes, models },
            ..route(replica.name, HOST, &[(replica, 1)])
        }
    };
    let routes =
        vec![of(&c, "/", &[]), of(&a, "/v1", &["llama", "org/llama 3, it's \"new\""]), of(&b, "/", &["o.her"])];
    balancer.settle(&Config { routes }).await;
    for (model, path, expected) in [
        (None, "/v1", "any"),
        (Some("llama"), "/v1/x", "llama"),
        (Some("llama"), "/x", "any"),
        (Some("llama2"), "/v1", "any"),
        (Some("xllama"), "/v1", "any"),
        (Some("org/llama 3, it's \"new\""), "/v1", "llama"),
        (Some("o.her"), "/v1", "other"),
        (Some("other"), "/v1", "any"),
        (Some("LLAMA"), "/v1", "any"),
    ] {
        let header = model.map(|model| ("X-Gateway-Model-Name", model));
        assert_eq!(with(&balancer, header, path).await.server(), Some(expected), "{model:?} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_keeps_to_its_server() {
    let balancer = Running::start().await;
    let replicas = ["a", "b", "c"].map(Replica::start);
    let mut config = to(&replicas.each_ref());
    let ttl = Some(Duration::from_mins(1));
    config.routes[0].affinity = Some(affinity(AffinityBy::Cookie { name: "replica".to_owned(), ttl }));
    balancer.settle(&config).await;
    for _ in 0..8 {
        let first = with(&balancer, None, "/").await;
        let cookie = first.header("set-cookie").expect("a cookie");
        assert!(cookie.starts_with("replica=") && cookie.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"));
        let own = cookie.split(';').next().unwrap();
        let again = with(&balancer, Some(("cookie", own)), "/").await;
        assert_eq!((again.server(), again.header("set-cookie")), (first.server(), None), "{own}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept() {
    let balancer = Running::start().await;
    let replica = Replica::start("a");
    let rates =
        |requests_per_minute| Some(Rates { requests_per_minute: Some(requests_per_minute), tokens_per_minute: None });
    let mut config = to(&[&replica]);
    config.routes[0].limits =
        RateLimits { client_header: Some("x-key".to_owned()), per_client: rates(3), total: rates(5) };
    balancer.settle(&config).await;
    let mut codes = Vec::new();
    for key in ["one", "one", "one", "one", "two", "two", "two"] {
        let answer = with(&balancer, Some(("x-key", key)), "/").await;
        codes.push(answer.status.as_u16());
        assert_eq!(answer.header("retry-after").is_some(), answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(
        codes,
        [200, 200, 200, 429, 200, 200, 429],
        "three a client, five in all, and what was refused counts not"
    );
    let answer = with(&balancer, Some(("content-length", "16777217")), "/").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_all_full_is_answered_or_waits() {
    let balancer = Running::start().await;
    let replica = Replica::slow("a", Duration::from_millis(100));
    let mut config = to(&[&replica]);
    config.routes[0].most_in_flight = Some(1);
    balancer.settle(&config).await;
    let load = Load::start(balancer.address(), HOST, "/", 3);
    while load.so_far().failed.is_empty() || load.so_far().total() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let outcome = load.stop().await;
    assert!(outcome.failed.iter().all(|failed| failed.starts_with("503")), "{:?}", outcome.failed);
    config.routes[0].queue = Some(QueueConfig { most: 10, timeout: Duration::from_mins(1) });
    balancer.settle(&config).await;
    assert_eq!(ask(balancer.address(), HOST, "/", 3, 12).await.failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_well_gets_nothing() {
    let balancer = Running::start().await;
    let (well, mut ill) = (Replica::start("well"), Replica::start("ill"));
    let mut config = to(&[&well, &ill]);
    config.routes[0].health = Some(health("/health"));
    balancer.settle(&config).await;
    let load = Load::start(balancer.address(), HOST, "/", 2);
    load.is_answered_by(&["ill", "well"]).await;
    ill.crash().await;
    load.is_answered_by(&["well"]).await;
    let address = ill.address.to_string();
    let is_down = async || {
        let shown = balancer.driver().shown(&balancer.driver().read().await.unwrap());
        shown.pools["ml/llama"][&address].state == skyfleet_drivers::ShownState::Down
    };
    while !is_down().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // That it is down is no change to be undone.
    assert_eq!(balancer.apply(&config).await.steps, 0);
    ill.come_back();
    load.is_answered_by(&["ill", "well"]).await;
    assert_eq!(load.stop().await.failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_may_have_names() {
    let balancer = Running::start().await;
    let replica = Replica::start("a");
    let mut config = to(&[&replica]);
    let mut named = config.clone();
    named.routes[0].backends[0].endpoints[0].endpoint.host = "localhost".to_owned();
    balancer.settle(&config).await;
    let load = Load::start(balancer.address(), HOST, "/", 2);
    balancer.settle(&named).await;
    load.is_answered_by(&["a"]).await;
    // One that nobody knows keeps nobody else waiting.
    let mut unknown = named.routes[0].backends[0].endpoints[0].clone();
    unknown.endpoint.host = "nobody.invalid".to_owned();
    named.routes[0].backends[0].endpoints.push(unknown);
    balancer.settle(&named).await;
    load.is_answered_by(&["a"]).await;
    // So does a new process, which resolves them itself.
    config.routes[0].name = "ml/other".to_owned();
    named.routes.push(RouteConfig {
        matching: Matching { hosts: vec!["x".to_owned()], ..Matching::default() },
        ..config.routes.remove(0)
    });
    balancer.settle(&named).await;
    assert_eq!(balancer.apply(&named).await.steps, 0);
    load.is_answered_by(&["a"]).await;
    assert_eq!(load.stop().await.failed, Vec::<String>::new());
}

/// HAProxy remembers what patterns came to. Here these are so many that it is asked while they are on their way.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_its_route_came_is_found_then() {
    let balancer = Running::start().await;
    let replica = Replica::start("a");
    let mut config = to(&[&replica]);
    let many = |what: &str, count: usize| (0..count).map(|number| format!("{what}{number}")).collect::<Vec<_>>();
    let matching = Matching { hosts: many("host", 8), path_prefixes: many("/", 16), models: many("m", 32) };
    config.routes.push(RouteConfig { matching, ..route("many", "", &[(&replica, 1)]) });
    let load = Load::start(balancer.address(), HOST, "/", 8);
    for _ in 0..3 {
        balancer.settle(&config).await;
        load.is_answered_by(&["a"]).await;
        balancer.settle(&Config::default()).await;
        assert_eq!(get(balancer.address(), HOST, "/").await.status, StatusCode::NOT_FOUND);
    }
}
