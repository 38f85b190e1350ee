//! What is printed: from the model to an `impl Write`.
//!
//! **Architecture invariant:** nothing here reads the system. Clock, host and time zone are
//! arguments.

pub mod about;
pub mod escape;
pub mod flame;
pub mod flame_text;
pub mod folded;
pub mod html;
pub mod json;
pub mod message;
pub mod nagios;
pub mod openmetrics;
pub mod parquet;
pub mod patterns;
pub mod pprof;
pub mod row;
#[cfg(test)]
pub(crate) mod samples;
pub mod screen;
pub mod short;
pub mod speedscope;
pub mod text;
#[cfg(test)]
mod totals;
pub mod unknown;
