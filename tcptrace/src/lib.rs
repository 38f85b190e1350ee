//! tcptrace: who left all these sockets in CLOSE_WAIT and FIN_WAIT2, since when, and why.
//!
//! The modules in reading order: [`model`] is what tcptrace knows and concludes, without touching
//! anything; [`sys`] looks at the kernel; [`report`] prints; [`cli`] parses; [`command`] wires them
//! together.

pub mod advice;
pub mod cli;
pub mod command;
pub mod model;
pub mod report;
pub mod sys;
