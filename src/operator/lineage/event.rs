//! Events of [OpenLineage](https://openlineage.io), version 2-0-2 of its specification: pure.

use jiff::Timestamp;
use serde_json::{Value, json};
use skyfleet_mirror::Sha256;

use super::naming::DatasetId;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACETS: &str = "https://openlineage.io/spec/facets";
/// Who says all of it.
const PRODUCER: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/v", env!("CARGO_PKG_VERSION"));

/// One pass over a DatasetReplica.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// A UUID.
    pub(crate) id: String,
    /// The DatasetReplica's namespace and name.
    pub(crate) job: (String, String),
    pub(crate) started: Timestamp,
    pub(crate) input: DatasetId,
    /// In the order of the targets.
    pub(crate) outputs: Vec<DatasetId>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Complete,
    Fail(String),
    /// It was stopped: by another spec, or with the operator.
    Abort,
}

/// What an output holds now: all of it, not only what the run wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// What names the content.
    pub(crate) version: String,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Where they were counted.
    pub(crate) rows: Option<u64>,
}

/// A UUID of version 7 (RFC 9562): ordered by time, the same for the same run of the same object.
pub(crate) fn run_id(uid: &str, started: Timestamp) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::of(format!("{uid}\n{}", started.as_nanosecond()).as_bytes()).as_bytes()[..16]);
    bytes[..6].copy_from_slice(&started.as_millisecond().to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Run {
    /// It has begun.
    pub(crate) fn start(&self) -> Value {
        self.event("START", self.started, &json!({}), &[])
    }

    /// It has ended. `held` is what is known of the outputs, in their order.
    pub(crate) fn end(&self, end: &RunEnd, at: Timestamp, held: &[Option<Held>]) -> Value {
        match end {
            RunEnd::Complete => self.event("COMPLETE", at, &json!({}), held),
            RunEnd::Abort => self.event("ABORT", at, &json!({}), held),
            RunEnd::Fail(message) => {
                let message = json!({"message": message, "programmingLanguage": "Rust"});
                let facets = json!({"errorMessage": facet("1-0-1/ErrorMessageRunFacet", message)});
                self.event("FAIL", at, &facets, held)
            }
        }
    }

    fn event(&self, kind: &str, at: Timestamp, run_facets: &Value, held: &[Option<Held>]) -> Value {
        let (namespace, name) = &self.job;
        let output = |(index, id): (usize, &DatasetId)| match held.get(index).and_then(Option::as_ref) {
            Some(held) => held.output(id),
            None => id.json(),
        };
        json!({
            "eventType": kind,
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": self.id, "facets": run_facets},
            "job": {"namespace": namespace, "name": name, "facets": {"jobType": job_type()}},
            "inputs": [self.input.json()],
            "outputs": self.outputs.iter().enumerate().map(output).collect::<Vec<_>>(),
        })
    }
}

impl Held {
    fn output(&self, id: &DatasetId) -> Value {
        let mut statistics = json!({"size": self.bytes, "fileCount": self.objects});
        if let Some(rows) = self.rows {
            statistics["rowCount"] = rows.into();
        }
        let version = facet("1-0-1/DatasetVersionDatasetFacet", json!({"datasetVersion": self.version}));
        let mut output = id.json();
        output["facets"] = json!({"version": version});
        let statistics = facet("1-0-2/OutputStatisticsOutputDatasetFacet", statistics);
        output["outputFacets"] = json!({"outputStatistics": statistics});
        output
    }
}

fn job_type() -> Value {
    let job_type = json!({"processingType": "BATCH", "integration": "SKYFLEET", "jobType": "DATASETREPLICA"});
    facet("2-0-3/JobTypeJobFacet", job_type)
}

/// A facet with what each must have; `name` is its version and its schema.
fn facet(name: &str, mut content: Value) -> Value {
    let definition = name.split('/').next_back().unwrap_or(name);
    content["_producer"] = PRODUCER.into();
    content["_schemaURL"] = format!("{FACETS}/{name}.json#/$defs/{definition}").into();
    content
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn run() -> Run {
        let started = "2026-11-27T19:00:00Z".parse().unwrap();
        let id = |bucket: &str| DatasetId { namespace: format!("s3://{bucket}"), name: "w".to_owned() };
        let job = ("ml".to_owned(), "clean".to_owned());
        Run { id: run_id("uid", started), job, started, input: id("raw"), outputs: vec![id("one"), id("two")] }
    }

    /// What the specification requires of each event (`$defs` RunEvent, BaseEvent, Run, Job, Dataset and BaseFacet).
    pub(in super::super) fn assert_is_run_event(event: &Value) {
        let text = |value: &Value| assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{value} in {event}");
        for field in ["producer", "schemaURL", "eventTime"] {
            text(&event[field]);
        }
        event["eventTime"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let kinds = ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"];
        assert!(kinds.contains(&event["eventType"].as_str().unwrap()));
        let id: Vec<_> = event["run"]["runId"].as_str().unwrap().split('-').map(str::len).collect();
        assert_eq!(id, [8, 4, 4, 4, 12]);
        let datasets = ["inputs", "outputs"].into_iter().flat_map(|side| event[side].as_array().unwrap());
        for named in datasets.clone().chain([&event["job"]]) {
            text(&named["namespace"]);
            text(&named["name"]);
        }
        let holders = datasets.chain([&event["run"], &event["job"]]);
        for facets in holders.flat_map(|holder| [&holder["facets"], &holder["outputFacets"]]) {
            for facet in facets.as_object().into_iter().flat_map(|facets| facets.values()) {
                text(&facet["_producer"]);
                assert!(facet["_schemaURL"].as_str().unwrap().starts_with("https://openlineage.io/spec/facets/"));
            }
        }
    }

    #[test]
    fn a_run_has_one_id_that_tells_it_from_others() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (one, later) = (at("2026-11-27T19:00:00.000000001Z"), at("2026-11-27T19:00:00.5Z"));
        let id = run_id("uid", one);
        assert_eq!(id, run_id("uid", one));
        assert!(id < run_id("uid", later) && id != run_id("other", one), "ordered by time");
        assert_eq!((&id[..14], &id[14..15]), ("01a21e60-f380-", "7"), "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
    }

    #[test]
    fn events_are_what_the_specification_says() {
        let run = run();
        let held = Held { version: "sha256:1".to_owned(), objects: 3, bytes: 40, rows: Some(5) };
        let events = [
            run.start(),
            run.end(&RunEnd::Complete, run.started, &[Some(held.clone()), None]),
            run.end(&RunEnd::Fail("the source is gone".to_owned()), run.started, &[]),
            run.end(&RunEnd::Abort, run.started, &[]),
        ];
        events.iter().for_each(assert_is_run_event);
        let [start, complete, fail, abort] = events;
        assert_eq!((&start["eventType"], &start["eventTime"]), (&json!("START"), &json!("2026-11-27T19:00:00Z")));
        assert_eq!(start["run"]["runId"], complete["run"]["runId"]);
        assert_eq!(start["job"]["namespace"], "ml");
        assert_eq!(start["inputs"], json!([{"namespace": "s3://raw", "name": "w"}]));
        let output = &complete["outputs"][0];
        assert_eq!(output["facets"]["version"]["datasetVersion"], "sha256:1");
        let statistics = &output["outputFacets"]["outputStatistics"];
        assert_eq!(
            (&statistics["rowCount"], &statistics["size"], &statistics["fileCount"]),
            (&json!(5), &json!(40), &json!(3))
        );
        assert_eq!(complete["outputs"][1], json!({"namespace": "s3://two", "name": "w"}));
        let message = &fail["run"]["facets"]["errorMessage"];
        assert_eq!(
            (&message["message"], &message["programmingLanguage"]),
            (&json!("the source is gone"), &json!("Rust"))
        );
        assert_eq!((&fail["eventType"], &abort["eventType"]), (&json!("FAIL"), &json!("ABORT")));
        let uncounted = run.end(&RunEnd::Complete, run.started, &[Some(Held { rows: None, ..held })]);
        assert!(uncounted["outputs"][0]["outputFacets"]["outputStatistics"].get("rowCount").is_none());
    }
}
