//! What a mirror says while it runs: a moving line on a terminal, else plain lines, or JSON Lines for programs.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use skyfleet_mirror::MirrorEvent;

use super::amounts::readable;

/// Objects between two plain lines that say how far it is.
const LINE_EVERY: u64 = 100_000;

/// On standard error; JSON Lines on standard output.
pub(super) struct Voice {
    targets: Vec<String>,
    line: ProgressBar,
    plain: bool,
    json: bool,
    dry_run: bool,
    compared: AtomicU64,
    copied: AtomicU64,
    sent: AtomicU64,
}

impl Voice {
    pub(super) fn new(targets: Vec<String>, json: bool, dry_run: bool) -> Self {
        let plain = json || !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        line.enable_steady_tick(Duration::from_millis(200));
        let zero = AtomicU64::default;
        Self { targets, line, plain, json, dry_run, compared: zero(), copied: zero(), sent: zero() }
    }

    /// Is told of an event.
    pub(super) fn hear(&self, event: &MirrorEvent) {
        match event {
            MirrorEvent::Compared(more) => {
                let compared = self.compared.fetch_add(*more, Ordering::Relaxed) + more;
                if self.plain && !self.json && *more > 0 && compared.is_multiple_of(LINE_EVERY) {
                    eprintln!("{}", self.so_far());
                }
            }
            MirrorEvent::Sent { bytes, .. } => _ = self.sent.fetch_add(*bytes, Ordering::Relaxed),
            MirrorEvent::Differs { target, key, bytes, .. } if self.dry_run => {
                self.say(
                    &format!("would copy {key:?} ({}) to {}", readable(*bytes), self.targets[*target]),
                    || json!({"event": "wouldCopy", "target": self.targets[*target], "key": key, "bytes": bytes}),
                );
            }
            MirrorEvent::Differs { .. } | MirrorEvent::HandedOver { .. } => {}
            MirrorEvent::Copied { target, key, bytes } => {
                self.copied.fetch_add(1, Ordering::Relaxed);
                if self.json {
                    let target = &self.targets[*target];
                    write(&json!({"event": "copied", "target": target, "key": key, "bytes": bytes}));
                }
            }
            MirrorEvent::Removed { target, key } => {
                let (did, event) = if self.dry_run { ("would remove", "wouldRemove") } else { ("removed", "removed") };
                self.say(
                    &format!("{did} {key:?} from {}", self.targets[*target]),
                    || json!({"event": event, "target": self.targets[*target], "key": key}),
                );
            }
            MirrorEvent::Failed { target, failure } => {
                let place = target.map_or("the source", |target| &self.targets[target]);
                self.say(&format!("failed at {place}: {failure}"), || {
                    json!({"event": "failed", "target": target.map(|target| &self.targets[target]), "key": failure.key,
                        "error": failure.error.to_string()})
                });
            }
        }
        self.line.set_message(self.so_far());
    }

    fn so_far(&self) -> String {
        let [compared, copied, sent] = [&self.compared, &self.copied, &self.sent].map(|of| of.load(Ordering::Relaxed));
        format!("{compared} objects compared, {copied} copied, {} sent", readable(sent))
    }

    fn say(&self, text: &str, event: impl Fn() -> Value) {
        if self.json {
            write(&event());
        } else {
            self.line.suspend(|| eprintln!("{text}"));
        }
    }

    /// Nothing moves any more.
    pub(super) fn end(&self) {
        self.line.finish_and_clear();
    }
}

fn write(event: &Value) {
    crate::cli::say(&event.to_string());
}
