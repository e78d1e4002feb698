//! A member loses its power under load, and gets it back.

use std::time::{Duration, Instant};

use super::fleet::{Members, REPLICAS, shares};
use super::load::{Load, Seen};
use crate::support::eventually;

const LOST: &str = "gcp-1";

pub(super) async fn a_cluster_is_lost_and_returns(members: &Members) {
    let load = Load::start(members).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = load.take();
    assert!(before.failed.is_empty(), "{before:?}");
    assert!(before.answered.len() == 4 && before.ready.iter().all(|(_, ready)| *ready == REPLICAS), "{before:?}");

    members.lab.stop(LOST).await.unwrap();
    let cut = Instant::now();
    // Aws-1, azure-1 and onprem-1 share what gcp-1 had; what that one holds is kept in the books until it is seen to be gone.
    eventually("its replicas are made elsewhere", || async {
        let found = members.placements().await;
        let made = found.get("aws-1") == Some(&(3, 0)) && found.get("azure-1") == Some(&(3, 0));
        if made && found.get(LOST) == Some(&(0, 2)) { Ok(()) } else { Err(members.status().await.to_string()) }
    })
    .await;
    println!("a lost cluster's replicas were decided elsewhere after {} s", cut.elapsed().as_secs());
    let status = members.wait_ready().await;
    println!("all {REPLICAS} serve again after {} s", cut.elapsed().as_secs());
    assert_eq!(status["placements"].as_array().unwrap().len(), 4, "{status}");
    let during = load.take();
    // Two died with their cluster; of the others none ever went.
    no_fewer_than(&during, REPLICAS - 2);
    only_fails_in(&during, &[LOST]);

    members.lab.start(LOST).await.unwrap();
    members.wait_for_placements(&shares([2, 2, 2, 2])).await;
    members.wait_ready().await;
    let back = load.end().await;
    no_fewer_than(&back, REPLICAS);
    only_fails_in(&back, &[LOST]);
    for (member, wanted) in ["aws-1", "azure-1", LOST, "onprem-1"].map(|member| (member, 2)) {
        assert_eq!(members.pods(member).await.len(), wanted, "{member} runs a duplicate");
    }
    println!("it returned, and got its replicas back: never fewer than {REPLICAS} served");
}

fn no_fewer_than(seen: &Seen, least: i32) {
    let fewest = seen.ready.iter().map(|(_, ready)| *ready).min().expect("it was counted");
    assert!(fewest >= least, "{fewest} served, of at least {least}: {:?}", seen.ready);
}

fn only_fails_in(seen: &Seen, members: &[&str]) {
    let others: Vec<_> = seen.failed.iter().filter(|(member, _)| !members.contains(&member.as_str())).collect();
    assert!(others.is_empty(), "requests failed where nothing was lost: {others:?}, answered: {:?}", seen.answered);
}
