//! The questions, one file each.

pub mod alerts;
pub mod core;
pub mod cost;
mod evidence;
mod journal;
mod loss;
mod ls;

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use super::results::Part;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Question {
    /// Kernel time, connection rate and latency under load, of everybody
    Cost,
    /// What is told of and what is lost as the load grows
    Loss,
    /// The pure core: instructions, memory a socket, a tick
    Core,
    /// `ls` over stuck sockets, against ss and lsof
    Ls,
    /// Reads of the end of file and stacks, under redis and under a program that spins
    Evidence,
    /// Writing the record, and reports
    Journal,
    /// Start-up, and the delay of alerts
    Alerts,
}

impl Question {
    /// Measures it.
    pub fn measure(self, bench: &Bench, part: &mut Part) -> Result<()> {
        match self {
            Self::Cost => cost::measure(bench, part),
            Self::Loss => loss::measure(bench, part),
            Self::Core => core::measure(bench, part),
            Self::Ls => ls::measure(bench, part),
            Self::Evidence => evidence::measure(bench, part),
            Self::Journal => journal::measure(bench, part),
            Self::Alerts => alerts::measure(bench, part),
        }
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Loss => "loss",
            Self::Core => "core",
            Self::Ls => "ls",
            Self::Evidence => "evidence",
            Self::Journal => "journal",
            Self::Alerts => "alerts",
        }
    }

    /// The place of the one with this name.
    pub fn place(name: &str) -> usize {
        let all = Self::value_variants();
        all.iter().position(|question| question.name() == name).unwrap_or(all.len())
    }

    /// Above its figures.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cost => "What watching costs under load",
            Self::Loss => "What is told of, as there is more and more",
            Self::Core => "The core by itself",
            Self::Ls => "Who holds what is stuck",
            Self::Evidence => "Reads of the end of file, and stacks",
            Self::Journal => "The record",
            Self::Alerts => "Start-up and alerts",
        }
    }

    /// How it is measured.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Cost => {
                "Connections over loopback as fast as two threads make them, in a fresh network namespace \
                 a round, most of them closed at once, some after 5 or 50 ms. Each tool with what it \
                 does by default: tcptrace with all its evidence and its record, bpftrace with a script \
                 that prints what tcpstates does. Rates and latencies without the kernel's BPF \
                 statistics, times with them. A process's time is that of all its threads, with their \
                 system calls."
            }
            Self::Loss => {
                "The same load, paced, for two seconds a rate. What was told of is counted in a tool's \
                 own output, lines about this load's port only, and held against the generator's count. \
                 tcplife tells of sockets instead of transitions."
            }
            Self::Core => {
                "Records as the kernel writes them, decoded and folded without a kernel. Instructions by \
                 callgrind; bytes as they are asked of the allocator. A table doubles when it is full, so \
                 bytes a socket go up and down with the number."
            }
            Self::Ls => {
                "Sockets in CLOSE_WAIT among 100,000 descriptors of six processes. Each tool's output is \
                 read to its end. `ss` and `lsof` look in the sockets' network namespace alone, tcptrace \
                 in all."
            }
            Self::Evidence => {
                "redis-benchmark with 50 connections that stay open, GETs alone, against redis-server; and \
                 a program that reads the end of one connection again and again. Throughput without the \
                 kernel's BPF statistics; time a read, and its share of the processors, with them."
            }
            Self::Journal => {
                "Stays that go from transitions through the core, which has each looked at, and onto the \
                 disk; then whole reports of them. 100 programs, stacks of 20 functions."
            }
            Self::Alerts => {
                "From the start of the process to `ready`. Then 200 leaks a round at uneven moments, with a \
                 threshold of two seconds: from the moment at which the peer has closed, by the clock of \
                 who closed it, to the moment at which the alert could be read, less the threshold."
            }
        }
    }
}
