//! What tcptrace knows and concludes.
//!
//! **Architecture invariant:** nothing here touches the system. No aya, tokio, `std::fs` or
//! `std::net`, and no clock: time is an argument. A live run, a replay and the tests all go through
//! [`engine::Engine`].

pub mod alert;
pub mod checkup;
pub mod code;
pub mod condition;
pub mod deadlines;
pub mod decode;
pub mod delivery;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod figures;
pub mod filter;
pub mod forecast;
pub mod group;
pub mod growth;
pub mod health;
pub mod history;
pub mod ledger;
pub mod memory;
pub mod monitor;
pub mod orphans;
pub mod postmortem;
pub mod process;
pub mod profile;
pub mod proof;
pub mod reads;
pub mod recording;
pub mod release;
pub mod rules;
pub mod settled;
pub mod slab;
pub mod snapshot;
pub mod socket;
pub mod stay;
pub mod summary;
pub mod time;
pub mod top;
pub mod tracker;
pub mod verdict;
