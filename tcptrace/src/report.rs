//! What is printed: from the model to an `impl Write`.
//!
//! **Architecture invariant:** nothing here reads the system. Clock, host and time zone are
//! arguments.

pub mod escape;
pub mod html;
pub mod json;
pub mod patterns;
#[cfg(test)]
mod samples;
pub mod text;
