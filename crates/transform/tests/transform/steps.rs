use std::fmt::Write as _;

use skyfleet_transform::{
    Condition, Format, InvalidTransform, Mask, MaskMethod, Operator, Spec, Step, StepCount, Transform, TransformError,
};

use crate::support::{by, names, run, to};

const PEOPLE: &str = "id,name,country,age,mail\n1,Ada,GB,36,ada@example.com\n2,Grace,US,85,\n3,Linus,FI,,l@example.org\n4,Ada,GB,36,ada@example.com\n";

fn condition(column: &str, operator: Operator, values: &[&str]) -> Condition {
    Condition { column: column.to_owned(), operator, values: names(values) }
}

fn ids(steps: Vec<Step>) -> Result<Vec<String>, TransformError> {
    let made = run(by(steps), "people.csv", PEOPLE)?;
    Ok(made.text().lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect())
}

#[test]
fn conditions_keep_the_rows_that_meet_them() {
    use Operator::{DoesNotExist, Exists, Ge, Gt, In, Le, Lt, Matches, NotIn};
    for (column, operator, values, kept) in [
        ("country", In, &["GB", "FI"][..], "1 3 4"),
        ("country", NotIn, &["GB"], "2 3"),
        ("age", NotIn, &["36"], "2 3"),
        ("age", In, &["36", "85"], "1 2 4"),
        ("age", Gt, &["36"], "2"),
        ("age", Ge, &["36"], "1 2 4"),
        ("age", Lt, &["85"], "1 4"),
        ("age", Le, &["85"], "1 2 4"),
        ("age", Exists, &[], "1 2 4"),
        ("age", DoesNotExist, &[], "3"),
        ("name", Matches, &["^(A|L)"], "1 3 4"),
        ("id", Matches, &["^[12]$"], "1 2"),
        ("name", Gt, &["Grace"], "3"),
    ] {
        let kept: Vec<_> = kept.split(' ').map(str::to_owned).collect();
        assert_eq!(
            ids(vec![Step::Filter(vec![condition(column, operator, values)])]).unwrap(),
            kept,
            "{column} {operator:?}"
        );
    }
    let both = vec![condition("country", In, &["GB"]), condition("id", Gt, &["1"])];
    assert_eq!(ids(vec![Step::Filter(both)]).unwrap(), ["4"]);
}

#[test]
fn conditions_that_cannot_be_are_refused() {
    let error = ids(vec![Step::Filter(vec![condition("age", Operator::Gt, &["old"])])]).unwrap_err().to_string();
    assert_eq!(error, "column \"age\" is Int64, and \"old\" is none");
    let error = ids(vec![Step::Filter(vec![condition("aeg", Operator::Exists, &[])])]).unwrap_err().to_string();
    assert!(error.contains("no column \"aeg\" but id, name, country, age, mail"), "{error}");
    let refused = |steps| Transform::new(by(steps)).map(drop).unwrap_err();
    let error = refused(vec![Step::Filter(vec![condition("age", Operator::Gt, &["1", "2"])])]);
    assert_eq!(error.to_string(), "step 1: Gt on column \"age\" takes one value, not 2");
    let error = refused(vec![Step::Filter(vec![condition("age", Operator::Matches, &["("])])]);
    assert!(matches!(error, InvalidTransform::Pattern { step: 1, .. }), "{error}");
    let error = refused(vec![Step::Deduplicate(vec![]), Step::Drop(vec![])]);
    assert!(matches!(error, InvalidTransform::NoColumns { step: 2, name: "Drop" }), "{error}");
    let error = refused(vec![Step::Select(names(&["a", "b", "a"]))]);
    assert_eq!(error.to_string(), "step 1 (Select) names column \"a\" twice");
    assert_eq!(Transform::new(Spec::default()).map(drop), Err(InvalidTransform::Nothing));
}

#[test]
fn columns_are_picked_and_dropped() {
    let picked = run(by(vec![Step::Select(names(&["mail", "id"]))]), "people.csv", PEOPLE).unwrap();
    assert_eq!(picked.text().lines().next(), Some("mail,id"));
    let dropped = run(by(vec![Step::Drop(names(&["mail", "age"]))]), "people.csv", PEOPLE).unwrap();
    assert_eq!(dropped.text().lines().next(), Some("id,name,country"));
    let table = run(to(Format::Parquet), "people.csv", PEOPLE).unwrap();
    let spec = Spec { steps: vec![Step::Select(names(&["mail", "id"]))], ..to(Format::Csv) };
    assert_eq!(run(spec, "people.parquet", &table.bytes).unwrap().bytes, picked.bytes, "also of Parquet");
}

