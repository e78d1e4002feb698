//! Amounts of resources in whole units, so that a decision costs no parsing and no rounding.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;
use serde::{Deserialize, Serialize};

/// Amounts by resource. What is not named is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu_millis: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Pods.
    pub pods: i64,
    /// Everything else by its name: GPUs in pieces, ephemeral storage in bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, i64>,
}

impl Resources {
    /// From what an API server says. An amount that cannot be read counts as none: the API server has checked them all.
    pub fn from_quantities<'a>(quantities: impl IntoIterator<Item = (&'a String, &'a Quantity)>) -> Self {
        let mut all = Self::default();
        for (name, quantity) in quantities {
            let Ok(parsed) = ParsedQuantity::try_from(quantity) else { continue };
            // The library's whole numbers drop fractions (1.5Gi) and refuse thousandths; up to 2^53 these are exact.
            let Some(amount) = parsed.to_bytes_f64() else { continue };
            match name.as_str() {
                "cpu" => all.cpu_millis = whole(amount * 1000.0),
                "memory" => all.memory_bytes = whole(amount),
                "pods" => all.pods = whole(amount),
                _ => {
                    all.other.insert(name.clone(), whole(amount));
                }
            }
        }
        all
    }

    /// The amount of one resource.
    #[must_use]
    pub fn amount(&self, resource: &str) -> i64 {
        match resource {
            "cpu" => self.cpu_millis,
            "memory" => self.memory_bytes,
            "pods" => self.pods,
            other => self.other.get(other).copied().unwrap_or_default(),
        }
    }

    /// How many times `need` is in these; nothing needed is there without end.
    #[must_use]
    pub fn times(&self, need: &Self) -> i64 {
        // What [`Self::against`] would say, with fewer divisions: this is asked of every node for every decision.
        let mut times = i64::MAX;
        let mut bound = |have: i64, need: i64| {
            if need > 0 && need.saturating_mul(times) > have {
                times = have.max(0) / need;
            }
        };
        bound(self.pods, need.pods);
        bound(self.cpu_millis, need.cpu_millis);
        bound(self.memory_bytes, need.memory_bytes);
        for (name, need) in &need.other {
            bound(self.other.get(name).copied().unwrap_or_default(), *need);
        }
        times
    }

    /// Takes `need` away `times` times. What is not there becomes negative: more was promised than there is.
    pub fn take(&mut self, need: &Self, times: i64) {
        self.cpu_millis = self.cpu_millis.saturating_sub(need.cpu_millis.saturating_mul(times));
        self.memory_bytes = self.memory_bytes.saturating_sub(need.memory_bytes.saturating_mul(times));
        self.pods = self.pods.saturating_sub(need.pods.saturating_mul(times));
        for (name, amount) in need.other.iter().filter(|(_, amount)| **amount != 0) {
            let have = self.other.entry(name.clone()).or_default();
            *have = have.saturating_sub(amount.saturating_mul(times));
        }
    }

    /// Takes an amount of one resource away.
    pub fn reduce(&mut self, resource: &str, amount: i64) {
        match resource {
            "cpu" => self.cpu_millis -= amount,
            "memory" => self.memory_bytes -= amount,
            "pods" => self.pods -= amount,
            other => {
                if let Some(have) = self.other.get_mut(other) {
                    *have -= amount;
                }
            }
        }
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        self.take(more, -1);
    }

    /// The larger of both, resource by resource.
    pub fn raise_to(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.max(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.pods = self.pods.max(other.pods);
        for (name, amount) in &other.other {
            let mine = self.other.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }

    /// Of every resource that `need` needs: its name, what there is, what is needed.
    pub fn against<'a>(&'a self, need: &'a Self) -> impl Iterator<Item = (&'a str, i64, i64)> {
        let fixed = [
            ("cpu", self.cpu_millis, need.cpu_millis),
            ("memory", self.memory_bytes, need.memory_bytes),
            ("pods", self.pods, need.pods),
        ];
        let other = need.other.iter().map(|(name, need)| (name.as_str(), self.amount(name), *need));
        fixed.into_iter().chain(other).filter(|(_, _, need)| *need > 0)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 stops at the bounds of i64, which is what is wanted"
)]
fn whole(amount: f64) -> i64 {
    amount.round() as i64
}

/// An amount as a person writes it: `1500m`, `16Gi`, `4`.
pub(crate) fn written(resource: &str, amount: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    match resource {
        "cpu" if amount % 1000 == 0 => (amount / 1000).to_string(),
        "cpu" => format!("{amount}m"),
        "memory" | "ephemeral-storage" => {
            let unit = UNITS.iter().find(|(_, size)| amount.abs() >= *size);
            unit.map_or_else(|| amount.to_string(), |(name, size)| format!("{}{name}", amount / size))
        }
        _ => amount.to_string(),
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.against(self).map(|(name, _, amount)| format!("{} {name}", written(name, amount))).collect();
        f.write_str(&all.join(", "))
    }
}
