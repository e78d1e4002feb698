//! Which flows of data stand on others: pure.
//!
//! A flow whose source lies where another's target does is made of what that one makes. It waits for it, and no flow may be made of
//! itself: of those in a circle the newest is refused, so that what went well goes on.

use std::collections::BTreeSet;

/// A place for objects: those below a prefix of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What names the bucket.
    pub bucket: String,
    /// The prefix within it.
    pub prefix: String,
}

impl Place {
    /// Whether an object may lie in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other_prefix) = (&self.prefix, &other.prefix);
        self.bucket == other.bucket && (one.starts_with(other_prefix) || other_prefix.starts_with(one))
    }
}

/// From where to where data flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// When it was created, in seconds since the Unix epoch.
    pub created: i64,
    /// Where the data is.
    pub source: Place,
    /// Where it goes.
    pub targets: Vec<Place>,
}

/// A flow that another is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Those of its targets that the other reads, by their order.
    pub targets: Vec<usize>,
}

/// A flow that is made of what it makes, and the newest of those on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its source is made of its own targets: the data would flow in a circle ({}); let one of them read from, or write to, \
     another prefix",
    .0.join(" -> ")
)]
pub struct Circle(
    /// The flows on the way, in the order in which data goes, from the one that was asked for to itself.
    pub Vec<String>,
);

/// What a flow is directly made of, in the order in which they are given. Those that are refused make nothing.
///
/// # Errors
/// It is made of itself, and the newest of those on the way; a shortest way is told.
pub fn upstream(flow: &Flow, all: &[Flow]) -> Result<Vec<Upstream>, Circle> {
    let mut all: Vec<&Flow> = all.iter().collect();
    while let Some(circle) = circle(flow, &all) {
        let newest = circle.iter().copied().max_by_key(|flow| (flow.created, &flow.name)).unwrap_or(flow);
        if newest.name == flow.name {
            return Err(Circle(circle.into_iter().map(|flow| flow.name.clone()).collect()));
        }
        all.retain(|other| other.name != newest.name);
    }
    Ok(feeding(flow, &all).map(|(of, targets)| Upstream { name: of.name.clone(), targets }).collect())
}

fn feeding<'a>(flow: &Flow, all: &[&'a Flow]) -> impl Iterator<Item = (&'a Flow, Vec<usize>)> {
    all.iter().filter_map(move |of| {
        let targets = of.targets.iter().enumerate().filter(|(_, target)| target.overlaps(&flow.source));
        let targets: Vec<_> = targets.map(|(index, _)| index).collect();
        (!targets.is_empty()).then_some((*of, targets))
    })
}

/// A shortest circle through a flow, in the order in which data goes, from the flow to itself.
fn circle<'a>(flow: &'a Flow, all: &[&'a Flow]) -> Option<Vec<&'a Flow>> {
    // Ways from the flow against the stream.
    let (mut ways, mut seen) = (vec![vec![flow]], BTreeSet::new());
    while !ways.is_empty() {
        let mut next = Vec::new();
        for way in ways {
            let last = way.last().copied()?;
            for (of, _) in feeding(last, all) {
                if of.name == flow.name {
                    return Some(std::iter::once(flow).chain(way.into_iter().rev()).collect());
                }
                if seen.insert(&of.name) {
                    next.push(way.iter().copied().chain([of]).collect());
                }
            }
        }
        ways = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Flow, Place, Upstream, upstream};

    fn place(text: &str) -> Place {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    fn flow(name: &str, source: &str, targets: &[&str]) -> Flow {
        let targets = targets.iter().map(|text| place(text)).collect();
        Flow { name: name.to_owned(), created: 0, source: place(source), targets }
    }

    #[test]
    fn a_flow_stands_on_those_whose_targets_it_reads() {
        let raw = flow("raw", "a/in/", &["b/raw/", "c/raw/"]);
        let clean = flow("clean", "b/raw/2026/", &["b/clean/"]);
        let copy = flow("copy", "b/", &["d"]);
        let all = [raw.clone(), clean.clone(), copy.clone()];
        let on = |name: &str, targets: &[usize]| Upstream { name: name.to_owned(), targets: targets.to_vec() };
        assert_eq!(upstream(&raw, &all), Ok(vec![]));
        assert_eq!(upstream(&clean, &all), Ok(vec![on("raw", &[0])]));
        assert_eq!(upstream(&copy, &all), Ok(vec![on("raw", &[0]), on("clean", &[0])]), "a whole bucket holds both");
    }

    #[test]
    fn of_a_circle_the_newest_is_refused_and_the_others_go_on() {
        let there = flow("there", "a/x/", &["b/x/"]);
        let on = flow("on", "b/x/", &["c/x/"]);
        let back = Flow { created: 1, ..flow("back", "c/", &["a/x/y/"]) };
        let beside = flow("beside", "b/x/", &["d/"]);
        let all = [there.clone(), on.clone(), back.clone(), beside.clone()];
        let circle = upstream(&back, &all).unwrap_err();
        assert_eq!(circle.0, ["back", "there", "on", "back"], "in the order in which data goes");
        assert!(circle.to_string().contains("(back -> there -> on -> back)"), "{circle}");
        assert_eq!(upstream(&there, &all), Ok(vec![]), "it is made of nothing that is refused");
        let on_there = Upstream { name: "there".to_owned(), targets: vec![0] };
        assert_eq!(upstream(&on, &all), Ok(vec![on_there.clone()]));
        assert_eq!(upstream(&beside, &all), Ok(vec![on_there]));
    }

    proptest! {
        #[test]
        fn what_is_not_refused_has_an_order(
            edges in prop::collection::vec((0..6_usize, 0..6_usize, 0..3_i64), 0..12),
        ) {
            let flows: Vec<_> = edges.iter().enumerate().map(|(index, (from, to, created))| {
                Flow { created: *created, ..flow(&index.to_string(), &format!("b{from}"), &[&format!("b{to}")]) }
            }).collect();
            let is_fed_by = |flow: &Flow, all: &[&Flow]| all.iter().any(|of| of.targets[0].overlaps(&flow.source));
            // Taking away what nothing feeds, again and again, leaves only circles and what they feed.
            let rest = |mut left: Vec<&Flow>| {
                loop {
                    let before = left.clone();
                    left.retain(|flow| is_fed_by(flow, &before));
                    if left.len() == before.len() {
                        return left.len();
                    }
                }
            };
            let kept: Vec<_> = flows.iter().filter(|flow| upstream(flow, &flows).is_ok()).collect();
            prop_assert_eq!(rest(kept.clone()), 0);
            prop_assert_eq!(rest(flows.iter().collect()) == 0, kept.len() == flows.len());
        }
    }
}
