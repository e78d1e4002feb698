use jiff::Timestamp;
use serde_json::{Value, json};
use skyfleet_plan::capacity::Shortage;
use skyfleet_plan::placement::Snapshot;

use super::explanation::{Explanation, Placeable, Source, explain};
use super::render::text;

fn candidate(name: &str, more: &Value) -> Value {
    let mut candidate = json!({
        "name": name, "provider": "aws", "region": "r", "contact": {"state": "answering", "since": "2026-01-01T00:00:00Z"},
        "room": {"replicas": 10, "preferred": 10},
    });
    for (key, value) in more.as_object().expect("an object") {
        candidate[key] = value.clone();
    }
    candidate
}

/// Explains a request for so many replicas with this placement, over these clusters.
fn explained(replicas: i32, placement: &Value, candidates: &[Value]) -> Explanation {
    let snapshot: Snapshot = serde_json::from_value(json!({
        "request": {"replicas": replicas, "placement": placement}, "candidates": candidates, "maxLostShare": 0.5,
        "now": "2026-01-09T00:00:00Z",
    }))
    .expect("a snapshot");
    explain("default", "minilm", Source::Operator, snapshot).expect("the selector is one")
}

fn held(replicas: i32) -> Value {
    json!({"desired": replicas, "retained": 0, "ready": replicas})
}

/// What a cluster would have were its exclusion lifted: at once, anew, and the reason that comes to light then.
fn lifted(explained: &Explanation, cluster: &str) -> (i32, i32, Option<&'static str>) {
    let report = explained.clusters.iter().find(|report| report.cluster == cluster).expect("a cluster of the fleet");
    let lifted = report.if_lifted.as_ref().expect("it is excluded");
    (lifted.desired, lifted.anew, lifted.then.as_ref().and_then(|then| then.reason))
}

#[test]
fn each_exclusion_is_lifted_the_way_its_remedy_says() {
    let taint = json!({"taints": [{"key": "team", "value": "ml", "effect": "NoSchedule"}]});
    let silent = json!({"contact": {"state": "silent", "since": "2026-01-08T00:00:00Z"}});
    let in_use = json!({"held": held(2), "room": {"replicas": 0, "preferred": 0, "shortage": "noNode"}});
    for (why, placement, more) in [
        ("Lost", json!({}), silent),
        ("Refusing", json!({}), json!({"contact": {"state": "refusing", "since": "2026-01-08T00:00:00Z"}})),
        ("Leaving", json!({}), json!({"leaving": true})),
        (
            "NotSelected",
            json!({"clusterSelector": {"matchLabels": {"gpu": "yes"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["gold"]}, {"key": "old", "operator": "DoesNotExist"}]}}),
            json!({"labels": {"old": "1"}}),
        ),
        ("Field", json!({"clusterFields": [{"field": "name", "operator": "In", "values": ["a", "b"]}]}), json!({})),
        (
            "Field",
            json!({"clusterFields": [{"field": "zone", "operator": "NotIn", "values": ["z"]}]}),
            json!({"zone": "z"}),
        ),
        ("Residency", json!({"residency": {"regions": ["r"]}}), json!({"region": "far"})),
        ("Residency", json!({"residency": {"providers": ["aws"]}}), json!({"provider": "gcp"})),
        ("Tainted", json!({}), taint),
        ("Weightless", json!({"strategy": "Weighted", "weights": [{"clusters": ["c"], "weight": 0}]}), json!({})),
        ("NoBucketNear", json!({}), json!({"data": "noBucketNear"})),
        ("DataFailed", json!({}), json!({"data": {"failed": "no such bucket"}})),
        ("NoRoom", json!({}), json!({"room": {"replicas": 0, "preferred": 0, "shortage": "noNode"}})),
    ] {
        let labels = json!({"labels": {"gpu": "yes", "tier": "gold"}});
        let explained =
            explained(6, &placement, &[candidate("a", &labels), candidate("b", &labels), candidate("c", &more)]);
        let report = &explained.clusters[2];
        assert_eq!(report.finding.reason, Some(why), "{report:?}");
        assert!(report.finding.remedy.is_some());
        assert_eq!(lifted(&explained, "c"), (2, 2, None), "{why}: {more}");
    }
    let explained = explained(4, &json!({}), &[candidate("a", &json!({"held": held(2)})), candidate("b", &in_use)]);
    assert_eq!(lifted(&explained, "b"), (2, 2, None), "what it holds it keeps");
}

