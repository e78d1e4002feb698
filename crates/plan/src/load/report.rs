//! What one pod said, no more of it than the load needs.

use std::collections::BTreeMap;

use super::exposition::{Unreadable, samples};
use super::reading::{Part, Reading};

/// A program with more label sets than this under one name has not meant them for this.
const MOST_SERIES: usize = 1000;

/// Numbers by label set.
pub(super) type Series = BTreeMap<String, f64>;

/// What one pod's metrics said at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Empty where it was asked for and not there.
    parts: BTreeMap<Part, Series>,
}

impl Report {
    /// Looks for what is asked for in the body of a pod's metrics.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read(body: &[u8], reading: &Reading) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotText)?;
        let mut found = vec![(Series::new(), Series::new()); reading.terms.len()];
        for sample in samples(text, |name| reading.wants(name))? {
            // A gauge without a value is written as NaN; what is infinite or less than nothing is no count of requests.
            if !sample.value.is_finite() || sample.value < 0.0 {
                continue;
            }
            for (term, (exact, otherwise)) in reading.terms.iter().zip(&mut found) {
                let Some((key, is_exact)) = term.key(&sample) else { continue };
                let series = if is_exact { &mut *exact } else { &mut *otherwise };
                series.insert(key, sample.value * term.scale);
                if series.len() > MOST_SERIES {
                    return Err(Unreadable::TooManySeries(MOST_SERIES));
                }
            }
        }
        let mut parts = BTreeMap::<Part, Series>::new();
        for (term, (exact, otherwise)) in reading.terms.iter().zip(found) {
            parts.entry(term.part).or_default().extend(if exact.is_empty() { otherwise } else { exact });
        }
        Ok(Self { parts })
    }

    /// Whether nothing of what was asked for was there: the names may be wrong, or nothing has been counted yet.
    #[must_use]
    pub fn says_nothing(&self) -> bool {
        self.parts.values().all(BTreeMap::is_empty)
    }

    pub(super) fn asked(&self, part: Part) -> bool {
        self.parts.contains_key(&part)
    }

    /// The series of a part; `None` where there are none.
    pub(super) fn series(&self, part: Part) -> Option<&Series> {
        self.parts.get(&part).filter(|series| !series.is_empty())
    }
}
