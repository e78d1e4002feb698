use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;

/// How far a transfer is: a bar on a terminal, else a line for each tenth. On standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: Option<Mutex<Tenths>>,
}

/// Counts bytes and says when another tenth is done.
#[derive(Debug, Default)]
struct Tenths {
    done: u64,
    total: u64,
    said: u64,
}

impl Tenths {
    fn add(&mut self, bytes: u64) -> Option<u64> {
        self.done += bytes;
        let tenth = (self.done * 10).checked_div(self.total)?.min(10);
        let is_news = tenth > self.said;
        self.said = self.said.max(tenth);
        is_news.then_some(tenth * 10)
    }
}

impl Progress {
    /// For a transfer of so many bytes.
    pub(super) fn new(what: &str, total: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what.to_owned());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = (!is_terminal).then(|| Mutex::new(Tenths { total, ..Tenths::default() }));
        Self { bar, lines }
    }

    /// The transfer turns out to have so many bytes.
    pub(super) fn set_total(&self, total: u64) {
        self.bar.set_length(total);
        if let Some(Ok(mut tenths)) = self.lines.as_ref().map(Mutex::lock) {
            tenths.total = total;
        }
    }

    /// So many bytes more are done.
    pub(super) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        let Some(Ok(mut tenths)) = self.lines.as_ref().map(Mutex::lock) else { return };
        if let Some(percent) = tenths.add(bytes) {
            eprintln!("{}: {percent}% of {} bytes", self.bar.message(), tenths.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Tenths;

    #[test]
    fn each_tenth_is_said_once() {
        let mut tenths = Tenths { total: 100, ..Tenths::default() };
        let said: Vec<_> = [5, 5, 5, 35, 60].into_iter().map(|bytes| tenths.add(bytes)).collect();
        assert_eq!(said, [None, Some(10), None, Some(50), Some(100)]);
        assert_eq!(Tenths::default().add(0), None);
    }
}
