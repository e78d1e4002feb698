//! Fleets written down as a person does, and what becomes of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use skyfleet_plan::capacity::ModelKey;

use super::files::File;
use super::manifests::Manifests;
use super::report::{Stage, stage};
use super::world::World;
use crate::cli::fleet::Moment;

fn read(text: &str) -> Result<Manifests, String> {
    let file = File { name: "fleet.yaml".to_owned(), text: text.to_owned() };
    Manifests::read(&[file]).map_err(|failure| failure.to_string())
}

fn clusters(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "---\napiVersion: skyfleet.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec:\n  provider: aws\n  \
             region: {name}-region\n  connection: {{kubeconfigSecretRef: {{name: key}}}}\n"
        )
    };
    names.iter().map(one).collect()
}

fn model(name: &str, replicas: i32, cpu: &str, more: &str) -> String {
    format!(
        "---\napiVersion: skyfleet.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: {name}}}\nspec:\n  model: {{name: m, \
         image: {{}}}}\n  runtime: {{image: i, port: 80, resources: {{requests: {{cpu: {cpu}}}}}}}\n  replicas: {replicas}\n{more}"
    )
}

fn node(cluster: &str, cpu: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-1, labels: {{skyfleet.dev/member-cluster: {cluster}}}}}\nstatus: \
         {{allocatable: {{cpu: {cpu}, memory: 1Gi}}}}\n"
    )
}

fn world(text: &str) -> World {
    let now = Timestamp::from_second(1_800_000_000).expect("a small number of seconds");
    let (mut world, refused) = World::new(read(text).expect("manifests").fleet, Moment { now, max_lost_share: 0.5 });
    assert!(refused.is_empty(), "{refused:?}");
    world.settle();
    assert!(world.settled);
    world
}

