//! How a mirror ended, in words and as JSON: pure.

use serde_json::{Value, json};
use skyfleet_mirror::{SyncReport, SyncTarget};

use super::amounts::readable;

/// What names each side, and what a GiB that leaves the source costs.
pub(super) struct Frame {
    pub(super) targets: Vec<String>,
    pub(super) dry_run: bool,
    /// In US dollars.
    pub(super) price_per_gib: Option<f64>,
}

const GIB: f64 = 1_073_741_824.0;

impl Frame {
    /// One line a target.
    pub(super) fn words(&self, report: &SyncReport) -> String {
        let lines = self.targets.iter().zip(&report.targets).map(|(name, target)| self.line(name, report, target));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, name: &str, report: &SyncReport, target: &SyncTarget) -> String {
        let SyncTarget { settled, copied, copied_bytes, attributes_lost, failed, surplus, removed, .. } = target;
        let [copied_word, removed_word] = if self.dry_run { ["to copy", "to remove"] } else { ["copied", "removed"] };
        let price = self.price(*copied_bytes).map(|price| format!(", about ${price:.2} to leave the source"));
        let failures = failed + report.source_failures;
        let failed = if failures > 0 { format!(", {failures} failed") } else { String::new() };
        let surplus = if *surplus > 0 {
            format!("; {surplus} are not at the source, {removed} {removed_word}")
        } else {
            String::new()
        };
        let lost = if *attributes_lost > 0 {
            format!("; {attributes_lost} lost their content type or other attributes, which it cannot keep")
        } else {
            String::new()
        };
        let bytes = format!("{}{}", readable(*copied_bytes), price.unwrap_or_default());
        format!("{name}: {copied} {copied_word} ({bytes}), {settled} as they should be{failed}{surplus}{lost}")
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn price(&self, bytes: u64) -> Option<f64> {
        self.price_per_gib.map(|price| price * bytes as f64 / GIB)
    }

    /// The last line for programs. The names of its fields stay.
    pub(super) fn json(&self, report: &SyncReport) -> Value {
        let target = |(name, target): (&String, &SyncTarget)| {
            json!({
                "target": name, "settled": target.settled, "copied": target.copied,
                "copiedBytes": target.copied_bytes, "attributesLost": target.attributes_lost, "failed": target.failed, "surplus": target.surplus,
                "removed": target.removed, "price": self.price(target.copied_bytes),
                "error": target.error.as_ref().map(ToString::to_string),
            })
        };
        let targets: Vec<Value> = self.targets.iter().zip(&report.targets).map(target).collect();
        json!({
            "event": "report", "complete": report.is_complete(), "dryRun": self.dry_run,
            "compared": report.compared, "sourceFailures": report.source_failures, "targets": targets,
        })
    }

    /// What was left out and why; `None` when nothing was.
    pub(super) fn left_out(&self, report: &SyncReport) -> Option<String> {
        if report.is_complete() {
            return None;
        }
        let errors = self.targets.iter().zip(&report.targets);
        let errors = errors.filter_map(|(name, target)| Some(format!("{name}: {}", target.error.as_ref()?)));
        let errors: Vec<_> = errors.collect();
        let failed = report.source_failures + report.targets.iter().map(|target| target.failed).sum::<u64>();
        let counted = format!("{failed} objects failed; run it again to try them once more");
        Some(match (errors.is_empty(), failed) {
            (true, _) => counted,
            (false, 0) => errors.join("\n"),
            (false, _) => format!("{counted}\n{}", errors.join("\n")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;
    use skyfleet_mirror::{SyncReport, SyncTarget, TargetError};

    fn report() -> SyncReport {
        let fine = SyncTarget { settled: 3, copied: 2, copied_bytes: 3 << 29, ..SyncTarget::default() };
        let error = Some(TargetError::TooManyDeletions { surplus: 4, held: 9 });
        let refused = SyncTarget { settled: 5, surplus: 4, failed: 1, error, ..SyncTarget::default() };
        SyncReport { compared: 5, source_failures: 0, targets: vec![fine, refused] }
    }

    #[test]
    fn each_target_has_its_line() {
        let targets = vec!["s3://a/".to_owned(), "s3://b/".to_owned()];
        let frame = Frame { targets, dry_run: false, price_per_gib: Some(0.09) };
        assert_eq!(
            frame.words(&report()),
            "s3://a/: 2 copied (1.5 GiB, about $0.14 to leave the source), 3 as they should be\n\
             s3://b/: 0 copied (0 B, about $0.00 to leave the source), 5 as they should be, 1 failed; 4 are not at the \
             source, 0 removed"
        );
        let left_out = frame.left_out(&report()).unwrap();
        assert!(
            left_out.starts_with("1 objects failed") && left_out.contains("s3://b/: nothing was removed"),
            "{left_out}"
        );
        assert_eq!(frame.json(&report())["targets"][1]["surplus"], 4);
    }
}
