//! What is to be done: plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ColumnType, Compression, Format};

/// What is to become of objects. Without steps and formats, only their compression changes, and they may hold anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// How rows lie in every object; by the ending of each key where it is `None`.
    pub input: Option<Format>,
    /// Types of columns where the first megabyte of an object does not tell them, by name. JSON Lines and CSV only.
    pub types: BTreeMap<String, ColumnType>,
    /// What is done with the rows, in this order.
    pub steps: Vec<Step>,
    /// What is written.
    pub output: Output,
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Output {
    /// How rows lie in it; as in the input where it is `None`.
    pub format: Option<Format>,
    /// How it is compressed; `None` is as the input is, and Zstandard for Parquet.
    pub compression: Option<Compression>,
}

/// Something that is done with all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Keep these columns, in this order.
    Select(Vec<String>),
    /// Keep all columns but these.
    Drop(Vec<String>),
    /// Keep the rows that meet all of these conditions.
    Filter(Vec<Condition>),
    /// Of the rows of an object with the same values in these columns (in all, when there are none) keep the first.
    Deduplicate(Vec<String>),
    /// Hide what columns hold.
    Mask(Mask),
}

impl Step {
    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "Select",
            Self::Drop(_) => "Drop",
            Self::Filter(_) => "Filter",
            Self::Deduplicate(_) => "Deduplicate",
            Self::Mask(_) => "Mask",
        }
    }
}

/// What a column of a row is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what, written as text; the column's type says what it means.
    pub values: Vec<String>,
}

/// How a column is compared: the operators of Kubernetes' node selectors, and some more. A row without a value meets only
/// `NotIn` and `DoesNotExist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
    /// It has a value.
    Exists,
    /// It has none.
    DoesNotExist,
    /// It is greater than the one value.
    Gt,
    /// It is the one value, or greater.
    Ge,
    /// It is less than the one value.
    Lt,
    /// It is the one value, or less.
    Le,
    /// The regular expression that is the one value is found in it (RE2 syntax).
    Matches,
}

/// Which columns are hidden, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mask {
    /// The columns.
    pub columns: Vec<String>,
    /// How.
    pub method: MaskMethod,
}

/// How a value is hidden. One that is missing stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum MaskMethod {
    /// Each value becomes `***`.
    Redact,
    /// There is none any more.
    Remove,
    /// Each value becomes the first 32 hexadecimal digits of its HMAC-SHA-256 (RFC 2104) by this key: equal values stay equal, and only
    /// who has the key can tell what they were. At least 16 bytes.
    Hash {
        /// The key.
        #[serde(serialize_with = "hidden")]
        key: Vec<u8>,
    },
    /// Only the last so many characters stay, behind as many stars as there were others.
    KeepLast {
        /// How many stay.
        characters: usize,
    },
}

/// A key is told by its fingerprint: what was hidden by another key is hidden anew.
fn hidden<S: serde::Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::steps::fingerprint(key))
}