/// Desired replicas of a model by cluster, in the order of their names.
fn shares(world: &World, model: &str) -> Vec<i32> {
    let stage: Stage = stage("x", world, None);
    let found = stage.models.iter().find(|found| found.name == model).expect("it was placed");
    found.placements.iter().map(|placement| placement.desired).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn no_room_is_promised_twice_and_the_first_by_name_comes_first() {
    let text =
        clusters(&["a", "b"]) + &node("a", "4") + &node("b", "2") + &model("x", 4, "1", "") + &model("z", 4, "1", "");
    let world = world(&text);
    assert_eq!((shares(&world, "x"), shares(&world, "z")), (vec![2, 2], vec![2, 0]));
    assert_eq!(world.plans.values().map(|plan| plan.unplaced).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn what_fails_is_made_elsewhere_and_goes_back_when_it_returns() {
    let mut world = world(&(clusters(&["a", "b", "c"]) + &model("x", 6, "1", "")));
    assert_eq!(shares(&world, "x"), [2, 2, 2]);
    world.change(&names(&["a"]), &BTreeMap::new());
    assert_eq!(shares(&world, "x"), [0, 3, 3]);
    assert_eq!(stage("x", &world, None).models[0].placements[0].keeps, 2, "silence is not absence");
    world.bring_back(&names(&["a"]));
    assert_eq!(shares(&world, "x"), [2, 2, 2]);
    assert_eq!(stage("x", &world, None).models[0].placements[0].keeps, 0);
}

#[test]
fn so_many_lost_together_move_nothing() {
    let mut world = world(&(clusters(&["a", "b", "c"]) + &model("x", 6, "1", "")));
    world.change(&names(&["a", "b"]), &BTreeMap::new());
    assert_eq!(shares(&world, "x"), [2, 2, 2]);
    let suspicion = stage("x", &world, None).models[0].suspicion.clone().unwrap_or_default();
    assert!(suspicion.starts_with("2 of 3 clusters fell silent together"), "{suspicion}");
}

#[test]
fn what_finds_no_room_elsewhere_is_stranded_and_not_unplaced() {
    let nodes = node("a", "2") + &node("b", "3") + &node("c", "2");
    let mut world = world(&(clusters(&["a", "b", "c"]) + &nodes + &model("x", 6, "1", "")));
    assert_eq!(shares(&world, "x"), [2, 2, 2]);
    world.change(&names(&["a"]), &BTreeMap::new());
    let model = &stage("x", &world, None).models[0];
    assert_eq!((model.unplaced, model.stranded), (0, 1));
    assert!(model.placements[0].why.contains("no other cluster has room for 1"), "{}", model.placements[0].why);
}

#[test]
fn another_number_adds_without_moving() {
    let mut world = world(&(clusters(&["a", "b", "c"]) + &model("x", 4, "1", "")));
    let before = stage("before", &world, None);
    let key = ModelKey { namespace: "default".to_owned(), name: "x".to_owned() };
    world.change(&[], &[(key, 7)].into());
    assert_eq!(shares(&world, "x"), [3, 2, 2]);
    let moves = &stage("after", &world, Some(&before)).models[0].moves;
    assert_eq!((moves.started, moves.stopped), (3, 0));
}

#[test]
fn a_status_is_where_it_starts() {
    let status = "status: {placements: [{cluster: a, desired: 0}, {cluster: b, desired: 3, ready: 3}]}\n";
    let lost = clusters(&["a", "b", "c"])
        + "status: {conditions: [{type: Reachable, status: 'False', reason: NotAnswering, message: '', \
           lastTransitionTime: '2020-01-01T00:00:00Z'}], nodes: 1, allocatable: {cpu: '8'}}\n";
    let mut world = world(&(lost + &model("x", 3, "1", status)));
    assert_eq!(shares(&world, "x"), [0, 3, 0], "nothing moves that need not");
    assert!(world.is_silent("c"));
    world.bring_back(&names(&["c"]));
    assert_eq!(shares(&world, "x"), [0, 3, 0]);
}

#[test]
fn a_list_is_read_item_by_item_and_what_says_nothing_is_noted() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: skyfleet.dev/v1alpha1, kind: Cluster, metadata: {name: a}, \
                spec: {provider: aws, region: r, connection: {}}}\n- {apiVersion: v1, kind: Service, metadata: {name: s}}\n";
    let nodes = "---\napiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: node-1, labels: {skyfleet.dev/member-cluster: a}}\n\
                 - metadata: {name: stray}\n- metadata: {name: far, labels: {skyfleet.dev/member-cluster: z}}\n";
    let manifests = read(&format!("{text}{nodes}")).unwrap();
    assert_eq!(
        (manifests.fleet.clusters.len(), manifests.fleet.nodes["a"].len(), manifests.fleet.nodes.len()),
        (1, 1, 1)
    );
    let notes = manifests.notes.join("\n");
    for said in ["1 of kind Service ignored", "item 2: the Node \"stray\" is left out", "there is no Cluster \"z\""] {
        assert!(notes.contains(said), "{notes}");
    }
}

#[test]
fn each_mistake_is_named_with_its_place() {
    let twice = clusters(&["a", "a"]);
    let broken = clusters(&["a"]) + "---\nkind: [\n";
    for (text, said) in [
        (
            twice.as_str(),
            "document 2 (line 10): Cluster \"a\" is told a second time; the first is in fleet.yaml: document 1 (line 2)",
        ),
        (broken.as_str(), "line 1"),
        ("a: 1", "document 1 (line 1): this is no Kubernetes object"),
        ("apiVersion: skyfleet.dev/v2\nkind: Cluster", "skyfleet.dev/v2 is not known"),
        ("apiVersion: skyfleet.dev/v1alpha1\nkind: Clutser", "no kind \"Clutser\""),
        ("apiVersion: skyfleet.dev/v1alpha1\nkind: Bucket", "metadata.name is missing"),
    ] {
        let error = read(text).err().expect("it is refused");
        assert!(error.starts_with("fleet.yaml") && error.contains(said), "{error}");
    }
    let wrong = |from: &str, to: &str| read(&model("x", 3, "1", "").replace(from, to)).err().expect("it is refused");
    let error = wrong("replicas: 3", "replicas: many");
    assert!(error.contains("ModelDeployment \"x\": spec.replicas: invalid type"), "{error}");
    let error = wrong("replicas: 3", "placement: {stratgy: Spread}");
    assert!(error.contains("spec.placement.stratgy is no field"), "{error}");
}

#[test]
fn what_cannot_be_placed_at_all_is_refused_and_the_others_are_placed() {
    let selector = "  placement: {clusterSelector: {matchExpressions: [{key: a, operator: Near}]}}\n";
    let manifests = read(&(clusters(&["a"]) + &model("bad", 1, "1", selector) + &model("good", 2, "1", ""))).unwrap();
    let moment = Moment { now: Timestamp::UNIX_EPOCH, max_lost_share: 0.5 };
    let (mut world, refused) = World::new(manifests.fleet, moment);
    world.settle();
    assert!(
        refused[0].starts_with("ModelDeployment default/bad is refused: spec.placement.clusterSelector"),
        "{refused:?}"
    );
    assert_eq!((world.plans.len(), shares(&world, "good")), (1, vec![2]));
}