#[test]
fn what_runs_does_not_move_and_the_next_exclusion_comes_to_light() {
    let more = json!({"taints": [{"key": "k", "effect": "NoExecute"}], "data": "noBucketNear"});
    let explained = explained(
        6,
        &json!({}),
        &[candidate("a", &json!({"held": held(6)})), candidate("b", &json!({})), candidate("c", &more)],
    );
    assert_eq!(lifted(&explained, "c"), (0, 0, Some("NoBucketNear")));
    let only = json!({"data": "noBucketNear"});
    let explained = self::explained(6, &json!({}), &[candidate("a", &json!({"held": held(6)})), candidate("c", &only)]);
    assert_eq!(lifted(&explained, "c"), (0, 3, None));
    let text = text(&explained);
    assert!(
        text.contains("it would have 0, since nothing moves that need not, and 3 of 6 if all were placed anew"),
        "{text}"
    );
}

#[test]
fn the_most_that_can_be_placed_is_found() {
    let two = |room: i64| {
        let room = json!({"room": {"replicas": room, "preferred": room}});
        [candidate("a", &room), candidate("b", &room)]
    };
    let placeable =
        |replicas, placement: &Value, candidates: &[Value]| explained(replicas, placement, candidates).placeable;
    assert_eq!(placeable(3, &json!({}), &two(7)), Placeable { replicas: 14, at_least: false });
    assert_eq!(placeable(30, &json!({}), &two(7)), Placeable { replicas: 14, at_least: false });
    let bounds = json!({"spread": [{"by": "cluster", "maxReplicas": 4}]});
    assert_eq!(placeable(3, &bounds, &two(7)), Placeable { replicas: 8, at_least: false });
    assert_eq!(placeable(3, &json!({"gang": {"groupSize": 4}}), &two(7)), Placeable { replicas: 8, at_least: false });
    let together = json!({"gang": {"groupSize": 1, "allOrNothing": true}});
    assert_eq!(placeable(3, &together, &two(7)), Placeable { replicas: 14, at_least: false });
    assert_eq!(placeable(3, &json!({}), &two(i64::MAX)), Placeable { replicas: 1003, at_least: true });
    assert_eq!(placeable(3, &json!({}), &[]), Placeable { replicas: 0, at_least: false });
}

#[test]
fn the_text_says_what_is_where_and_why_and_what_would_change_it() {
    let shortage = Shortage::Resource { resource: "cpu".to_owned(), needed: 1000, most_free: 250 };
    let full = json!({"held": held(2), "room": {"replicas": 0, "preferred": 0, "shortage": shortage}});
    let taint = json!({"taints": [{"key": "team", "value": "ml", "effect": "NoSchedule"}]});
    let mut explained = explained(
        5,
        &json!({}),
        &[candidate("aws-1", &full), candidate("azure-1", &taint), candidate("gcp-1", &json!({"held": held(2)}))],
    );
    explained.source = Source::Statuses { because: "leases are forbidden".to_owned() };
    assert_eq!(
        text(&explained),
        "by the Clusters' statuses; the operator could not be asked: leases are forbidden\n\
         ModelDeployment default/minilm: 5 asked for, 5 placed, 4 ready; RoundRobin\n\
         about to change: gcp-1 2 -> 3\n\
         \n\
         CLUSTER   DESIRED   READY   KEEPS   WHY\n\
         aws-1     2         2       0       RoundRobin; full: a replica needs 1 cpu on one node, and the most that one has left is 250m\n\
         azure-1   0         0       0       taint team=ml:NoSchedule is not tolerated\n\
         gcp-1     3         2       0       RoundRobin\n\
         \n\
         aws-1 takes no more replicas: a replica needs 1 cpu on one node, and the most that one has left is 250m\n  \
         to change it: add nodes, let others go, or ask for less; where nodes come by themselves set spec.capacityPolicy of the Cluster to Elastic\n  \
         without that: it would have 3 of 5\n\
         \n\
         azure-1 takes no replica: taint team=ml:NoSchedule is not tolerated\n  \
         to change it: tolerate \"team\" in spec.placement.tolerations, or remove the Cluster's taint\n  \
         without that: it would have 1 of 5\n\
         \n\
         At most 14 replicas could be placed now; 5 are asked for."
    );
}

