//! What is done with batches of rows.

mod deduplicate;
mod filter;
mod mask;
mod seen;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::{InvalidTransform, Step, StepCount, TransformError};
use deduplicate::Deduplicate;
use filter::Filter;
use mask::Masker;

pub(crate) use mask::fingerprint;

/// All steps, made for the columns of an object.
pub(crate) struct Steps {
    schema: SchemaRef,
    compiled: Vec<Compiled>,
    pub(crate) counts: Vec<StepCount>,
}

enum Compiled {
    /// These columns, with a schema of their own.
    Project(Vec<usize>, SchemaRef),
    Filter(Filter),
    Deduplicate(Deduplicate),
    Mask(Vec<(usize, Masker)>, SchemaRef),
}

/// What can be said of steps before any object is seen.
pub(crate) fn check(steps: &[Step]) -> Result<(), InvalidTransform> {
    for (number, step) in (1..).zip(steps) {
        let is_empty = match step {
            Step::Select(columns) | Step::Drop(columns) => columns.is_empty(),
            Step::Filter(conditions) => conditions.is_empty(),
            Step::Mask(mask) => mask.columns.is_empty(),
            Step::Deduplicate(_) => false,
        };
        if is_empty {
            return Err(InvalidTransform::NoColumns { step: number, name: step.name() });
        }
        match step {
            Step::Filter(conditions) => conditions.iter().try_for_each(|condition| filter::check(number, condition))?,
            Step::Mask(mask) => mask::check(number, &mask.method)?,
            Step::Select(columns) => {
                if let Some(column) = (1..columns.len())
                    .find_map(|index| columns[..index].iter().find(|column| **column == columns[index]))
                {
                    return Err(InvalidTransform::Twice { step: number, column: column.clone() });
                }
            }
            Step::Drop(_) | Step::Deduplicate(_) => {}
        }
    }
    Ok(())
}

/// What to say of a column that is not there.
pub(crate) fn missing(name: &str, schema: &Schema) -> TransformError {
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    TransformError::Columns(format!(
        "it has no column {name:?} but {}; if only some objects have it, give its type, so that it is empty in the others",
        names.join(", ")
    ))
}

fn index_of(name: &str, schema: &Schema) -> Result<usize, TransformError> {
    schema.index_of(name).map_err(|_| missing(name, schema))
}

impl Steps {
    pub(crate) fn compile(steps: &[Step], schema: SchemaRef) -> Result<Self, TransformError> {
        let (mut schema, mut compiled) = (schema, Vec::new());
        for step in steps {
            let step = compile(step, &schema)?;
            if let Compiled::Project(_, to) | Compiled::Mask(_, to) = &step {
                schema = to.clone();
            }
            compiled.push(step);
        }
        let counts = vec![StepCount::default(); compiled.len()];
        Ok(Self { schema, compiled, counts })
    }

    /// The columns that come out.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub(crate) fn apply(&mut self, mut batch: RecordBatch) -> Result<RecordBatch, TransformError> {
        for (step, count) in self.compiled.iter_mut().zip(&mut self.counts) {
            count.rows_in += batch.num_rows() as u64;
            batch = step.apply(&batch)?;
            count.rows_out += batch.num_rows() as u64;
        }
        Ok(batch)
    }
}

fn compile(step: &Step, schema: &SchemaRef) -> Result<Compiled, TransformError> {
    let project = |indices: Vec<usize>| {
        let fields: Vec<_> = indices.iter().map(|index| schema.field(*index).clone()).collect();
        Compiled::Project(indices, Arc::new(Schema::new(fields)))
    };
    Ok(match step {
        Step::Select(columns) => {
            let indices: Result<_, _> = columns.iter().map(|name| index_of(name, schema)).collect();
            project(indices?)
        }
        Step::Drop(columns) => {
            columns.iter().try_for_each(|name| index_of(name, schema).map(drop))?;
            let is_kept = |index: &usize| !columns.contains(schema.field(*index).name());
            project((0..schema.fields().len()).filter(is_kept).collect())
        }
        Step::Filter(conditions) => Compiled::Filter(Filter::compile(conditions, schema)?),
        Step::Deduplicate(columns) => Compiled::Deduplicate(Deduplicate::compile(columns, schema)?),
        Step::Mask(mask) => {
            let masker = |name: &String| {
                let index = index_of(name, schema)?;
                Ok((index, Masker::compile(&mask.method, schema.field(index))?))
            };
            let maskers: Vec<_> = mask.columns.iter().map(masker).collect::<Result<_, TransformError>>()?;
            let field = |(index, field): (usize, &Arc<Field>)| {
                let is_masked = maskers.iter().any(|(masked, _)| *masked == index);
                let as_text = || Field::new(field.name(), DataType::Utf8, true);
                if is_masked { as_text() } else { field.as_ref().clone() }
            };
            let fields: Vec<_> = schema.fields().iter().enumerate().map(field).collect();
            Compiled::Mask(maskers, Arc::new(Schema::new(fields)))
        }
    })
}

impl Compiled {
    fn apply(&mut self, batch: &RecordBatch) -> Result<RecordBatch, TransformError> {
        match self {
            Self::Project(indices, schema) => with_columns(
                schema,
                indices.iter().map(|index| batch.column(*index).clone()).collect(),
                batch.num_rows(),
            ),
            Self::Filter(filter) => Ok(filter_record_batch(batch, &filter.keeps(batch)?)?),
            Self::Deduplicate(deduplicate) => Ok(filter_record_batch(batch, &deduplicate.keeps(batch)?)?),
            Self::Mask(maskers, schema) => {
                let mut columns = batch.columns().to_vec();
                for (index, masker) in maskers {
                    columns[*index] = masker.mask(&columns[*index])?;
                }
                with_columns(schema, columns, batch.num_rows())
            }
        }
    }
}

/// Rows may have no columns.
fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, TransformError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
