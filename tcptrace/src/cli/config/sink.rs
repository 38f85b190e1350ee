//! Where alerts go.

use serde::Deserialize;

/// All sinks, by kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {}
