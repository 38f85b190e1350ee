//! Durations as texts like `30s`.

use core::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de};

use crate::cli::values;

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    values::duration(&text).map_err(|why| de::Error::custom(format!("`{text}` is {why}")))
}

pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let printer = jiff::fmt::friendly::SpanPrinter::new();
    serializer.serialize_str(&printer.unsigned_duration_to_string(duration))
}
