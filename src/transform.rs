//! Makes of what a DatasetReplica, or a file of the same form, says of transforming what the engine does.

use std::sync::Arc;

use skyfleet_api::dataset_replica as wanted;
use skyfleet_mirror::Transforming;
use skyfleet_transform::{
    ColumnType, Compression, Condition, Format, Mask, MaskMethod, Operator, Output, RowLimits, Spec, Step, Transform,
};

/// The transform; the error says what is wrong with it. `key` gives the bytes by which a mask hashes.
pub(crate) fn transforming(
    wanted: &wanted::Transform,
    key: impl Fn(&wanted::MaskKeyReference) -> Result<Vec<u8>, String>,
) -> Result<Transforming, String> {
    let steps = wanted.steps.iter().enumerate();
    let steps = steps.map(|(index, wanted)| step(wanted, &key).map_err(|error| format!("step {}: {error}", index + 1)));
    let spec = Spec {
        input: wanted.input.map(format),
        types: wanted.types.iter().map(|(name, column)| (name.clone(), column_type(*column))).collect(),
        steps: steps.collect::<Result<_, _>>()?,
        output: Output {
            format: wanted.output.format.map(format),
            compression: wanted.output.compression.map(compression),
        },
    };
    let transform = Transform::new(spec).map_err(|error| error.to_string())?;
    let limits = RowLimits { most_rejected_percent: wanted.dead_letters.max_percent };
    Ok(Transforming { transform: Arc::new(transform), limits })
}

fn step(
    wanted: &wanted::TransformStep,
    key: impl Fn(&wanted::MaskKeyReference) -> Result<Vec<u8>, String>,
) -> Result<Step, String> {
    let wanted::TransformStep { select, drop, filter, deduplicate, mask } = wanted;
    let mut steps = Vec::new();
    steps.extend(select.as_ref().map(|select| Step::Select(select.columns.clone())));
    steps.extend(drop.as_ref().map(|drop| Step::Drop(drop.columns.clone())));
    steps.extend(filter.as_ref().map(|filter| Step::Filter(filter.match_expressions.iter().map(condition).collect())));
    steps.extend(deduplicate.as_ref().map(|deduplicate| Step::Deduplicate(deduplicate.columns.clone())));
    if let Some(mask) = mask {
        steps.push(Step::Mask(Mask { columns: mask.columns.clone(), method: mask_method(mask, key)? }));
    }
    match (steps.pop(), steps.pop()) {
        (Some(step), None) => Ok(step),
        _ => Err("a step does one thing: give one of select, drop, filter, deduplicate and mask".to_owned()),
    }
}

fn mask_method(
    mask: &wanted::Mask,
    key: impl Fn(&wanted::MaskKeyReference) -> Result<Vec<u8>, String>,
) -> Result<MaskMethod, String> {
    Ok(match mask.method {
        wanted::MaskMethod::Redact => MaskMethod::Redact,
        wanted::MaskMethod::Remove => MaskMethod::Remove,
        wanted::MaskMethod::Hash => {
            let reference = mask.key_secret_ref.as_ref().ok_or("method Hash needs keySecretRef")?;
            MaskMethod::Hash { key: key(reference)? }
        }
        wanted::MaskMethod::KeepLast => {
            MaskMethod::KeepLast { characters: mask.characters.ok_or("method KeepLast needs characters")?.into() }
        }
    })
}

fn condition(wanted: &wanted::RowExpression) -> Condition {
    let operator = match wanted.operator {
        wanted::RowOperator::In => Operator::In,
        wanted::RowOperator::NotIn => Operator::NotIn,
        wanted::RowOperator::Exists => Operator::Exists,
        wanted::RowOperator::DoesNotExist => Operator::DoesNotExist,
        wanted::RowOperator::Gt => Operator::Gt,
        wanted::RowOperator::Ge => Operator::Ge,
        wanted::RowOperator::Lt => Operator::Lt,
        wanted::RowOperator::Le => Operator::Le,
        wanted::RowOperator::Matches => Operator::Matches,
    };
    Condition { column: wanted.column.clone(), operator, values: wanted.values.clone() }
}

fn format(wanted: wanted::RowFormat) -> Format {
    match wanted {
        wanted::RowFormat::JsonLines => Format::JsonLines,
        wanted::RowFormat::Csv => Format::Csv,
        wanted::RowFormat::Parquet => Format::Parquet,
    }
}

fn compression(wanted: wanted::Compression) -> Compression {
    match wanted {
        wanted::Compression::None => Compression::None,
        wanted::Compression::Gzip => Compression::Gzip,
        wanted::Compression::Zstd => Compression::Zstd,
    }
}

fn column_type(wanted: wanted::ColumnType) -> ColumnType {
    match wanted {
        wanted::ColumnType::Text => ColumnType::Text,
        wanted::ColumnType::Integer => ColumnType::Integer,
        wanted::ColumnType::Number => ColumnType::Number,
        wanted::ColumnType::Boolean => ColumnType::Boolean,
        wanted::ColumnType::Date => ColumnType::Date,
        wanted::ColumnType::Timestamp => ColumnType::Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::dataset_replica as wanted;
    use skyfleet_transform::{MaskMethod, Step};

    use super::transforming;

    fn steps(steps: &serde_json::Value) -> Result<Vec<Step>, String> {
        let wanted: wanted::Transform = serde_json::from_value(json!({"steps": steps})).expect("a transform");
        transforming(&wanted, |reference| match reference.name.as_str() {
            "mask" => Ok(vec![7; 16]),
            other => Err(format!("there is no Secret {other:?}")),
        })
        .map(|transforming| transforming.transform.spec().steps.clone())
    }

    #[test]
    fn steps_are_what_was_asked_for() {
        let columns = json!({"columns": ["a"]});
        let all = json!([
            {"select": columns}, {"drop": columns}, {"deduplicate": {}},
            {"filter": {"matchExpressions": [{"column": "a", "operator": "Gt", "values": ["1"]}]}},
            {"mask": {"columns": ["a"], "method": "Hash", "keySecretRef": {"name": "mask", "key": "k"}}},
            {"mask": {"columns": ["a"], "method": "KeepLast", "characters": 4}},
        ]);
        let steps = steps(&all).expect("steps");
        let names: Vec<_> = steps.iter().map(Step::name).collect();
        assert_eq!(names, ["Select", "Drop", "Deduplicate", "Filter", "Mask", "Mask"]);
        let methods =
            steps.iter().filter_map(|step| if let Step::Mask(mask) = step { Some(&mask.method) } else { None });
        let expected = [MaskMethod::Hash { key: vec![7; 16] }, MaskMethod::KeepLast { characters: 4 }];
        assert!(methods.eq(expected.iter()));
    }

    #[test]
    fn what_cannot_be_is_said_with_its_step() {
        for (wrong, why) in [
            (json!([{}]), "step 1: a step does one thing"),
            (json!([{"select": {"columns": ["a"]}, "drop": {"columns": ["b"]}}]), "step 1: a step does one thing"),
            (json!([{"deduplicate": {}}, {"mask": {"columns": ["a"], "method": "Hash"}}]), "step 2: method Hash needs"),
            (
                json!([{"mask": {"columns": ["a"], "method": "Hash", "keySecretRef": {"name": "gone", "key": "k"}}}]),
                "step 1: there is no Secret \"gone\"",
            ),
            (json!([]), "the transform changes nothing"),
        ] {
            let error = steps(&wrong).expect_err("it is wrong");
            assert!(error.starts_with(why), "{error}");
        }
    }
}
