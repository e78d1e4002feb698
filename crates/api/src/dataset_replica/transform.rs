//! What becomes of objects on their way.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::object_name;

/// What becomes of the objects on their way. Targets hold what comes out instead, under keys whose endings say what they hold:
/// `a/b.jsonl.gz` becomes `a/b.parquet`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "(has(self.steps) && size(self.steps) > 0) || (has(self.output) && (has(self.output.format) || has(self.output.compression)))")
    .message("a transform that changes nothing: give steps, output.format or output.compression"))]
pub struct Transform {
    /// How rows lie in every object, however it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<RowFormat>,
    /// Types of columns, by name, where the first megabyte of an object does not tell them. A column that only some objects have is
    /// empty in the others. JSON Lines and CSV only: Parquet says its types itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub types: BTreeMap<String, ColumnType>,
    /// What is done with the rows, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub steps: Vec<TransformStep>,
    /// What is written.
    #[serde(default, skip_serializing_if = "TransformOutput::is_default")]
    pub output: TransformOutput,
    /// What happens to records that cannot be transformed.
    #[serde(default, skip_serializing_if = "DeadLetters::is_default")]
    pub dead_letters: DeadLetters,
}

/// How rows lie in an object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// The type of a column.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text, as it stands.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Number,
    /// True or false.
    Boolean,
    /// A day, as in `2026-11-27`.
    Date,
    /// A time in UTC, to the microsecond, as in `2026-11-27T18:30:00Z`.
    Timestamp,
}

/// Something that is done with all rows: one of these.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.select), has(self.drop), has(self.filter), has(self.deduplicate), has(self.mask)].exists_one(given, given)")
    .message("a step does one thing: give one of select, drop, filter, deduplicate and mask"))]
pub struct TransformStep {
    /// Keep these columns, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Columns>,
    /// Keep all columns but these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Columns>,
    /// Keep the rows that meet conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<RowFilter>,
    /// Of the rows of an object that are equal keep the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplicate: Option<Deduplicate>,
    /// Hide what columns hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

impl TransformStep {
    /// What it does, as reports call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let Self { select, drop, filter, deduplicate, mask } = self;
        let named = [
            (select.is_some(), "Select"),
            (drop.is_some(), "Drop"),
            (filter.is_some(), "Filter"),
            (deduplicate.is_some(), "Deduplicate"),
            (mask.is_some(), "Mask"),
        ];
        named.into_iter().find_map(|(is_given, name)| is_given.then_some(name)).unwrap_or_default()
    }
}

/// Names of columns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// The columns. One that is missing in an object fails it, unless `types` names it.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
}

/// Which rows are kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RowFilter {
    /// Those that meet all of these.
    #[schemars(length(min = 1, max = 32))]
    pub match_expressions: Vec<RowExpression>,
}

/// What a column of a row is to be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : \
     self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0 : \
     has(self.values) && size(self.values) == 1")
    .message("In and NotIn take values, Exists and DoesNotExist none, and all others exactly one"))]
pub struct RowExpression {
    /// The column.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// How it is compared.
    pub operator: RowOperator,
    /// With what, in quotes; the column's type says what it means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)))]
    pub values: Vec<String>,
}

/// How a column is compared. A row without a value meets only `NotIn` and `DoesNotExist`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOperator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
    /// It has a value.
    Exists,
    /// It has none.
    DoesNotExist,
    /// It is greater than the value.
    Gt,
    /// It is the value, or greater.
    Ge,
    /// It is less than the value.
    Lt,
    /// It is the value, or less.
    Le,
    /// The regular expression is found in it (RE2 syntax).
    Matches,
}

/// What makes rows equal.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Deduplicate {
    /// The same values in these columns; in all if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
}

/// Which columns are hidden, and how. They are text afterwards.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.method == 'Hash') == has(self.keySecretRef)")
        .message("method Hash needs keySecretRef, and no other method takes it: without a key, hashes can be guessed"),
    validation = Rule::new("(self.method == 'KeepLast') == has(self.characters)")
        .message("method KeepLast needs characters, and no other method takes it"),
)]
pub struct Mask {
    /// The columns.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
    /// How.
    pub method: MaskMethod,
    /// For Hash: a Secret in the same namespace with a key of at least 16 bytes. With another key, all objects are made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<MaskKeyReference>,
    /// For KeepLast: how many characters stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub characters: Option<u8>,
}

/// How a value is hidden. One that is missing stays so.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskMethod {
    /// Each value becomes `***`.
    Redact,
    /// There is none any more.
    Remove,
    /// Each value becomes half of its HMAC-SHA-256: equal values stay equal, and only who has the key can tell what they were.
    Hash,
    /// Only the last characters stay; none of a value that has no more.
    KeepLast,
}

// No field of it has a default: one within a list would differ from what GitOps tools apply.
/// Names one key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaskKeyReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub name: String,
    /// The key within the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What is written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TransformOutput {
    /// How rows lie in it; as in the input if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<RowFormat>,
    /// How it is compressed; as the input is if not given, and by Zstandard within Parquet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

impl TransformOutput {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How an object is compressed: text as a whole, Parquet within.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstd,
}

/// What happens to records that cannot be transformed. They lie at each target below `.skyfleet/dead-letters/`, with the reason; where
/// columns are masked, without their content.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// The largest share of all records, in percent, that may be such. With more, no new version is published and Ready says so.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: u8,
}

impl DeadLetters {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What became of the rows of all objects.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RowsStatus {
    /// Rows that were read, those that could not be transformed included.
    pub read: i64,
    /// Rows that could not be transformed.
    pub rejected: i64,
    /// Rows that the targets hold.
    pub written: i64,
    /// Rows in and out of each step, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepStatus>,
}

/// Rows in and out of a step.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// What it does.
    pub step: String,
    /// Rows that came to it.
    pub rows_in: i64,
    /// Rows that it let through.
    pub rows_out: i64,
}
