//! How a mirror ended, in words and as JSON: pure.

use serde_json::{Value, json};
use skyfleet_mirror::{Left, MirrorReport, PricePerGb, TagsUnread, TargetReport};
use skyfleet_transform::Outcome;

use super::amounts::readable;

/// What names each side, and what leaving the source costs.
pub(super) struct Frame {
    pub(super) targets: Vec<String>,
    pub(super) dry_run: bool,
    pub(super) price: Option<PricePerGb>,
    /// Whether objects are looked at row by row, or cut between rows.
    pub(super) counts_rows: bool,
}

impl Frame {
    /// One line a target, and one for the source where it is asked what leaves it.
    pub(super) fn words(&self, report: &MirrorReport) -> String {
        let lines = self.targets.iter().zip(&report.targets).map(|(name, target)| self.line(name, report, target));
        lines
            .chain(self.rows_line(report))
            .chain(self.source_line(report))
            .chain(tags_line(report))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn rows_line(&self, report: &MirrorReport) -> Option<String> {
        let Outcome { rows_read, rows_written, rejected, .. } = report.rows;
        let letters = match rejected {
            0 => String::new(),
            _ => format!("; {rejected} could not be transformed: see .skyfleet/dead-letters/ at the targets"),
        };
        (self.counts_rows && rows_read > 0).then(|| format!("rows: {rows_read} read, {rows_written} held{letters}"))
    }

    fn source_line(&self, report: &MirrorReport) -> Option<String> {
        let cost = self.price.map(|price| format!(" and cost about {:.2}", price.of(report.source_bytes)));
        let verb = if self.dry_run { "would leave" } else { "left" };
        let bytes = readable(report.source_bytes);
        (self.dry_run || cost.is_some())
            .then(|| format!("the source: {bytes} {verb} it, once for all targets{}", cost.unwrap_or_default()))
    }

    fn line(&self, name: &str, report: &MirrorReport, target: &TargetReport) -> String {
        let TargetReport {
            settled, copied, copied_bytes, attributes_lost, failed, left, surplus, moved, removed, ..
        } = target;
        let tags_lost: Vec<_> =
            target.tags_lost.iter().map(|(why, objects)| format!("; {objects} carry tags, {why}")).collect();
        let tags_lost = tags_lost.concat();
        let [copied_word, removed_word] = if self.dry_run { ["to copy", "to remove"] } else { ["copied", "removed"] };
        let failures = failed + report.source_failures;
        let failed = if failures > 0 { format!(", {failures} failed") } else { String::new() };
        let surplus = match (surplus, moved) {
            (0, 0) => String::new(),
            (_, 0) => format!("; {surplus} are not at the source, {removed} {removed_word}"),
            (0, _) => format!("; {moved} are another target's now, {removed} {removed_word}"),
            _ => format!(
                "; {surplus} are not at the source and {moved} are another target's now, {removed} {removed_word}"
            ),
        };
        let lost = if *attributes_lost > 0 {
            format!("; {attributes_lost} lost their content type or other attributes, which it cannot keep")
        } else {
            String::new()
        };
        let left = if left.is_nothing() { String::new() } else { format!(", {} left for later", left.objects) };
        let bytes = readable(*copied_bytes);
        format!(
            "{name}: {copied} {copied_word} ({bytes}), {settled} as they should be{failed}{left}{surplus}{lost}{tags_lost}"
        )
    }

    /// The last line for programs. The names of its fields stay.
    pub(super) fn json(&self, report: &MirrorReport) -> Value {
        let target = |(name, target): (&String, &TargetReport)| {
            json!({
                "target": name, "settled": target.settled, "copied": target.copied,
                "copiedBytes": target.copied_bytes, "attributesLost": target.attributes_lost,
                "tagsLost": tags_lost(target), "failed": target.failed, "surplus": target.surplus, "moved": target.moved, "removed": target.removed, "left": left(&target.left),
                "error": target.error.as_ref().map(ToString::to_string),
            })
        };
        let tags_unread = report.tags_unread.as_ref();
        let tags_unread = tags_unread.map(|unread| json!({"objects": unread.objects, "why": unread.error.to_string()}));
        let targets: Vec<Value> = self.targets.iter().zip(&report.targets).map(target).collect();
        json!({
            "event": "report", "complete": report.is_complete(), "dryRun": self.dry_run,
            "compared": report.compared, "sourceFailures": report.source_failures, "sourceBytes": report.source_bytes,
            "egressCost": self.price.map(|price| price.of(report.source_bytes).to_string()), "left": left(&report.left),
            "tagsUnread": tags_unread, "targets": targets, "rows": self.counts_rows.then(|| rows(report)),
        })
    }

    /// What was left out and why; `None` when nothing was.
    pub(super) fn left_out(&self, report: &MirrorReport) -> Option<String> {
        if report.is_complete() {
            return None;
        }
        let errors = self.targets.iter().zip(&report.targets);
        let errors = errors.filter_map(|(name, target)| Some(format!("{name}: {}", target.error.as_ref()?)));
        let failed = report.source_failures + report.targets.iter().map(|target| target.failed).sum::<u64>();
        let counted = format!("{failed} objects failed; run it again to try them once more");
        let left = format!("{}: run it again, or allow more by --max-egress-cost", report.left);
        let failed = (failed > 0).then_some(counted);
        let left = (!report.left.is_nothing()).then_some(left);
        Some(failed.into_iter().chain(left).chain(errors).collect::<Vec<_>>().join("\n"))
    }
}

/// What stays at the source because it could not be read there.
fn tags_line(report: &MirrorReport) -> Option<String> {
    let TagsUnread { objects, error } = report.tags_unread.as_ref()?;
    Some(format!("the source: {objects} were copied without their tags: {error}"))
}

fn rows(report: &MirrorReport) -> Value {
    let Outcome { rows_read, rejected, steps, rows_written } = &report.rows;
    let steps: Vec<_> = steps.iter().map(|step| json!({"rowsIn": step.rows_in, "rowsOut": step.rows_out})).collect();
    json!({"read": rows_read, "rejected": rejected, "steps": steps, "written": rows_written})
}

fn tags_lost(target: &TargetReport) -> Vec<Value> {
    let lost = target.tags_lost.iter();
    lost.map(|(why, objects)| json!({"objects": objects, "why": why.to_string()})).collect()
}

/// Costs are decimal numbers in quotes: no number of JSON holds them.
fn left(left: &Left) -> Value {
    json!({"objects": left.objects, "bytes": left.bytes, "cost": left.cost.to_string()})
}

#[cfg(test)]
mod tests {
    use super::Frame;
    use skyfleet_mirror::{
        Left, MirrorReport, Place, StoreError, StoreErrorKind, TagsLost, TagsUnread, TargetError, TargetReport,
    };

