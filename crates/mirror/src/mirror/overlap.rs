//! Whether one copy lies within another: pure.

use crate::Replica;

/// Two of the copies that overlap, if there are any: a copy within another one would be copied in its turn, pass after pass.
pub(crate) fn overlapping(source: &Replica, targets: &[Replica]) -> Option<(String, String)> {
    let replicas: Vec<_> = std::iter::once(source).chain(targets).collect();
    replicas.iter().enumerate().find_map(|(index, one)| {
        let other = replicas[..index].iter().find(|other| overlap(one, other))?;
        Some((name(other), name(one)))
    })
}

fn overlap(one: &Replica, other: &Replica) -> bool {
    let (a, b) = (one.store.place(), other.store.place());
    let (one, other) = (format!("{}{}", a.prefix, one.prefix), format!("{}{}", b.prefix, other.prefix));
    (&a.endpoint, &a.bucket) == (&b.endpoint, &b.bucket) && (one.starts_with(&other) || other.starts_with(&one))
}

fn name(replica: &Replica) -> String {
    let place = replica.store.place();
    format!("{}/{}{}", place.bucket, place.prefix, replica.prefix)
}
