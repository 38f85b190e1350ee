//! The pure core by itself, for `cargo xtask bench`: what a transition costs, what a socket takes up,
//! what a tick costs as the table grows, how fast stays get onto the disk. Prints one JSON object.

mod fold;
mod journal;
mod records;
mod table;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decode and fold all transitions of so many connections
    Fold { connections: u64 },
    /// Fill the table with so many sockets
    Table {
        sockets: u64,
        /// What becomes of them
        #[arg(long, value_enum, default_value_t = table::Fate::Healthy)]
        fate: table::Fate,
    },
    /// Record so many stays in a new directory
    Journal { dir: PathBuf, stays: u64 },
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() -> Result<()> {
    let figures: Value = match Args::parse().what {
        What::Fold { connections } => fold::measure(connections),
        What::Table { sockets, fate } => table::measure(sockets, fate),
        What::Journal { dir, stays } => journal::measure(&dir, stays)?,
    };
    println!("{figures}");
    Ok(())
}
