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

/// The arrivals of writes of a status, by ModelDeployment, in order.
#[derive(Debug, Default)]
pub(crate) struct StatusWrites(BTreeMap<String, Vec<Instant>>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    request_received_timestamp: Timestamp,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    name: String,
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
            writes.0.entry(object.name).or_default().push(self.instant + since);
        }
        writes.0.values_mut().for_each(|times| times.sort_unstable());
        writes
    }
}

impl StatusWrites {
    /// The first write at or after a moment: a write that was computed before a change is refused, so that the first one
    /// after it has the decision.
    pub(crate) fn first_after(&self, name: &str, moment: Instant) -> Option<Instant> {
        let times = self.0.get(name)?;
        times.get(times.partition_point(|time| *time < moment)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: &str, resource: &str, subresource: &str, code: u16) -> String {
        format!(
            r#"{{"requestReceivedTimestamp":"2026-01-01T00:00:{second}Z","verb":"update","objectRef":{{"resource":"{resource}","subresource":"{subresource}","name":"m"}},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn the_first_accepted_status_after_a_change_is_found() {
        let time: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mark = Mark { offset: 0, instant: Instant::now(), time };
        let log = [
            entry("01.000000", "modeldeployments", "status", 200),
            entry("02.000000", "modeldeployments", "scale", 200),
            entry("02.500000", "modeldeployments", "status", 409),
            entry("03.000000", "clusters", "status", 200),
            entry("03.250000", "modeldeployments", "status", 200),
            "{\"half a line".to_owned(),
        ];
        let writes = mark.read(&log.join("\n"));
        let at = |milliseconds| mark.instant + Duration::from_millis(milliseconds);
        assert_eq!(writes.first_after("m", at(500)), Some(at(1000)));
        assert_eq!(writes.first_after("m", at(2000)), Some(at(3250)));
        assert_eq!(writes.first_after("m", at(3251)), None);
        assert_eq!(writes.first_after("other", at(0)), None);
    }
}
