//! The addresses of names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::upstream::Addresses;

/// Of a name.
const MOST_ADDRESSES: usize = 16;

/// All of them at once. What is not found in time has none.
pub(super) async fn resolve(names: impl IntoIterator<Item = String>, most: Duration) -> Addresses {
    let mut asked = JoinSet::new();
    for name in names {
        asked.spawn(async move {
            let found = timeout(most, lookup_host((&*name, 0))).await;
            let found: Vec<_> = found.ok().and_then(Result::ok).into_iter().flatten().map(|one| one.ip()).collect();
            (name, of_one_version(&found))
        });
    }
    let mut addresses = BTreeMap::new();
    while let Some(found) = asked.join_next().await {
        addresses.extend(found);
    }
    addresses
}

/// Most names that have both versions have one machine twice.
fn of_one_version(found: &[IpAddr]) -> BTreeSet<IpAddr> {
    let has_v4 = found.iter().any(IpAddr::is_ipv4);
    let all: BTreeSet<_> = found.iter().copied().filter(|address| address.is_ipv4() == has_v4).collect();
    all.into_iter().take(MOST_ADDRESSES).collect()
}

/// Whether addresses are in use that names have no more, or names that had none have some now. Names that cannot be found keep what they had.
pub(super) fn is_outdated(used: &Addresses, now: &Addresses) -> bool {
    used.iter().any(|(name, used)| {
        let now = now.get(name).filter(|now| !now.is_empty());
        now.is_some_and(|now| used.is_empty() || !used.is_subset(now))
    })
}

/// The addresses that names are to have: those of now, and where there are none those of before.
pub(super) fn best(mut now: Addresses, before: &Addresses) -> Addresses {
    for (name, addresses) in &mut now {
        if addresses.is_empty() {
            addresses.extend(before.get(name).into_iter().flatten());
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(of: &[&str]) -> Addresses {
        [("n".to_owned(), of.iter().map(|text| text.parse().unwrap()).collect())].into()
    }

    #[test]
    fn addresses_are_changed_only_where_they_have_to() {
        for (used, now, expected) in [
            (vec!["10.0.0.1"], vec!["10.0.0.1"], false),
            (vec!["10.0.0.1"], vec!["10.0.0.1", "10.0.0.2"], false),
            (vec!["10.0.0.1"], vec!["10.0.0.2"], true),
            (vec!["10.0.0.1"], vec![], false),
            (vec![], vec!["10.0.0.1"], true),
            (vec![], vec![], false),
        ] {
            assert_eq!(is_outdated(&addresses(&used), &addresses(&now)), expected, "{used:?} {now:?}");
        }
        assert_eq!(best(addresses(&[]), &addresses(&["10.0.0.1"])), addresses(&["10.0.0.1"]));
        assert_eq!(best(addresses(&["10.0.0.2"]), &addresses(&["10.0.0.1"])), addresses(&["10.0.0.2"]));
    }

    #[test]
    fn one_machine_is_not_taken_twice() {
        let found = ["fd00::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        assert_eq!(of_one_version(&found), ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap()).into());
        assert_eq!(of_one_version(&found[..1]), found[..1].iter().copied().collect());
    }

    #[tokio::test]
    async fn a_name_that_is_none_has_no_address() {
        let names = ["localhost", "no-such-name.invalid"].map(str::to_owned);
        let found = resolve(names, Duration::from_secs(20)).await;
        assert_eq!(found["localhost"], BTreeSet::from([IpAddr::from([127, 0, 0, 1])]));
        assert_eq!(found["no-such-name.invalid"], BTreeSet::new());
    }
}
