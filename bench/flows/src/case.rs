//! What is measured.

use clap::ValueEnum;
use skyfleet_transform::{Compression, Condition, Format, Mask, MaskMethod, Operator, Output, Spec, Step, Transform};

use crate::peers::Peer;

/// A transform, which peers know by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Case {
    JsonlToParquet,
    CsvToParquet,
    ParquetToJsonl,
    ParquetToCsv,
    /// CSV to CSV: 3 of 8 rows, 4 of 6 columns
    FilterSelect,
    /// JSON Lines to Parquet: the first row of each user
    Deduplicate,
    /// CSV to CSV: users by a keyed hash
    Mask,
    /// CSV, as bytes
    Gzip,
    /// CSV, as bytes
    Zstd,
}

impl Case {
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The name of the file that is transformed.
    pub fn input(self) -> &'static str {
        match self {
            Self::JsonlToParquet | Self::Deduplicate => "rows.jsonl",
            Self::ParquetToJsonl | Self::ParquetToCsv => "rows.parquet",
            Self::CsvToParquet | Self::FilterSelect | Self::Mask | Self::Gzip | Self::Zstd => "rows.csv",
        }
    }

    /// Those that can do it.
    pub fn peers(self) -> &'static [Peer] {
        match self {
            // pyarrow writes no JSON, and hashes no values.
            Self::ParquetToJsonl | Self::Mask => &[Peer::Duckdb],
            // DuckDB reads rows even where bytes would do.
            Self::Gzip | Self::Zstd => &[Peer::Pyarrow],
            _ => &[Peer::Pyarrow, Peer::Duckdb],
        }
    }

    pub fn transform(self) -> Result<Transform, String> {
        let to = |format| Spec { output: Output { format: Some(format), compression: None }, ..Spec::default() };
        let by =
            |compression| Spec { output: Output { format: None, compression: Some(compression) }, ..Spec::default() };
        let spec = match self {
            Self::JsonlToParquet | Self::CsvToParquet => to(Format::Parquet),
            Self::ParquetToJsonl => to(Format::JsonLines),
            Self::ParquetToCsv => to(Format::Csv),
            Self::FilterSelect => Spec { steps: filter_select(), ..Spec::default() },
            Self::Deduplicate => {
                Spec { steps: vec![Step::Deduplicate(vec!["user".to_owned()])], ..to(Format::Parquet) }
            }
            Self::Mask => Spec { steps: vec![mask()], ..Spec::default() },
            Self::Gzip => by(Compression::Gzip),
            Self::Zstd => by(Compression::Zstd),
        };
        Transform::new(spec).map_err(|error| error.to_string())
    }
}

fn filter_select() -> Vec<Step> {
    let condition = |column: &str, operator, values: &[&str]| Condition {
        column: column.to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let conditions = vec![condition("lang", Operator::In, &["en", "de"]), condition("score", Operator::Ge, &["25"])];
    let columns = ["id", "user", "score", "text"].map(str::to_owned);
    vec![Step::Filter(conditions), Step::Select(columns.to_vec())]
}

fn mask() -> Step {
    let method = MaskMethod::Hash { key: b"0123456789abcdef".to_vec() };
    Step::Mask(Mask { columns: vec!["user".to_owned()], method })
}