    fn report() -> MirrorReport {
        let fine = TargetReport { settled: 3, copied: 2, copied_bytes: 3 << 29, ..TargetReport::default() };
        let error = Some(TargetError::TooManyDeletions { surplus: 4, held: 9 });
        let refused = TargetReport { settled: 5, surplus: 4, failed: 1, error, ..TargetReport::default() };
        MirrorReport { compared: 5, source_bytes: 3 << 29, targets: vec![fine, refused], ..MirrorReport::default() }
    }

    fn frame(dry_run: bool, price: Option<&str>) -> Frame {
        let targets = vec!["s3://a/".to_owned(), "s3://b/".to_owned()];
        Frame { targets, dry_run, price: price.map(|price| price.parse().unwrap()), counts_rows: false }
    }

    #[test]
    fn each_target_has_its_line() {
        let frame = frame(false, Some("0.09"));
        assert_eq!(
            frame.words(&report()),
            "s3://a/: 2 copied (1.5 GiB), 3 as they should be\n\
             s3://b/: 0 copied (0 B), 5 as they should be, 1 failed; 4 are not at the source, 0 removed\n\
             the source: 1.5 GiB left it, once for all targets and cost about 0.15"
        );
        let left_out = frame.left_out(&report()).unwrap();
        assert!(
            left_out.starts_with("1 objects failed") && left_out.contains("s3://b/: nothing was removed"),
            "{left_out}"
        );
        assert_eq!(frame.json(&report())["targets"][1]["surplus"], 4);
    }

