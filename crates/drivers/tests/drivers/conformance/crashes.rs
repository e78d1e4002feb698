use skyfleet_drivers::Driver;
use skyfleet_gateway::config::Config;

use super::changes::none_failed;
use crate::balancer::{Balancer, Restarts};
use crate::client::get;
use crate::load::Load;
use crate::replica::Replica;
use crate::routes::{HOST, route};

/// Of the same replicas two configurations: from one to the other a server comes, one goes, one has another weight; a route comes, and
/// one goes.
fn both([a, b, c]: &[Replica; 3]) -> [Config; 2] {
    let first = vec![route("llama", HOST, &[(a, 1), (b, 1)]), route("old", "old.example.com", &[(a, 1)])];
    let second = vec![route("llama", HOST, &[(b, 2), (c, 1)]), route("new", "new.example.com", &[(c, 1)])];
    [first, second].map(|routes| Config { routes })
}

/// The driver is gone after any number of steps of a change; another one goes on from there, and no request fails meanwhile.
pub async fn stopped_after_any_step_it_goes_on<B: Balancer>() {
    let balancer = B::start().await;
    let replicas = ["a", "b", "c"].map(Replica::start);
    let [from, to] = both(&replicas);
    balancer.settle(&from).await;
    let load = Load::start(balancer.address(), HOST, "/", 2);
    for count in 0.. {
        let all = first_steps(&balancer, &to, count).await;
        balancer.settle(&to).await;
        load.is_answered_by(&["b", "c"]).await;
        assert_eq!(get(balancer.address(), "new.example.com", "/").await.server(), Some("c"));
        assert_eq!(get(balancer.address(), "old.example.com", "/").await.server(), None);
        balancer.settle(&from).await;
        load.is_answered_by(&["a", "b"]).await;
        if count >= all {
            break;
        }
    }
    none_failed::<B>("the driver stops at each step", &load.stop().await);
}

/// The load balancer is killed after any number of steps. Started again by its files alone it serves, and becomes what it should be.
pub async fn the_server_is_killed_after_any_step<B: Restarts>() {
    let mut balancer = B::start().await;
    let replicas = ["a", "b", "c"].map(Replica::start);
    let [from, to] = both(&replicas);
    balancer.settle(&from).await;
    for count in 0.. {
        let all = first_steps(&balancer, &to, count).await;
        balancer.kill().await;
        balancer.start_again().await;
        let answer = get(balancer.address(), HOST, "/").await;
        assert!(answer.server().is_some(), "after {count} of {all} steps: {answer:?}");
        balancer.settle(&to).await;
        // What was reached is there after a restart too.
        balancer.kill().await;
        balancer.start_again().await;
        let load = Load::start(balancer.address(), HOST, "/", 2);
        load.is_answered_by(&["b", "c"]).await;
        assert_eq!(load.stop().await.failed, Vec::<String>::new());
        balancer.settle(&to).await;
        balancer.settle(&from).await;
        if count >= all {
            break;
        }
    }
}

/// Does the first steps of a change, and tells how many it has in all.
async fn first_steps<B: Balancer>(balancer: &B, to: &Config, count: usize) -> usize {
    let driver = balancer.driver();
    let wanted = driver.plan(to).wanted;
    let steps = driver.steps(&driver.read().await.unwrap(), &wanted);
    for step in steps.iter().take(count) {
        driver.perform(step).await.unwrap();
    }
    steps.len()
}
