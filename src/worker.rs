//! What a pod of a mirror Job does: goes through ranges of a dataset's keys until none is left.
//!
//! It asks nothing of the API server. What it needs to know is in files, what it does is in the buckets.

use std::path::PathBuf;
use std::sync::Arc;

use skyfleet_mirror::{Ledger, WorkError, WorkOutcome, WorkPace, WorkerId, work};

use crate::operator::{Connected, Task, TaskError};

/// Copy a part of a dataset: what the pods of a Job do that the operator makes
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// The folder with what was handed over
    #[arg(long)]
    task: PathBuf,
    /// Which of the Job's pods it is, from 0
    #[arg(long, env = "JOB_COMPLETION_INDEX")]
    index: u32,
}

/// Why a worker could not do its part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error("a store cannot be reached: {0}")]
    Unconnected(String),
}

impl WorkerArgs {
    /// Works until there is nothing left to do. A request to end is followed soon, and what was copied is remembered.
    pub(crate) async fn run(self) -> Result<(), WorkerError> {
        let task = Task::read(&self.task)?;
        let cancel = crate::cli::until_interrupted();
        let connected = Box::pin(Connected::connect(task.job(&self.task)?, &cancel)).await.map_err(|report| {
            let why = report.source.err().map(|error| error.message);
            WorkerError::Unconnected(why.unwrap_or_default())
        })?;
        let books = connected.target(task.books).map_err(WorkerError::Unconnected)?;
        let Connected { source, targets, options, .. } = &connected;
        let dataset = options.dataset.as_ref().ok_or_else(|| TaskError::Refused("it names no dataset".to_owned()))?;
        let ledger = Ledger::new(books.clone(), &dataset.name);
        let id = WorkerId { attempt: task.attempt, index: self.index };
        tracing::info!(work = task.work, index = self.index, "begun");
        let outcome = Box::pin(work(
            source,
            targets,
            options,
            (&ledger, &task.work, id, WorkPace::default()),
            &cancel,
            Arc::new(|_| {}),
        ))
        .await?;
        match outcome {
            WorkOutcome::Finished => tracing::info!("all ranges are done"),
            WorkOutcome::Closed => tracing::info!("the work was ended"),
        }
        Ok(())
    }
}
