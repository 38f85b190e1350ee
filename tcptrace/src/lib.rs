//! tcptrace: who left all these sockets in CLOSE_WAIT and FIN_WAIT2, since when, and why.
//!
//! The modules in reading order: [`model`] is what tcptrace knows and concludes, without touching
//! anything; [`sys`] looks at the kernel; [`journal`] is the record on disk; [`alert`] tells those who are
//! elsewhere; [`report`] prints; [`cli`] parses; [`command`] wires them together.

pub mod advice;
pub mod alert;
pub mod cli;
pub mod command;
pub mod journal;
pub mod model;
pub mod report;
pub mod sys;
