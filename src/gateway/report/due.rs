//! Whether a report is to be written: pure.

use std::collections::BTreeSet;
use std::time::Duration;

use super::content::{Figures, Models};

/// A report is renewed so often while there is something to tell: one that is not is not believed for long.
const RENEWAL: Duration = Duration::from_mins(1);
/// The share by which a figure has changed when that is worth a write.
const CHANGE: f64 = 0.2;
/// Changes that are smaller are none, whatever their share is.
const LEAST_IN_FLIGHT: f64 = 0.5;
const LEAST_MILLISECONDS: f64 = 5.0;

/// What was written last, and how long ago.
pub(super) struct Told<'a> {
    pub(super) models: &'a Models,
    pub(super) requested: &'a BTreeSet<String>,
    pub(super) age: Duration,
}

/// Whether to write what is so now.
pub(super) fn is_due(told: Option<&Told<'_>>, now: &Models) -> bool {
    let Some(told) = told else { return true };
    is_news(told.models, now) || !now.is_empty() && told.age >= RENEWAL
}

/// Whether to write at once that these had requests and no replica: somebody waits for one.
pub(super) fn is_urgent(told: Option<&Told<'_>>, requested: &BTreeSet<String>) -> bool {
    let known = told.filter(|told| told.age < RENEWAL).map(|told| told.requested);
    requested.iter().any(|model| known.is_none_or(|known| !known.contains(model)))
}

fn is_news(told: &Models, now: &Models) -> bool {
    if told.len() != now.len() {
        return true;
    }
    now.iter().any(|(model, clusters)| {
        let Some(known) = told.get(model).filter(|known| known.len() == clusters.len()) else { return true };
        clusters.iter().any(|(cluster, figures)| known.get(cluster).is_none_or(|known| differs(known, figures)))
    })
}

fn differs(told: &Figures, now: &Figures) -> bool {
    told.is_busy() != now.is_busy()
        || is_far(told.in_flight, now.in_flight, LEAST_IN_FLIGHT)
        || match (told.response_milliseconds, now.response_milliseconds) {
            (Some(told), Some(now)) => is_far(told, now, LEAST_MILLISECONDS),
            (told, now) => told.is_some() != now.is_some(),
        }
}

fn is_far(told: f64, now: f64, least: f64) -> bool {
    let change = (told - now).abs();
    change >= least && change >= CHANGE * told.max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(model: &str, cluster: &str, in_flight: f64, milliseconds: Option<f64>) -> Models {
        let figures = Figures { in_flight, answers_per_second: 0.0, response_milliseconds: milliseconds };
        [(model.to_owned(), [(cluster.to_owned(), figures)].into())].into()
    }

    #[test]
    fn what_changed_enough_is_written_and_the_rest_now_and_then() {
        let told = models("m", "a", 10.0, Some(100.0));
        for (now, seconds, due) in [
            (told.clone(), 15, false),
            (told.clone(), 60, true),
            (models("m", "a", 11.9, Some(115.0)), 15, false),
            (models("m", "a", 12.6, Some(100.0)), 15, true),
            (models("m", "a", 7.9, Some(100.0)), 15, true),
            (models("m", "a", 0.0, Some(100.0)), 15, true),
            (models("m", "a", 10.0, Some(130.0)), 15, true),
            (models("m", "a", 10.0, None), 15, true),
            (models("n", "a", 10.0, Some(100.0)), 15, true),
            (models("m", "b", 10.0, Some(100.0)), 15, true),
            (Models::new(), 15, true),
        ] {
            let told = Told { models: &told, requested: &BTreeSet::new(), age: Duration::from_secs(seconds) };
            assert_eq!(is_due(Some(&told), &now), due, "{now:?} after {seconds} s");
        }
    }

    #[test]
    fn little_is_no_news_unless_it_begins_or_ends() {
        let due = |told: Models, now: Models| {
            is_due(Some(&Told { models: &told, requested: &BTreeSet::new(), age: Duration::ZERO }), &now)
        };
        assert!(!due(models("m", "a", 0.1, Some(1.0)), models("m", "a", 0.4, Some(4.0))));
        assert!(due(models("m", "a", 0.0, None), models("m", "a", 0.1, None)));
        assert!(due(models("m", "a", 0.1, None), models("m", "a", 0.0, None)));
    }

    #[test]
    fn without_anything_to_tell_only_the_first_one_is_written() {
        assert!(is_due(None, &Models::new()));
        let told = Told { models: &Models::new(), requested: &BTreeSet::new(), age: Duration::from_hours(1) };
        assert!(!is_due(Some(&told), &Models::new()));
    }

    #[test]
    fn what_has_no_replica_is_told_at_once_and_again_each_minute() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        for (told, seconds, now, is) in [
            (&["a"][..], 1, &[][..], false),
            (&["a"], 1, &["a"], false),
            (&["a"], 1, &["a", "b"], true),
            (&["a"], 60, &["a"], true),
            (&["a"], 60, &[], false),
        ] {
            let requested = names(told);
            let last = Told { models: &Models::new(), requested: &requested, age: Duration::from_secs(seconds) };
            assert_eq!(is_urgent(Some(&last), &names(now)), is, "{now:?} {seconds} s after {told:?}");
        }
        assert!(is_urgent(None, &names(&["a"])) && !is_urgent(None, &BTreeSet::new()));
    }
}
