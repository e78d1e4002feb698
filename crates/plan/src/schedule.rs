//! When the next pass over a DatasetReplica starts.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use skyfleet_api::dataset_replica::Schedule as Wanted;

/// Delay after the first pass that failed; it doubles with each, up to the next regular time.
const FIRST_DELAY: Duration = Duration::from_secs(5);

/// Timers take no years: what comes later is looked at again meanwhile.
const LONGEST: Duration = Duration::from_hours(24);

/// When passes start.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So long after the end of the last one.
    Every(Duration),
    /// At the first of these times, in UTC, after the end of the last one: those that are missed meanwhile are one.
    Cron(Box<Cron>),
}

/// A schedule by which no pass can start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// No cron expression; the second text says why.
    #[error("spec.schedule.cron: {0:?} cannot be read: {1}")]
    Unreadable(String, String),
    /// A cron expression such as that of 30 February.
    #[error("spec.schedule.cron: {0:?} names no time that ever comes")]
    Never(String),
}

impl Schedule {
    /// When passes start from `now` on.
    ///
    /// # Errors
    /// When the cron expression cannot be read, or its time never comes.
    pub fn of(wanted: &Wanted, now: Timestamp) -> Result<Self, InvalidSchedule> {
        let Some(text) = &wanted.cron else {
            return Ok(Self::Every(Duration::from_secs(wanted.interval_seconds().unwrap_or(300))));
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| InvalidSchedule::Unreadable(text.clone(), error.to_string()))?;
        if next_time(&cron, now).is_none() {
            return Err(InvalidSchedule::Never(text.clone()));
        }
        Ok(Self::Cron(Box::new(cron)))
    }

    /// How long after `now` the next pass starts, when the last one ended then and was the last of so many failures in a row;
    /// `None` when it is due.
    #[must_use]
    pub fn wait(&self, ended: Timestamp, failures: u32, now: Timestamp) -> Option<Duration> {
        // Somebody has set the clock back: what is known of the time is of no use.
        if now < ended {
            return None;
        }
        let regular = match self {
            Self::Every(interval) => ended.checked_add(*interval).ok(),
            Self::Cron(cron) => next_time(cron, ended),
        };
        let regular = regular.map_or(SignedDuration::MAX, |time| time.duration_since(now));
        let again = ended.checked_add(delay(failures)).ok().filter(|_| failures > 0);
        let again = again.map_or(SignedDuration::MAX, |time| time.duration_since(now));
        let wait = Duration::try_from(regular.min(again)).ok()?;
        (!wait.is_zero()).then(|| wait.min(LONGEST))
    }

    /// Whether the times are those of a clock, so that they outlast the operator.
    #[must_use]
    pub fn is_cron(&self) -> bool {
        matches!(self, Self::Cron(_))
    }
}

/// The first time of the expression after this one.
fn next_time(cron: &Cron, after: Timestamp) -> Option<Timestamp> {
    let next = cron.find_next_occurrence(&Offset::UTC.to_datetime(after), false).ok()?;
    next.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

fn delay(failures: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str) -> Result<Schedule, InvalidSchedule> {
        Schedule::of(&Wanted { cron: Some(cron.to_owned()), ..Wanted::default() }, time("2026-11-25T12:00:00Z"))
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_next_pass_starts_at_the_next_time_after_the_last_one_ended() {
        for (cron, ended, next) in [
            ("0 3 * * *", "2026-11-25T02:59:59.5Z", "2026-11-25T03:00:00Z"),
            ("0 3 * * *", "2026-11-25T03:00:00Z", "2026-11-26T03:00:00Z"),
            // It took longer than until the next time.
            ("*/10 * * * *", "2026-11-25T12:25:00Z", "2026-11-25T12:30:00Z"),
            ("30 6 1 * *", "2026-12-01T06:30:00Z", "2027-01-01T06:30:00Z"),
            ("0 0 29 2 *", "2026-11-25T12:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 9 * * MON-FRI", "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"),
            // As in every cron: either of both days.
            ("0 0 13 * 5", "2026-11-25T12:00:00Z", "2026-11-27T00:00:00Z"),
            ("  5   4 * * *  ", "2026-11-25T12:00:00Z", "2026-11-26T04:05:00Z"),
        ] {
            let Ok(Schedule::Cron(parsed)) = schedule(cron) else { panic!("{cron} is none") };
            assert_eq!(next_time(&parsed, time(ended)), Some(time(next)), "{cron} after {ended}");
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused_with_a_reason() {
        for (cron, why) in [
            ("0 25 * * *", "cannot be read"),
            ("0 3 * *", "cannot be read"),
            ("0 0 3 * * *", "cannot be read"),
            ("x 3 * * *", "cannot be read"),
            ("0 0 30 2 *", "no time that ever comes"),
        ] {
            let error = schedule(cron).expect_err(cron).to_string();
            assert!(error.contains(why) && error.contains(cron), "{error}");
        }
    }

    #[test]
    fn a_pass_waits_for_its_time() {
        let (hourly, every) = (schedule("0 * * * *").expect("a schedule"), Schedule::Every(Duration::from_mins(1)));
        let ended = "2026-11-25T12:10:00Z";
        for (schedule, failures, now, wait) in [
            (&hourly, 0, "2026-11-25T12:10:00Z", Some(50 * 60)),
            (&hourly, 0, "2026-11-25T12:59:59Z", Some(1)),
            (&hourly, 0, "2026-11-25T13:00:00Z", None),
            // The operator was away: all that was missed is one pass.
            (&hourly, 0, "2026-11-29T07:30:00Z", None),
            (&hourly, 3, "2026-11-25T12:10:05Z", Some(15)),
            (&hourly, 30, "2026-11-25T12:10:00Z", Some(50 * 60)),
            (&every, 0, "2026-11-25T12:10:20Z", Some(40)),
            (&every, 1, "2026-11-25T12:10:02Z", Some(3)),
            (&every, 9, "2026-11-25T12:10:20Z", Some(40)),
            (&every, 0, "2026-11-25T12:11:00Z", None),
            (&every, 0, "2026-11-25T12:09:00Z", None),
        ] {
            let found = schedule.wait(time(ended), failures, time(now));
            assert_eq!(found, wait.map(Duration::from_secs), "{failures} failures, {now}");
        }
        let yearly = schedule("0 0 1 1 *").expect("a schedule");
        assert_eq!(yearly.wait(time(ended), 0, time(ended)), Some(LONGEST), "no timer waits for years");
    }
}
