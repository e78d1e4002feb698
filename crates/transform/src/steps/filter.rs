//! Keeps the rows that meet conditions.

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar, StringArray};
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::regexp::regexp_is_match_scalar;
use arrow::compute::{CastOptions, and, cast, cast_with_options, is_not_null, is_null, not, or, prep_null_mask_filter};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;

use super::index_of;
use crate::{Condition, InvalidTransform, Operator, TransformError};

pub(super) struct Filter {
    conditions: Vec<Compiled>,
}

struct Compiled {
    column: usize,
    operator: Operator,
    /// The values in the column's type, one each.
    values: Vec<ArrayRef>,
    pattern: String,
}

pub(super) fn check(step: usize, condition: &Condition) -> Result<(), InvalidTransform> {
    let given = condition.values.len();
    let (expected, is_right) = match condition.operator {
        Operator::In | Operator::NotIn => ("at least one value", given > 0),
        Operator::Exists | Operator::DoesNotExist => ("no value", given == 0),
        _ => ("one value", given == 1),
    };
    if !is_right {
        let (column, operator) = (condition.column.clone(), format!("{:?}", condition.operator));
        return Err(InvalidTransform::Values { step, column, operator, expected, given });
    }
    if let (Operator::Matches, [pattern]) = (condition.operator, &condition.values[..]) {
        let compiled = regexp_is_match_scalar(&StringArray::new_null(0), pattern, None);
        compiled.map_err(|error| InvalidTransform::Pattern {
            step,
            pattern: pattern.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

impl Filter {
    pub(super) fn compile(conditions: &[Condition], schema: &Schema) -> Result<Self, TransformError> {
        let compile = |condition: &Condition| {
            let column = index_of(&condition.column, schema)?;
            let data_type = compared_as(schema.field(column).data_type());
            let is_compared =
                !matches!(condition.operator, Operator::Exists | Operator::DoesNotExist | Operator::Matches);
            if data_type.is_nested() && is_compared {
                let name = &condition.column;
                return Err(TransformError::Columns(format!(
                    "column {name:?} holds lists or objects, which are not compared"
                )));
            }
            let values = condition.values.iter().filter(|_| is_compared);
            let values: Result<_, _> = values.map(|value| value_of(value, data_type, &condition.column)).collect();
            let pattern = condition.values.first().cloned().unwrap_or_default();
            Ok(Compiled { column, operator: condition.operator, values: values?, pattern })
        };
        Ok(Self { conditions: conditions.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Which rows stay.
    pub(super) fn keeps(&self, batch: &RecordBatch) -> Result<BooleanArray, TransformError> {
        let mut keeps: Option<BooleanArray> = None;
        for condition in &self.conditions {
            let meets = condition.meets(batch.column(condition.column))?;
            keeps = Some(match keeps {
                Some(keeps) => and(&keeps, &meets)?,
                None => meets,
            });
        }
        Ok(keeps.unwrap_or_else(|| BooleanArray::from(vec![true; batch.num_rows()])))
    }
}

impl Compiled {
    fn meets(&self, column: &ArrayRef) -> Result<BooleanArray, TransformError> {
        let column = match compared_as(column.data_type()) {
            other if other == column.data_type() => column.clone(),
            plain => cast(column, plain)?,
        };
        let first = || self.values.first().map(|value| Scalar::new(value.clone()));
        let none = || TransformError::Internal("a condition without its value".to_owned());
        let meets = match self.operator {
            Operator::Exists => is_not_null(&column)?,
            Operator::DoesNotExist => is_null(&column)?,
            Operator::In => self.is_one_of(&column)?,
            Operator::NotIn => not(&self.is_one_of(&column)?)?,
            Operator::Gt => cmp::gt(&column, &first().ok_or_else(none)?)?,
            Operator::Ge => cmp::gt_eq(&column, &first().ok_or_else(none)?)?,
            Operator::Lt => cmp::lt(&column, &first().ok_or_else(none)?)?,
            Operator::Le => cmp::lt_eq(&column, &first().ok_or_else(none)?)?,
            Operator::Matches => {
                let text = cast(&column, &DataType::Utf8)?;
                let text = text.as_any().downcast_ref::<StringArray>().ok_or_else(none)?;
                regexp_is_match_scalar(text, &self.pattern, None)?
            }
        };
        Ok(known(meets))
    }

    fn is_one_of(&self, column: &ArrayRef) -> Result<BooleanArray, TransformError> {
        let mut found = BooleanArray::from(vec![false; column.len()]);
        for value in &self.values {
            let equal = cmp::eq(column, &Scalar::new(value.clone()))?;
            found = or(&found, &known(equal))?;
        }
        Ok(found)
    }
}

/// A comparison with nothing says nothing, which is no.
fn known(answers: BooleanArray) -> BooleanArray {
    if answers.null_count() > 0 { prep_null_mask_filter(&answers) } else { answers }
}

/// Values that are kept once each are compared as what they are.
fn compared_as(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn value_of(value: &str, data_type: &DataType, column: &str) -> Result<ArrayRef, TransformError> {
    let text = StringArray::from(vec![value]);
    let strictly = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&text, data_type, &strictly)
        .map_err(|_| TransformError::Columns(format!("column {column:?} is {data_type}, and {value:?} is none")))
}
