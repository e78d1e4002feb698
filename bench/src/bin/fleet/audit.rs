//! When decisions were written to the hub: by its API server's audit log, which has the arrival of each write to the
//! microsecond. A watch would tell of a decision later, often after the members have been told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

/// A place in the log, and the two clocks at that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    offset: u64,
    instant: Instant,
    time: Timestamp,
}

/// The writes of a status, by ModelDeployment, in order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct StatusWrites(BTreeMap<String, Vec<StatusWrite>>);

#[derive(Debug)]
struct StatusWrite {
    received: Instant,
    /// The version of the object that it was computed from.
    version: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    request_received_timestamp: Timestamp,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Mark {
    /// The end of the log as it is now.
    pub(crate) fn end_of(log: &Path) -> io::Result<Self> {
        let offset = std::fs::metadata(log)?.len();
        Ok(Self { offset, instant: Instant::now(), time: Timestamp::now() })
    }

    /// The writes that were accepted since.
    pub(crate) fn status_writes(self, log: &Path) -> io::Result<StatusWrites> {
        let mut file = File::open(log)?;
        if file.metadata()?.len() < self.offset {
            return Err(io::Error::other("the log was rotated: make fewer changes"));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(self.read(&text))
    }

    fn read(self, text: &str) -> StatusWrites {
        let mut writes = StatusWrites::default();
        // Only whole lines are entries.
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
            let accepted = entry.response_status.is_some_and(|status| status.code == Some(200));
            let Some(object) = entry.object_ref.filter(|_| accepted) else { continue };
            if (object.resource.as_str(), object.subresource.as_str()) != ("modeldeployments", "status") {
                continue;
            }
            let since = entry.request_received_timestamp.duration_since(self.time);
            let since = Duration::try_from(since).unwrap_or_default();
            let Ok(version) = object.resource_version.parse() else { continue };
            let write = StatusWrite { received: self.instant + since, version };
            writes.0.entry(object.name).or_default().push(write);
        }
        writes.0.values_mut().for_each(|writes| writes.sort_unstable_by_key(|write| write.received));
        writes
    }
}

impl StatusWrites {
    /// The first write that was computed from this version of the object or a later one: it has the decision.
    pub(crate) fn first_of(&self, name: &str, version: u64) -> Option<Instant> {
        let first = self.0.get(name)?.iter().find(|write| write.version >= version)?;
        Some(first.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: &str, resource: &str, subresource: &str, code: u16, version: u64) -> String {
        format!(
            r#"{{"requestReceivedTimestamp":"2026-01-01T00:00:{second}Z","verb":"update","objectRef":{{"resource":"{resource}","subresource":"{subresource}","name":"m","resourceVersion":"{version}"}},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn the_first_accepted_status_of_a_version_is_found() {
        let time: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mark = Mark { offset: 0, instant: Instant::now(), time };
        let log = [
            entry("01.000000", "modeldeployments", "status", 200, 6),
            entry("02.500000", "modeldeployments", "status", 409, 11),
            entry("03.000000", "clusters", "status", 200, 10),
            entry("03.250000", "modeldeployments", "status", 200, 12),
            "{\"half a line".to_owned(),
        ];
        let writes = mark.read(&log.join("\n"));
        let at = |milliseconds| mark.instant + Duration::from_millis(milliseconds);
        assert_eq!(writes.first_of("m", 5), Some(at(1000)));
        assert_eq!(writes.first_of("m", 10), Some(at(3250)));
        assert_eq!(writes.first_of("m", 13), None);
        assert_eq!(writes.first_of("other", 0), None);
    }
}
