//! `rollout status`: waits until a rollout is through or has failed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::progress::{Progress, progress};
use crate::cli::failure::Failure;
use crate::cli::hub::{Found, HubArgs, read};
use crate::cli::target::Target;

/// How often the hub is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many answers may fail to come in a row: an API server that restarts is no failed rollout.
const MISSES: u32 = 60;

/// Say how a rollout stands; wait until it is through, unless --watch=false. Fails when the rollout has
#[derive(Debug, clap::Args)]
#[command(after_help = crate::cli::HUB_EXIT_STATUSES)]
pub(crate) struct StatusArgs {
    /// modeldeployment/NAME, or just NAME
    #[arg(value_name = "MODELDEPLOYMENT")]
    target: Target,
    /// Wait until it is through
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    watch: bool,
    /// How long to wait, such as 90s, 5m or 1h; 0s is without end
    #[arg(long, default_value = "0s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    hub: HubArgs,
}

impl StatusArgs {
    pub(super) async fn run(self) -> Result<String, Failure> {
        let Found { client, namespace, mut model } = self.hub.find(&self.target).await?;
        let end = Instant::now().checked_add(self.timeout).filter(|_| !self.timeout.is_zero());
        let mut said = String::new();
        let mut misses = 0;
        loop {
            let waiting = match progress(&model).map_err(Failure::Rollout)? {
                Progress::Done(line) => return Ok(line),
                Progress::Failed(line) => return Err(Failure::Rollout(line)),
                Progress::Waiting(line) if !self.watch => return Ok(line),
                Progress::Waiting(line) => line,
            };
            if waiting != said {
                crate::cli::say(&waiting);
                said = waiting;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Err(Failure::Rollout("timed out waiting for the rollout to finish".to_owned()));
            }
            sleep(INTERVAL).await;
            match read(&client, &namespace, &self.target).await {
                Ok(now) => (model, misses) = (now, 0),
                Err(Failure::Hub { .. }) if misses < MISSES => misses += 1,
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// A whole number of seconds, minutes or hours.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?}: give a whole number of seconds, minutes or hours, such as 90s, 5m or 1h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_duration_is_a_number_with_its_unit() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!([seconds("0s"), seconds("90s"), seconds("5m"), seconds("2h")], [Ok(0), Ok(90), Ok(300), Ok(7200)]);
        for text in ["", "s", "5", "-1s", "1.5h", "5 m", "5d", "1é"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
