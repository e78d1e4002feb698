//! Small objects: copied, and then found to be settled.

use std::time::Duration;

use crate::scenario::{Bench, Told};

impl Bench {
    /// Objects of 10 KiB at a server whose answers take so many milliseconds more.
    pub(crate) async fn small(&self, bench: &str, count: usize, latency: u64) -> Result<(), String> {
        self.fill(count, 10 * 1024);
        self.server.set_latency(Duration::from_millis(latency));
        let costs = self.in_turns(|| self.empty("target")).await;
        self.server.set_latency(Duration::ZERO);
        let costs = costs?;
        let told = Told { bench, objects: count, costs: &costs };
        self.tell(&told, "cpu_per_object", |cost| cost.cpu);
        self.tell(&told, "wall_per_object", |cost| cost.wall);
        self.tell_memory(&told);
        Ok(())
    }
}
