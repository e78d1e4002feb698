//! Hides what columns hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{InvalidTransform, MaskMethod, TransformError};

const LEAST_KEY: usize = 16;
const REDACTED: &str = "***";
const HASH_BYTES: usize = 16;

pub(super) enum Masker {
    Redact,
    Remove,
    Hash(Box<Hmac<Sha256>>),
    KeepLast(usize),
}

pub(super) fn check(step: usize, method: &MaskMethod) -> Result<(), InvalidTransform> {
    match method {
        MaskMethod::Hash { key } if key.len() < LEAST_KEY => Err(InvalidTransform::ShortKey { step, bytes: key.len() }),
        _ => Ok(()),
    }
}

/// What tells keys apart, and does not help who wants to guess one of 16 bytes.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    keyed(key).map(|mac| hex_of(mac.chain_update(b"skyfleet mask"))).unwrap_or_default()
}

fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

fn hex_of(mac: Hmac<Sha256>) -> String {
    hex::encode(&mac.finalize().into_bytes()[..HASH_BYTES])
}

impl Masker {
    pub(super) fn compile(method: &MaskMethod, field: &Field) -> Result<Self, TransformError> {
        if field.data_type().is_nested() && !matches!(method, MaskMethod::Redact | MaskMethod::Remove) {
            let name = field.name();
            return Err(TransformError::Columns(format!(
                "column {name:?} holds lists or objects: it can be masked by Redact or Remove, or dropped"
            )));
        }
        Ok(match method {
            MaskMethod::Redact => Self::Redact,
            MaskMethod::Remove => Self::Remove,
            MaskMethod::KeepLast { characters } => Self::KeepLast(*characters),
            MaskMethod::Hash { key } => {
                Self::Hash(Box::new(keyed(key).ok_or_else(|| TransformError::Internal("a key of no use".to_owned()))?))
            }
        })
    }

    /// The column, as text, with its values hidden.
    pub(super) fn mask(&self, column: &ArrayRef) -> Result<ArrayRef, TransformError> {
        let each: &dyn Fn(&str) -> String = match self {
            Self::Remove => return Ok(new_null_array(&DataType::Utf8, column.len())),
            Self::Redact => {
                let redacted = (0..column.len()).map(|row| column.is_valid(row).then_some(REDACTED));
                return Ok(Arc::new(redacted.collect::<StringArray>()));
            }
            Self::Hash(mac) => &|value| hex_of(mac.as_ref().clone().chain_update(value.as_bytes())),
            Self::KeepLast(characters) => &|value| keep_last(value, *characters),
        };
        let text = cast(column, &DataType::Utf8)?;
        let text = text.as_any().downcast_ref::<StringArray>();
        let text = text.ok_or_else(|| TransformError::Internal("text that is none".to_owned()))?;
        let mut masked = StringBuilder::with_capacity(text.len(), text.len() * 2 * HASH_BYTES);
        text.iter().for_each(|value| masked.append_option(value.map(each)));
        Ok(Arc::new(masked.finish()))
    }
}

fn keep_last(value: &str, characters: usize) -> String {
    let all = value.chars().count();
    // Of a value that is no longer, nothing stays: it would be told whole.
    let kept = if all > characters { characters } else { 0 };
    let stars = std::iter::repeat_n('*', all - kept);
    stars.chain(value.chars().skip(all - kept)).collect()
}
