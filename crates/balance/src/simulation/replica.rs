//! How long a replica takes, and when it takes longer.

use std::time::Duration;

use crate::failure::Failure;

/// A random time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Time {
    /// None.
    Zero,
    /// With this mean.
    Exponential(f64),
    /// With this mean and standard deviation; never negative.
    Normal(f64, f64),
    /// With this median, and this standard deviation of its logarithm.
    LogNormal(f64, f64),
}

impl Time {
    /// Draws one.
    pub fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        let seconds = match self {
            Self::Zero => 0.0,
            Self::Exponential(mean) => -mean * (1.0 - rng.f64()).ln(),
            Self::Normal(mean, deviation) => mean + deviation * normal(rng),
            Self::LogNormal(median, deviation) => median * (deviation * normal(rng)).exp(),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

/// Of the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// What a slow or broken replica takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes {
    /// So many times as long.
    Times(f64),
    /// This time.
    Fixed(Duration),
    /// This time, and then it fails.
    Fails(Duration, Failure),
}

/// A replica is slow or broken for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slowdown {
    /// From when on.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// What it takes then.
    pub takes: Takes,
}

/// A replica that does so many requests at once, and lets the others wait in the order in which they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Requests at once.
    pub slots: usize,
    /// The time from the start of work to the first byte.
    pub first_byte: Time,
    /// When it is slow or broken.
    pub slowdown: Option<Slowdown>,
}

impl Replica {
    /// The time to the first byte of a request on which work begins now, or to its failure.
    pub fn draw(&self, now: Duration, rng: &mut fastrand::Rng) -> (Duration, Option<Failure>) {
        let usual = self.first_byte.draw(rng);
        match self.slowdown.filter(|slowdown| (slowdown.from..slowdown.until).contains(&now)) {
            Some(Slowdown { takes: Takes::Times(times), .. }) => (usual.mul_f64(times), None),
            Some(Slowdown { takes: Takes::Fixed(fixed), .. }) => (fixed, None),
            Some(Slowdown { takes: Takes::Fails(after, failure), .. }) => (after, Some(failure)),
            None => (usual, None),
        }
    }
}
