//! Which columns JSON objects have, by the first of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whole numbers up to here are told exactly by a floating-point number of 64 bits, too.
const EXACT: u64 = 1 << 53;

/// What was seen of a column, or of the items of a list.
#[derive(Debug, Default)]
pub(super) struct Inferred {
    booleans: u64,
    integers: u64,
    /// Those of them that no floating-point number tells exactly.
    large: u64,
    /// Those that do not fit in 64 bits with a sign.
    huge: u64,
    numbers: u64,
    texts: u64,
    lists: u64,
    objects: u64,
    item: Option<Box<Inferred>>,
    /// In the order in which they were first seen.
    fields: Vec<(String, Inferred)>,
    places: HashMap<String, usize>,
}

impl Inferred {
    /// Looks at one more value, which is known to be JSON.
    pub(super) fn see(&mut self, json: &[u8]) -> serde_json::Result<()> {
        self.deserialize(&mut serde_json::Deserializer::from_slice(json))
    }

    /// The fields of objects, in the order in which they were first seen.
    pub(super) fn fields(&self) -> Fields {
        self.fields.iter().map(|(name, inferred)| Arc::new(Field::new(name, inferred.data_type(), true))).collect()
    }

    /// What most values are. Scalars of several kinds are text: that holds each as it stands.
    fn data_type(&self) -> DataType {
        let scalars = self.booleans + self.integers + self.huge + self.numbers + self.texts;
        if self.objects > 0 && self.objects >= self.lists.max(scalars) {
            return DataType::Struct(self.fields());
        }
        if self.lists > 0 && self.lists >= scalars {
            let item = self.item.as_ref().map_or(DataType::Utf8, |item| item.data_type());
            return DataType::List(Arc::new(Field::new_list_field(item, true)));
        }
        match self {
            Self { booleans, texts: 0, integers: 0, huge: 0, numbers: 0, .. } if *booleans > 0 => DataType::Boolean,
            Self { numbers, texts: 0, booleans: 0, huge: 0, large: 0, .. } if *numbers > 0 => DataType::Float64,
            Self { integers, texts: 0, booleans: 0, huge: 0, numbers: 0, .. } if *integers > 0 => DataType::Int64,
            _ => DataType::Utf8,
        }
    }

    fn integer(&mut self, magnitude: u64) {
        self.integers += 1;
        self.large += u64::from(magnitude > EXACT);
    }

    fn field(&mut self, name: String) -> &mut Self {
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            self.fields.push((name.clone(), Self::default()));
            self.fields.len() - 1
        });
        &mut self.fields[place].1
    }
}

impl<'de> DeserializeSeed<'de> for &mut Inferred {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Inferred {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.booleans += 1;
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.unsigned_abs());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if i64::try_from(value).is_ok() {
            self.integer(value);
        } else {
            self.huge += 1;
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.numbers += 1;
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.texts += 1;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.lists += 1;
        let item = self.item.get_or_insert_default();
        while list.next_element_seed(&mut **item)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        self.objects += 1;
        while let Some(name) = object.next_key()? {
            object.next_value_seed(self.field(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Inferred;

    fn types(lines: &[&str]) -> String {
        let mut inferred = Inferred::default();
        for line in lines {
            inferred.see(line.as_bytes()).unwrap();
        }
        let fields: Vec<_> =
            inferred.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        fields.join(", ")
    }

    #[test]
    fn columns_are_in_order_and_hold_what_was_seen() {
        for (lines, expected) in [
            (&[r#"{"z":1,"a":true}"#, r#"{"m":"x","a":null}"#][..], "z Int64, a Boolean, m Utf8"),
            (&[r#"{"a":1}"#, r#"{"a":1.5}"#], "a Float64"),
            (&[r#"{"a":1}"#, r#"{"a":"x"}"#], "a Utf8"),
            (&[r#"{"a":1}"#, r#"{"a":true}"#], "a Utf8"),
            (&[r#"{"a":18446744073709551615}"#], "a Utf8"),
            (&[r#"{"a":9007199254740993}"#, r#"{"a":1.5}"#], "a Utf8"),
            (&[r#"{"a":-9007199254740993}"#], "a Int64"),
            (&[r#"{"a":null}"#], "a Utf8"),
            (&[r#"{"a":[]}"#, r#"{"a":[1,null]}"#, r#"{"a":"x"}"#], "a List(Int64)"),
            (&[r#"{"a":[1]}"#, r#"{"a":2}"#, r#"{"a":3}"#], "a Int64"),
            (
                &[r#"{"a":{"c":1}}"#, r#"{"a":{"b":[{"d":""}]}}"#],
                "a Struct(\"c\": Int64, \"b\": List(Struct(\"d\": Utf8)))",
            ),
        ] {
            assert_eq!(types(lines), expected);
        }
    }
}
