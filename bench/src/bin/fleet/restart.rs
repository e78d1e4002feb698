//! How soon an operator that was ended works again.

use std::time::{Duration, Instant};

use skyfleet_bench::figures::Figure;

use crate::error::BenchError;
use crate::hub::Hub;
use crate::models::{Models, model_name};
use crate::operator::{Operator, Program};
use crate::wait::until;

/// For an operator to work again, whatever the reason it takes long.
const LIMIT: Duration = Duration::from_mins(2);
/// The project's own bound.
const TARGET_SECONDS: f64 = 10.0;

/// How an operator ends, and which one comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By SIGTERM, as in a rollout: it gives its Lease back.
    Resigned,
    /// By SIGKILL; the next one has the same name, as a container that is started again in its pod.
    Killed,
    /// By SIGKILL; the next one has another name, as a pod on another node. The Lease has to run out first.
    Lost,
}

impl Ending {
    pub(crate) const ALL: [Self; 3] = [Self::Resigned, Self::Killed, Self::Lost];

    fn word(self) -> &'static str {
        match self {
            Self::Resigned => "resigned",
            Self::Killed => "killed",
            Self::Lost => "lost",
        }
    }
}

/// The names of operators in the leader election.
#[derive(Debug, Default)]
pub(crate) struct Identities(u32);

impl Identities {
    pub(crate) fn current(&self) -> String {
        format!("operator-{}", self.0)
    }

    fn next(&mut self) -> String {
        self.0 += 1;
        self.current()
    }
}

/// Ends the operator and starts another. A ModelDeployment is changed at that moment; the times are those from the start of
/// the process.
pub(crate) async fn restart(
    operator: &mut Operator,
    ending: Ending,
    (program, hub, models): (&Program, &Hub, &Models),
    identities: &mut Identities,
    prefix: &str,
) -> Result<Vec<Figure>, BenchError> {
    models.book.open().take_done();
    let identity = if ending == Ending::Killed { identities.current() } else { identities.next() };
    match ending {
        Ending::Resigned => operator.stop().await?,
        Ending::Killed | Ending::Lost => operator.kill().await?,
    }
    *operator = Operator::start(program, hub, &identity)?;
    let model = settled_model(models)?;
    models.scale(&model.0, model.1 + 1).await?;
    let (mut pass, mut object, mut unheard) = (None, None, false);
    until("the operator to work again", LIMIT, Duration::from_millis(10), async || {
        operator.check()?;
        if pass.is_none() && operator.passes().await.is_some_and(|passes| passes.done > 0.0) {
            pass = Some(operator.started.elapsed());
        }
        if object.is_none() {
            let done = models.book.open().take_done();
            unheard |= done.iter().any(|done| done.arrived.is_none());
            let arrived = done.first().and_then(|done| done.arrived);
            object = arrived.map(|arrived| arrived.saturating_duration_since(operator.started));
        }
        let seen = || {
            let place = if unheard { "a member that does not answer" } else { "no member yet" };
            format!("first pass {pass:?}; {} asked for {} replicas: at {place}", model.0, model.1 + 1)
        };
        Ok(if pass.is_some() && object.is_some() { Ok(()) } else { Err(seen()) })
    })
    .await?;
    let figures = [("to_first_pass", pass), ("to_object", object)].map(|(what, time)| {
        Figure::seconds(format!("{prefix}.restart_{}.{what}", ending.word()), time).below(TARGET_SECONDS)
    });
    Ok(figures.into())
}

/// One that has settled and its replicas; its next replica has a place at a member that answers.
fn settled_model(models: &Models) -> Result<(String, i64), BenchError> {
    let ledger = models.book.open();
    let settled = |number| {
        let name = model_name(number);
        let replicas = ledger.settled(&name)?;
        Some((name, replicas))
    };
    (0..models.count).find_map(settled).ok_or(BenchError::Timeout {
        what: "a ModelDeployment that has settled",
        seconds: 0,
        last: format!("at {:?}", Instant::now()),
    })
}