#[test]
fn the_first_of_equal_rows_stays() {
    assert_eq!(ids(vec![Step::Deduplicate(names(&["name", "mail"]))]).unwrap(), ["1", "2", "3"]);
    assert_eq!(ids(vec![Step::Deduplicate(vec![])]).unwrap().len(), 4);
    let steps = vec![Step::Drop(names(&["id"])), Step::Deduplicate(vec![])];
    let made = run(by(steps), "people.csv", PEOPLE).unwrap();
    let counts = [StepCount { rows_in: 4, rows_out: 4 }, StepCount { rows_in: 4, rows_out: 3 }];
    assert_eq!((&made.outcome.steps[..], made.outcome.rows_written), (&counts[..], 3));
    let nested = "{\"a\":{\"b\":[1,2]}}\n".repeat(3);
    assert_eq!(run(by(vec![Step::Deduplicate(vec![])]), "a.jsonl", nested).unwrap().outcome.rows_written, 1);
}

#[test]
fn more_rows_than_memory_holds_are_deduplicated() {
    let mut content = String::from("id\n");
    for id in (0..1_500_000).chain(0..10) {
        writeln!(content, "{id}").unwrap();
    }
    let made = run(by(vec![Step::Deduplicate(vec![])]), "a.csv", content).unwrap();
    assert_eq!((made.outcome.rows_read, made.outcome.rows_written), (1_500_010, 1_500_000));
}

#[test]
fn masks_hide_what_columns_hold() {
    let masked = |columns: &[&str], method| {
        let steps = vec![Step::Mask(Mask { columns: names(columns), method })];
        run(by(steps), "people.csv", PEOPLE).unwrap().text().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(masked(&["mail"], MaskMethod::Redact)[..2], ["1,Ada,GB,36,***", "2,Grace,US,85,"]);
    assert_eq!(masked(&["age", "mail"], MaskMethod::Remove)[0], "1,Ada,GB,,");
    assert_eq!(masked(&["name"], MaskMethod::KeepLast { characters: 2 })[1], "2,***ce,US,85,");
    assert_eq!(
        masked(&["name"], MaskMethod::KeepLast { characters: 3 })[0],
        "1,***,GB,36,ada@example.com",
        "all of it"
    );
    let by_key = |key: &[u8]| masked(&["name", "age"], MaskMethod::Hash { key: key.to_vec() });
    let (one, other) = (by_key(&[1; 16]), by_key(&[2; 16]));
    assert_eq!(
        one[0].split_once(',').map(|(_, rest)| rest),
        one[3].split_once(',').map(|(_, rest)| rest),
        "equal stay equal"
    );
    assert_ne!(one[0], other[0]);
    // What `printf Ada | openssl dgst -sha256 -mac HMAC -macopt hexkey:01010101010101010101010101010101` gives.
    assert_eq!(one[0].split(',').nth(1).unwrap().len(), 32);
    assert!(one[2].ends_with("FI,,l@example.org"), "what is missing stays so: {}", one[2]);
}

#[test]
fn a_transform_is_named_by_what_it_does() {
    let digest = |method| {
        let steps = vec![Step::Mask(Mask { columns: names(&["a"]), method })];
        Transform::new(by(steps)).unwrap().digest().to_owned()
    };
    let key = |byte| MaskMethod::Hash { key: vec![byte; 32] };
    assert_eq!(digest(key(1)), digest(key(1)));
    assert_ne!(digest(key(1)), digest(key(2)));
    assert_ne!(digest(MaskMethod::Redact), digest(MaskMethod::Remove));
    let spec = by(vec![Step::Mask(Mask { columns: names(&["a"]), method: key(1) })]);
    assert!(!serde_json::to_string(&spec).unwrap().contains("1,1"), "the key is not told");
    let short = by(vec![Step::Mask(Mask { columns: names(&["a"]), method: MaskMethod::Hash { key: vec![1; 15] } })]);
    assert_eq!(Transform::new(short).map(drop), Err(InvalidTransform::ShortKey { step: 1, bytes: 15 }));
}
