//! A settled fleet costs no writes: counted in the audit logs of all API servers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS};

/// The operator on the hub and, by its token, in the members.
const USERS: [&str; 2] =
    ["system:serviceaccount:skyfleet-system:skyfleet", "system:serviceaccount:skyfleet-system:skyfleet-hub"];
/// How long nothing may be written.
const MINUTE: Duration = Duration::from_mins(1);
/// How many minutes may pass until the fleet has settled: the last probes and counts of a start trickle in.
const ATTEMPTS: usize = 4;

pub(super) async fn nothing_is_written_for_a_minute(fleet: &Fleet) {
    let mut written: Vec<(String, usize)> = Vec::new();
    for _ in 0..ATTEMPTS {
        let before = writes(fleet);
        tokio::time::sleep(MINUTE).await;
        let new = |(write, count): (String, usize)| {
            let count = count - before.get(&write).copied().unwrap_or_default();
            (count > 0).then_some((write, count))
        };
        written = writes(fleet).into_iter().filter_map(new).collect();
        if written.is_empty() {
            println!("no write of the operator for 60 s at any of four API servers");
            return;
        }
        println!("not settled yet: {written:?}");
    }
    panic!("a settled fleet is written to: {written:?}");
}

/// The operator's writes so far by cluster, verb and object. The lease that says who leads is renewed for ever, as every
/// controller's is; it says nothing about the fleet.
fn writes(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for cluster in [HUB].into_iter().chain(MEMBERS) {
        let log = std::fs::read_to_string(fleet.lab.cluster(cluster).unwrap().audit_log()).unwrap();
        // The last line may be half written.
        for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let user = event["user"]["username"].as_str().unwrap_or_default();
            let object = &event["objectRef"];
            if USERS.contains(&user) && object["resource"] != "leases" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (verb, resource, name) = (text(&event["verb"]), text(&object["resource"]), text(&object["name"]));
                *writes.entry(format!("{cluster}: {verb} {resource}/{name}")).or_default() += 1;
            }
        }
    }
    assert!(!writes.is_empty(), "the audit logs show what the operator has written to come here");
    writes
}