    #[test]
    fn tags_that_do_not_arrive_are_named_with_the_reason() {
        let tags_lost = [(TagsLost::Unsupported, 3), (TagsLost::Refused("s3:PutObjectTagging"), 1)].into();
        let target = TargetReport { copied: 4, tags_lost, ..TargetReport::default() };
        let Place { endpoint, bucket, .. } = Place { endpoint: "e".into(), bucket: "b".into(), prefix: "".into() };
        let kind = StoreErrorKind::CredentialsRefused;
        let action = "read the tags".to_owned();
        let error = StoreError { kind, action, endpoint, bucket, detail: String::new(), retry_after: None };
        let tags_unread = Some(TagsUnread { objects: 2, error });
        let report = MirrorReport { targets: vec![target], tags_unread, ..MirrorReport::default() };
        let frame = Frame { targets: vec!["gs://b/".to_owned()], ..frame(false, None) };
        let words = frame.words(&report);
        assert!(
            words.starts_with(
                "gs://b/: 4 copied (0 B), 0 as they should be; 3 carry tags, which it cannot keep; \
                 1 carry tags, which its credentials may not write: they lack s3:PutObjectTagging\n\
                 the source: 2 were copied without their tags: cannot read the tags"
            ),
            "{words}"
        );
        let json = frame.json(&report);
        assert_eq!(
            (&json["targets"][0]["tagsLost"][0]["objects"], &json["tagsUnread"]["objects"]),
            (&3.into(), &2.into())
        );
    }

    #[test]
    fn what_became_of_rows_is_told_where_they_were_looked_at() {
        let steps = vec![skyfleet_transform::StepCount { rows_in: 99, rows_out: 50 }];
        let rows = skyfleet_transform::Outcome { rows_read: 100, rejected: 1, steps, rows_written: 50 };
        let report = MirrorReport { rows, ..report() };
        assert!(!frame(false, None).words(&report).contains("rows:"));
        let frame = Frame { counts_rows: true, ..frame(false, None) };
        let words = frame.words(&report);
        assert!(
            words.contains("rows: 100 read, 50 held; 1 could not be transformed: see .skyfleet/dead-letters/"),
            "{words}"
        );
        assert_eq!(frame.json(&report)["rows"]["steps"][0]["rowsOut"], 50);
    }

    #[test]
    fn an_estimate_is_exact_for_programs() {
        let (dry, unpriced) = (frame(true, Some("0.09")), frame(true, None));
        assert!(dry.words(&report()).ends_with("1.5 GiB would leave it, once for all targets and cost about 0.15"));
        assert!(unpriced.words(&report()).ends_with("1.5 GiB would leave it, once for all targets"));
        assert!(!frame(false, None).words(&report()).contains("the source:"));
        let json = dry.json(&report());
        assert_eq!((&json["sourceBytes"], &json["egressCost"]), (&1_610_612_736_u64.into(), &"0.14495514624".into()));
        assert!(unpriced.json(&report())["egressCost"].is_null());
    }

    #[test]
    fn what_was_left_for_its_cost_is_said_with_its_price() {
        let left = Left { objects: 2, bytes: 3000, cost: "0.27".parse().unwrap() };
        let behind = TargetReport { copied: 1, left, ..TargetReport::default() };
        let report = MirrorReport { left, targets: vec![behind], ..MirrorReport::default() };
        let frame = Frame { targets: vec!["s3://a/".to_owned()], ..frame(false, None) };
        assert_eq!(frame.words(&report), "s3://a/: 1 copied (0 B), 0 as they should be, 2 left for later");
        let left_out = frame.left_out(&report).unwrap();
        assert!(left_out.starts_with("2 objects (3000 bytes) are left for a later pass"), "{left_out}");
        assert!(left_out.contains("they cost 0.27") && left_out.contains("--max-egress-cost"), "{left_out}");
        let json = frame.json(&report);
        assert_eq!((&json["complete"], &json["left"]["cost"]), (&false.into(), &"0.27".into()));
    }
}