#[test]
fn what_load_is_gone_by_is_shown_as_long_as_it_is_new() {
    let loaded = |name: &str, observed: &str| {
        let load = json!({"observed": observed, "reporting": 2, "inFlight": 4.83, "timeToFirstToken": 0.41});
        candidate(name, &json!({"held": held(2), "load": load}))
    };
    let candidates = [loaded("new", "2026-01-09T00:00:00Z"), loaded("old", "2026-01-08T00:00:00Z")];
    for (strategy, said) in [
        ("LeastConnection", Some("4.8 requests in flight")),
        ("LeastResponseTime", Some("first token after 0.410 s")),
        ("RoundRobin", None),
    ] {
        let explained = explained(4, &json!({"strategy": strategy}), &candidates);
        let [new, old] = [0, 1].map(|place| explained.clusters[place].why.split_once("; ").map(|(_, load)| load));
        assert_eq!((new, old), (said, None), "{strategy}");
    }
}

#[test]
fn the_words_of_json_stay() {
    let explained = explained(2, &json!({}), &[candidate("a", &json!({})), candidate("b", &json!({"leaving": true}))]);
    let value = serde_json::to_value(&explained).expect("plain data");
    let fields: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    let wanted = [
        "asked",
        "clusters",
        "name",
        "namespace",
        "now",
        "placeable",
        "placed",
        "plan",
        "ready",
        "snapshot",
        "source",
        "unplaced",
    ];
    assert_eq!(fields, wanted);
    assert_eq!((&value["source"], &value["now"]), (&json!({"kind": "operator"}), &json!("2026-01-09T00:00:00Z")));
    let b = &value["clusters"][1];
    assert_eq!(
        (&b["verdict"], &b["reason"], &b["ifLifted"]["desired"]),
        (&json!("GivesUp"), &json!("Leaving"), &json!(1))
    );
    assert_eq!(value["plan"]["verdicts"]["a"], json!("eligible"));
    let again: Snapshot = serde_json::from_value(value["snapshot"].clone()).expect("a snapshot");
    assert_eq!(again.now, "2026-01-09T00:00:00Z".parse::<Timestamp>().expect("a time"));
}

#[test]
fn the_hub_s_objects_give_a_snapshot_when_the_operator_cannot() {
    use crate::cli::fleet::Fleet;
    use skyfleet_plan::capacity::ModelKey;
    let cluster = |name: &str, status: &Value| {
        let manifest = json!({"metadata": {"name": name}, "status": status,
            "spec": {"provider": "aws", "region": "r", "connection": {}}});
        (name.to_owned(), serde_json::from_value(manifest).expect("a Cluster"))
    };
    let model = json!({
        "metadata": {"name": "m", "namespace": "n"},
        "spec": {"model": {"name": "m", "image": {}}, "replicas": 5, "runtime": {"image": "i", "port": 80,
            "resources": {"requests": {"cpu": "1"}}, "podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}}}},
        "status": {"placements": [{"cluster": "a", "desired": 3, "replicas": 2, "ready": 2}]},
    });
    let key = ModelKey { namespace: "n".to_owned(), name: "m".to_owned() };
    let fleet = Fleet {
        clusters: [
            cluster("a", &json!({"nodes": 1, "allocatable": {"cpu": "4"}, "allocated": {"cpu": "2"}})),
            cluster("b", &json!({})),
        ]
        .into(),
        models: [(key.clone(), serde_json::from_value(model).expect("a ModelDeployment"))].into(),
        ..Fleet::default()
    };
    let snapshot = super::statuses::of(&fleet, &key, Timestamp::UNIX_EPOCH).expect("it is placed");
    let rooms: Vec<i64> = snapshot.candidates.iter().map(|candidate| candidate.room.replicas).collect();
    assert_eq!(rooms, [1, 0], "two run and a third was decided; the nodes of b were not counted");
    assert_eq!((snapshot.request.replicas, snapshot.candidates[0].held.ready), (5, 2));
}
