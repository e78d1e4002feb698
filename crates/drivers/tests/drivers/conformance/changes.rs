use http_body_util::BodyExt as _;
use skyfleet_drivers::{Driver, reconcile};
use skyfleet_gateway::config::Config;

use crate::balancer::{Balancer, Meddled};
use crate::client::{Asked, Client};
use crate::load::{Load, Outcome};
use crate::replica::{PIECES, Replica};
use crate::routes::{HOST, route, to};

/// No request fails while servers are added, removed, given other weights, crash and come back, and while routes come and go.
pub async fn servers_come_and_go_under_load<B: Balancer>() {
    let balancer = B::start().await;
    let [a, mut b, c] = ["a", "b", "c"].map(Replica::start);
    balancer.settle(&to(&[&a])).await;
    let load = Load::start(balancer.address(), HOST, "/", 4);
    load.is_answered_by(&["a"]).await;
    balancer.settle(&to(&[&a, &b])).await;
    load.is_answered_by(&["a", "b"]).await;
    balancer.settle(&to(&[&a, &b, &c])).await;
    load.is_answered_by(&["a", "b", "c"]).await;
    let weighted = Config { routes: vec![route("llama", HOST, &[(&b, 3), (&c, 2)])] };
    balancer.settle(&weighted).await;
    load.is_answered_by(&["b", "c"]).await;
    let mut further = weighted.clone();
    further.routes.push(route("further", "further.example.com", &[(&a, 1)]));
    balancer.settle(&further).await;
    balancer.settle(&weighted).await;
    // As a pod that is killed: for some time nobody knows.
    b.crash().await;
    load.is_answered_by(&["c"]).await;
    balancer.settle(&to(&[&c])).await;
    load.is_answered_by(&["c"]).await;
    b.come_back();
    balancer.settle(&to(&[&a, &b, &c])).await;
    load.is_answered_by(&["a", "b", "c"]).await;
    none_failed::<B>("servers come and go", &load.stop().await);
}

/// A stream goes on to its end although its server is removed, and new requests go elsewhere at once.
pub async fn a_removed_server_finishes_its_streams<B: Balancer>() {
    let balancer = B::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    balancer.settle(&to(&[&a])).await;
    let asked = Asked { host: HOST, path: "/stream", header: None };
    let mut client = Client::new(balancer.address());
    let mut stream = client.send(asked).await.unwrap().into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    balancer.apply(&to(&[&b])).await;
    let load = Load::start(balancer.address(), HOST, "/", 2);
    load.is_answered_by(&["b"]).await;
    let rest = stream.collect().await.expect("the rest of the stream").to_bytes();
    let text = String::from_utf8([first, rest].concat()).unwrap();
    assert_eq!(text.matches("data: ").count(), PIECES, "{text}");
    balancer.settle(&to(&[&b])).await;
    none_failed::<B>("a server is removed", &load.stop().await);
}

/// Nothing is written where nothing has changed.
pub async fn settled_is_settled<B: Balancer>() {
    let balancer = B::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let config =
        Config { routes: vec![route("one", HOST, &[(&a, 2), (&b, 1)]), route("two", "two.example.com", &[(&b, 1)])] };
    assert!(balancer.apply(&config).await.steps > 0);
    balancer.settle(&config).await;
    let done = balancer.apply(&config).await;
    assert_eq!((done.steps, &done.before), (0, &done.after));
    let shown = &done.after.pools;
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["ml/one", "ml/two"]);
    let (one, of_a, of_b) = (&shown["ml/one"], a.address.to_string(), b.address.to_string());
    assert_eq!(one.len(), 2);
    assert_eq!(one[&of_a].weight, 2 * one[&of_b].weight, "{one:?}");
    // Without routes nothing of theirs is left.
    balancer.settle(&Config::default()).await;
    assert!(balancer.apply(&Config::default()).await.after.pools.is_empty());
}

/// What a person changes in the driver's part is seen, and undone.
pub async fn hand_made_changes_are_repaired<B: Meddled>() {
    let balancer = B::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let config = to(&[&a, &b]);
    balancer.settle(&config).await;
    let before = balancer.apply(&config).await.after;
    let mut ways = 0;
    while let Some(what) = balancer.meddle(ways).await {
        ways += 1;
        let driver = balancer.driver();
        let wanted = driver.plan(&config).wanted;
        let actual = driver.read().await.unwrap();
        assert!(!driver.steps(&actual, &wanted).is_empty(), "not seen: {what}");
        let done = reconcile(&driver, &wanted).await.unwrap();
        assert!(done.steps > 0, "{what}");
        balancer.settle(&config).await;
        assert_eq!(weights(&balancer.apply(&config).await.after), weights(&before), "{what}");
    }
    assert!(ways > 0, "nobody has changed anything");
    let load = Load::start(balancer.address(), HOST, "/", 2);
    load.is_answered_by(&["a", "b"]).await;
    none_failed::<B>("after repairs", &load.stop().await);
}

fn weights(shown: &skyfleet_drivers::Shown) -> Vec<(String, String, u32)> {
    let pools = shown.pools.iter();
    let servers =
        pools.flat_map(|(pool, all)| all.iter().map(move |(name, one)| (pool.clone(), name.clone(), one.weight)));
    servers.collect()
}

/// Kept connections may end only where the load balancer is known for it; how many did is printed.
pub fn none_failed<B: Balancer>(when: &str, outcome: &Outcome) {
    println!(
        "{when}: {} answered, {} kept connections ended, failed: {:?}",
        outcome.total(),
        outcome.raced,
        outcome.failed
    );
    assert_eq!(outcome.failed, Vec::<String>::new(), "{when}");
    assert!(B::CLOSES_KEPT_CONNECTIONS || outcome.raced == 0, "{when}: {} kept connections ended", outcome.raced);
}
