//! Makes objects of the source's by a transform, while they are read.

mod dead_letters;
mod input;
mod pipe;

use std::sync::{Arc, LazyLock};

use futures::future::join3;
use skyfleet_transform::{Outcome, RowLimits, Transform, TransformError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::copy::{Restarts, is_stale};
use super::fan_out::{Content, Proven, Start, fan_out};
use super::part::Size;
use super::source_tags::SourceTags;
use super::{Copy, Destination, SourceRead, Transfer};
use crate::dataset::layout::dead_letters_key;
use crate::mirror::MirrorOptions;
use crate::state::{Made, StateEntry};
use crate::{Attributes, DatasetName, ObjectHead, ObjectSummary, Replica, StoreError, StoreErrorKind};
use dead_letters::{remove_dead_letters, write_dead_letters};
use input::Input;
use pipe::{MadeReader, PipeWriter, pipe};

/// What all objects of a pass are made by.
pub(crate) struct Making {
    transform: Arc<Transform>,
    limits: RowLimits,
    dataset: Option<DatasetName>,
}

/// A transform keeps a core busy, and takes some memory: those of all passes take turns.
static RUNNING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// An object that something is to be made of.
pub(crate) struct Unmade {
    /// Its key at the source, relative to the prefix.
    pub(crate) key: String,
    /// For each destination, whether records of an earlier version lie there that could not be transformed.
    pub(crate) had_dead_letters: Vec<bool>,
}

impl Making {
    pub(crate) fn of(options: &MirrorOptions) -> Option<Self> {
        let transforming = options.transforming.as_ref()?;
        Some(Self {
            transform: transforming.transform.clone(),
            limits: transforming.limits,
            dataset: options.dataset.as_ref().map(|dataset| dataset.name.clone()),
        })
    }

    /// Where records lie that could not be transformed into a part of the object with this key.
    pub(crate) fn dead_letters_key(&self, key: &str) -> String {
        dead_letters_key(self.dataset.as_ref(), key)
    }
}

/// Makes one object, anew when the source's changes meanwhile. `sent` is told which destination has taken how many bytes.
///
/// # Errors
/// The source cannot be read, changes again and again, or holds what cannot be transformed ([`StoreErrorKind::Rejected`]).
pub(crate) async fn make_object(
    source: &Replica,
    (listed, unmade): (&ObjectSummary, &Unmade),
    destinations: &[Destination],
    (making, transfer): (&Making, &Transfer),
    sent: impl Fn(usize, u64) + Sync,
) -> Result<SourceRead, StoreError> {
    let _running = RUNNING.acquire().await;
    let mut restarts = Restarts::default();
    loop {
        match make_once(source, (listed, unmade), destinations, (making, transfer), &sent).await {
            Err(error) if is_stale(&error) => restarts.after(error)?,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(SourceRead::Vanished),
            outcome => return outcome,
        }
    }
}

async fn make_once(
    source: &Replica,
    (listed, unmade): (&ObjectSummary, &Unmade),
    destinations: &[Destination],
    (making, transfer): (&Making, &Transfer),
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let by_ranges = making.transform.reads_ranges(&unmade.key);
    let mut input = Input::open(source, (&unmade.key, listed.size), by_ranges, transfer).await?;
    let head = input.head().clone();
    let tags = SourceTags::of(source, &unmade.key, &head, transfer).await?;
    let attributes = attributes(&head, &tags, &listed.key);

    let (out, made) = pipe();
    let (letters_out, letters) = pipe();
    let running = run(making, &unmade.key, input.source(), out, letters_out);
    let mut reader = MadeReader::new(made, running, |error| failed(source, &unmade.key, error));
    let content = Content::new(Size::Open { source: head.size }, &attributes);
    let start = Start::afresh(destinations.len());
    let making_it = async {
        let copies = fan_out(&mut reader, &content, destinations, start, transfer, sent).await;
        // Where every target has failed, the transform must not wait for who takes more.
        reader.close();
        copies
    };
    let lettered = write_dead_letters(letters, destinations, making, transfer);
    let (read, copies, lettered) = join3(input.feed(), making_it, lettered).await;
    // What the transform says of a source that failed, says nothing.
    let source_sha256 = read?;
    let copies = match copies {
        // Nor does it say anything of itself when nobody took what it had rejected.
        Err(_) if lettered.iter().all(|lettered| lettered.as_ref().is_err_and(is_of_target)) => {
            return Ok(SourceRead::Whole(lettered.into_iter().filter_map(Result::err).map(Err).collect()));
        }
        copies => copies?,
    };
    let (size, rows) = reader.made();
    let lettered = match rows.rejected {
        0 => remove_dead_letters(destinations, &unmade.had_dead_letters, making, transfer).await,
        _ => lettered,
    };
    let copy = |proven: Proven| {
        let made = Made {
            by: making.transform.digest().to_owned(),
            source_key: unmade.key.clone(),
            source_size: head.size,
            source_sha256,
            at: proven.modified,
            rows: rows.clone(),
        };
        copy_of(&head, tags.clone(), size, made, proven)
    };
    let outcomes = copies.into_iter().zip(lettered).map(|(copy_made, lettered)| {
        let proven = copy_made?;
        lettered.map(|()| copy(proven))
    });
    Ok(SourceRead::Whole(outcomes.collect()))
}

/// Whether a target failed, and not what it was to take.
fn is_of_target(error: &StoreError) -> bool {
    error.kind != StoreErrorKind::Cancelled
}

/// Runs the transform in a thread of its own: it computes, and waits for bytes like any program.
fn run(
    making: &Making,
    key: &str,
    source: skyfleet_transform::Source,
    mut out: PipeWriter,
    mut dead_letters: PipeWriter,
) -> JoinHandle<Result<Outcome, TransformError>> {
    let (transform, limits, key) = (making.transform.clone(), making.limits, key.to_owned());
    tokio::task::spawn_blocking(move || {
        let outcome = transform.run(&key, source, &mut out, &mut dead_letters, limits)?;
        out.finish().map_err(TransformError::Write)?;
        dead_letters.finish().map_err(TransformError::Write)?;
        Ok(outcome)
    })
}

fn failed(source: &Replica, key: &str, error: &TransformError) -> StoreError {
    source.store.place().error(StoreErrorKind::Rejected, format!("transform {key:?}"), error.to_string())
}

/// What an object that is made carries: all that the source's does but what told its format.
fn attributes(head: &ObjectHead, tags: &SourceTags, key: &str) -> Attributes {
    let tags = match tags {
        SourceTags::Read(tags) => tags.clone(),
        SourceTags::Unread(_) => crate::Tags::new(),
    };
    let content_type = match key.rsplit('.').next() {
        Some("parquet") => Some("application/vnd.apache.parquet"),
        Some("jsonl" | "ndjson") => Some("application/jsonl"),
        Some("csv") => Some("text/csv"),
        Some("gz") => Some("application/gzip"),
        Some("zst") => Some("application/zstd"),
        _ => None,
    };
    Attributes {
        content_type: content_type.map(str::to_owned),
        content_encoding: None,
        tags,
        ..head.attributes.clone()
    }
}

fn copy_of(head: &ObjectHead, tags: SourceTags, size: u64, made: Made, proven: Proven) -> Copy {
    let Proven { sha256, etag, modified } = proven;
    Copy {
        entry: StateEntry {
            size,
            sha256,
            source_etag: head.etag.clone(),
            source_modified: head.modified,
            target_etag: etag,
            made: Some(Box::new(made)),
        },
        modified,
        has_attributes: head.attributes != Attributes::default(),
        tags,
        by_store: false,
    }
}
