//! Makes objects of the source's by a transform, or by cutting them, while they are read.

mod bounds;
mod dead_letters;
mod input;
mod pipe;
mod text_piece;
mod version;

use std::sync::{Arc, LazyLock};

use futures::future::join3;
use skyfleet_transform::{Cuttable, Format, Outcome, RowLimits, Source, Transform, TransformError, cut_parquet};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::copy::{Restarts, is_stale};
use super::fan_out::{Content, Proven, Start, fan_out};
use super::part::Size;
use super::source_tags::SourceTags;
use super::{Copy, Destination, SourceRead, Transfer};
use crate::dataset::layout::dead_letters_key;
use crate::mirror::MirrorOptions;
use crate::mirror::naming::{CutOut, How, Naming};
use crate::state::{Made, StateEntry};
use crate::{Attributes, DatasetName, ObjectHead, ObjectSummary, Replica, StoreError, StoreErrorKind};
use bounds::CsvScans;
use dead_letters::{remove_dead_letters, write_dead_letters};
use input::Input;
use pipe::{MadeReader, PipeWriter, pipe};
use text_piece::copy_text;
use version::{changed, is_of_another_version};

/// What all objects of a pass are made by.
pub(crate) struct Making {
    /// `None` where pieces stay as they are.
    transform: Option<Arc<Transform>>,
    limits: RowLimits,
    dataset: Option<DatasetName>,
    naming: Arc<Naming>,
    scans: CsvScans,
    /// Whether it is for targets that are set aside.
    is_aside: bool,
}

/// For targets that are set aside: they would keep a turn for as long as they are slow.
static RUNNING_ASIDE: Semaphore = Semaphore::const_new(1);

/// A transform keeps a core busy, and takes some memory: those of all passes take turns.
static RUNNING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// An object that something is to be made of.
pub(crate) struct Unmade {
    /// Its key at the source, relative to the prefix.
    pub(crate) key: String,
    /// Whether all of it becomes one.
    pub(crate) how: How,
    /// For each destination, whether records of an earlier version lie there that could not be transformed.
    pub(crate) had_dead_letters: Vec<bool>,
}

impl Making {
    pub(crate) fn of(options: &MirrorOptions, naming: Arc<Naming>) -> Option<Self> {
        let transforming = options.transforming.as_ref();
        (transforming.is_some() || options.piece_size().is_some()).then(|| Self {
            transform: transforming.map(|transforming| transforming.transform.clone()),
            limits: transforming.map(|transforming| transforming.limits).unwrap_or_default(),
            dataset: options.dataset.as_ref().map(|dataset| dataset.name.clone()),
            naming,
            scans: CsvScans::default(),
            is_aside: false,
        })
    }

    /// The same for targets that are set aside.
    pub(crate) fn aside(self) -> Self {
        Self { is_aside: true, ..self }
    }

    /// Whether an object is not copied as it is.
    pub(crate) fn makes(&self, how: &How) -> bool {
        self.transform.is_some() || *how != How::Whole
    }

    /// Where records lie that could not be transformed into a part of the object with this key; `None` where none is transformed.
    pub(crate) fn dead_letters_of(&self, key: &str) -> Option<String> {
        self.transform.is_some().then(|| self.dead_letters_key(key))
    }

    fn dead_letters_key(&self, key: &str) -> String {
        dead_letters_key(self.dataset.as_ref(), key)
    }

    /// What is to be remembered of an object that is made.
    fn made(&self, unmade: &Unmade, source_size: u64) -> Made {
        Made {
            by: self.naming.made_by(&unmade.how).unwrap_or_default().to_owned(),
            source_key: unmade.key.clone(),
            piece: unmade.cut().map(|cut| cut.piece),
            source_size,
            ..Made::default()
        }
    }
}

impl Unmade {
    fn cut(&self) -> Option<&CutOut> {
        match &self.how {
            How::Piece(cut) => Some(cut),
            How::Whole | How::Refused(_) => None,
        }
    }

    /// What a transform is told that it reads.
    fn read_as(&self, transform: &Transform) -> String {
        let cuttable = Cuttable::of(&self.key, Some(transform)).ok().flatten();
        let piece = self.cut().zip(cuttable).map(|(cut, cuttable)| cuttable.piece_key(cut.piece));
        piece.unwrap_or_else(|| self.key.clone())
    }
}

/// Makes one object, anew when the source's changes meanwhile. `sent` is told which destination has taken how many bytes.
///
/// A piece is made of the version that was listed, or not at all: the others are of that.
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
    let (cut, with) = (unmade.cut(), (making, transfer));
    let as_it_is = cut.filter(|cut| making.transform.is_none() && cut.format != Format::Parquet);
    let turns: &Semaphore = if making.is_aside { &RUNNING_ASIDE } else { &RUNNING };
    let _running = if as_it_is.is_none() { Some(turns.acquire().await) } else { None };
    let mut restarts = Restarts::default();
    loop {
        let made = match as_it_is {
            Some(cut) => copy_text(source, (listed, unmade), cut, destinations, with, &sent).await,
            None => make_once(source, (listed, unmade), destinations, with, &sent).await,
        };
        match made {
            Err(error) if cut.is_some() && is_of_another_version(&error) => return Err(changed(error)),
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
    let mut input = Input::open(source, (listed, unmade), (making, transfer)).await?;
    let head = input.head().clone();
    let tags = SourceTags::of(source, &unmade.key, &head, transfer).await?;
    let attributes = attributes(&head, &tags, &listed.key);

    let (out, made) = pipe();
    let (letters_out, letters) = pipe();
    let running = run(making, unmade, input.source(), out, letters_out);
    let mut reader = MadeReader::new(made, running, |error| failed(source, unmade, making, error));
    let source_size = if unmade.cut().is_some() { listed.size } else { head.size };
    let content = Content::new(Size::Open { source: source_size }, &attributes);
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
        let made = Made { source_sha256, at: proven.modified, rows: rows.clone(), ..making.made(unmade, source_size) };
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
    unmade: &Unmade,
    source: Source,
    mut out: PipeWriter,
    mut dead_letters: PipeWriter,
) -> JoinHandle<Result<Outcome, TransformError>> {
    let (limits, transform) = (making.limits, making.transform.clone());
    let transform = transform.map(|transform| (unmade.read_as(&transform), transform));
    tokio::task::spawn_blocking(move || {
        let outcome = match (transform, source) {
            (Some((key, transform)), source) => transform.run(&key, source, &mut out, &mut dead_letters, limits)?,
            (None, Source::Piece(ranges, piece)) => {
                let rows = cut_parquet(ranges, piece, &mut out)?;
                Outcome { rows_read: rows, rows_written: rows, ..Outcome::default() }
            }
            (None, _) => return Err(TransformError::Internal("nothing is to be made of it".to_owned())),
        };
        out.finish().map_err(TransformError::Write)?;
        dead_letters.finish().map_err(TransformError::Write)?;
        Ok(outcome)
    })
}

fn failed(source: &Replica, unmade: &Unmade, making: &Making, error: &TransformError) -> StoreError {
    let key = &unmade.key;
    let action = match (&making.transform, unmade.cut()) {
        (None, Some(_)) => format!("cut {key:?} into pieces"),
        (Some(transform), Some(_)) => format!("transform {:?}, a piece of {key:?}", unmade.read_as(transform)),
        _ => format!("transform {key:?}"),
    };
    source.store.place().error(StoreErrorKind::Rejected, action, error.to_string())
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
