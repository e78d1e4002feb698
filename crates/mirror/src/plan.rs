//! Which objects a pass copies: pure.

use std::collections::HashMap;

use crate::{ObjectSummary, State, StateEntry};

/// What is known of a target before a pass.
#[derive(Debug, Clone, Default)]
pub struct TargetView {
    /// What the target holds now: size and ETag by key.
    pub listing: HashMap<String, (u64, String)>,
    /// What earlier passes verified.
    pub state: State,
}

/// One object to copy, read once for all its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCopy {
    /// The object as the source's listing shows it.
    pub object: ObjectSummary,
    /// The indices of the targets that need it.
    pub targets: Vec<usize>,
}

/// What a pass does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyPlan {
    /// The objects that at least one target needs, in the order of the source's listing.
    pub copies: Vec<ObjectCopy>,
    /// For each target, the state of the objects that need nothing: what the source no longer has is not in it.
    pub settled: Vec<State>,
}

/// Decides what each target needs. An object is settled where an earlier pass verified this version of the source's object
/// (size, ETag, modification) and the target still holds what was verified (size, ETag); else it is copied. A target
/// given as `None` cannot be reached and gets nothing.
#[must_use]
pub fn plan_copies(source: Vec<ObjectSummary>, targets: &[Option<TargetView>]) -> CopyPlan {
    let mut plan = CopyPlan { copies: Vec::new(), settled: vec![State::default(); targets.len()] };
    for object in source {
        let mut needed_by = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            match settled(&object, target) {
                Some(entry) => _ = plan.settled[index].entries.insert(object.key.clone(), entry.clone()),
                None => needed_by.push(index),
            }
        }
        if !needed_by.is_empty() {
            plan.copies.push(ObjectCopy { object, targets: needed_by });
        }
    }
    plan
}

fn settled<'a>(object: &ObjectSummary, target: &'a TargetView) -> Option<&'a StateEntry> {
    let entry = target.state.entries.get(&object.key)?;
    let (size, etag) = target.listing.get(&object.key)?;
    let same_source =
        entry.size == object.size && entry.source_etag == object.etag && entry.source_modified == object.modified;
    let same_target = entry.size == *size && entry.target_etag == *etag;
    (same_source && same_target && entry.sha256.is_some()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::{CopyPlan, TargetView, plan_copies};
    use crate::{ObjectSummary, Sha256, StateEntry};
    use proptest::prelude::*;

    fn object(key: &str) -> ObjectSummary {
        ObjectSummary { key: key.to_owned(), size: 3, etag: "s1".to_owned(), modified: 100, md5: None }
    }

    /// A target that an earlier pass brought up to date with [`object`].
    fn settled(key: &str) -> TargetView {
        let entry = StateEntry {
            size: 3,
            sha256: Some(Sha256::of(b"abc")),
            source_etag: "s1".to_owned(),
            source_modified: 100,
            target_etag: "t1".to_owned(),
        };
        let mut view = TargetView::default();
        view.state.entries.insert(key.to_owned(), entry);
        view.listing.insert(key.to_owned(), (3, "t1".to_owned()));
        view
    }

    fn plan_one(change: impl FnOnce(&mut ObjectSummary, &mut TargetView)) -> CopyPlan {
        let (mut object, mut target) = (object("k"), settled("k"));
        change(&mut object, &mut target);
        plan_copies(vec![object], &[Some(target)])
    }

    #[test]
    fn a_settled_object_is_left_alone() {
        let plan = plan_one(|_, _| ());
        assert!(plan.copies.is_empty());
        assert_eq!(plan.settled, [settled("k").state]);
    }

    #[test]
    fn any_difference_is_copied() {
        type Change = fn(&mut ObjectSummary, &mut TargetView);
        let changes: [(&str, Change); 8] = [
            ("source size", |object, _| object.size = 4),
            ("source ETag", |object, _| object.etag = "s2".to_owned()),
            ("source modification", |object, _| object.modified = 101),
            ("target object gone", |_, target| target.listing.clear()),
            ("target size", |_, target| target.listing.get_mut("k").unwrap().0 = 4),
            ("target ETag", |_, target| target.listing.get_mut("k").unwrap().1 = "t2".to_owned()),
            ("state lost", |_, target| target.state.entries.clear()),
            ("content not known", |_, target| target.state.entries.get_mut("k").unwrap().sha256 = None),
        ];
        for (what, change) in changes {
            let plan = plan_one(change);
            assert_eq!(plan.copies.len(), 1, "{what}");
            assert!(plan.settled[0].entries.is_empty(), "{what}");
        }
    }

    #[test]
    fn each_object_is_read_once_for_the_targets_that_need_it() {
        let plan = plan_copies(
            vec![object("a"), object("b")],
            &[Some(settled("a")), None, Some(TargetView::default()), Some(settled("b"))],
        );
        let needs: Vec<_> = plan.copies.iter().map(|copy| (copy.object.key.as_str(), copy.targets.clone())).collect();
        assert_eq!(needs, [("a", vec![2, 3]), ("b", vec![0, 2])]);
    }

    #[test]
    fn what_left_the_source_leaves_the_state() {
        let plan = plan_copies(Vec::new(), &[Some(settled("gone"))]);
        assert!(plan.copies.is_empty() && plan.settled[0].entries.is_empty());
    }

    proptest! {
        #[test]
        fn every_object_is_either_settled_or_copied_at_every_target(
            keys in prop::collection::btree_set("[a-c]{1,2}", 0..8),
            present in prop::collection::vec(prop::collection::btree_set("[a-c]{1,2}", 0..8), 0..4),
        ) {
            let targets: Vec<_> = present.iter().map(|keys| {
                let mut view = TargetView::default();
                for one in keys.iter().map(|key| settled(key)) {
                    view.listing.extend(one.listing);
                    view.state.entries.extend(one.state.entries);
                }
                Some(view)
            }).collect();
            let plan = plan_copies(keys.iter().map(|key| object(key)).collect(), &targets);
            for (index, present) in present.iter().enumerate() {
                for key in &keys {
                    let copied = plan.copies.iter().any(|copy| copy.object.key == *key && copy.targets.contains(&index));
                    prop_assert_eq!(copied, !present.contains(key));
                    prop_assert_eq!(plan.settled[index].entries.contains_key(key), present.contains(key));
                }
            }
        }
    }
}
