//! Flags of those that look live: `watch`, and `top`.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FilterArgs, values};

/// When to tell of a socket, of which ones, and what to look with.
#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// How long a socket may stay in CLOSE_WAIT
    #[arg(long, value_name = "DUR", default_value = "60s", env = "TCPTRACE_CLOSE_WAIT")]
    #[arg(value_parser = values::duration)]
    pub close_wait: Duration,
    /// How long a socket may stay in FIN_WAIT_2
    #[arg(long, value_name = "DUR", default_value = "120s", env = "TCPTRACE_FIN_WAIT_2")]
    #[arg(value_parser = values::duration)]
    pub fin_wait_2: Duration,
    /// How long a descriptor may stay open after its TCP has ended
    #[arg(long, value_name = "DUR", default_value = "60s", env = "TCPTRACE_CLOSED")]
    #[arg(value_parser = values::duration)]
    pub closed: Duration,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "DUR", value_parser = values::duration)]
    pub stop_after: Option<Duration>,
    /// Which kernel programs to use
    #[arg(long, value_enum, default_value = "auto", env = "TCPTRACE_PROBE")]
    pub probe: ProbeChoice,
    /// Whose stacks to take
    #[arg(long, value_enum, default_value = "auto", env = "TCPTRACE_STACKS")]
    pub stacks: StacksChoice,
    /// What to tell of.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Flags of `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// What `top` has as well.
    #[command(flatten)]
    pub live: LiveArgs,
    /// Keep the record in this directory [default: /var/lib/tcptrace]
    #[arg(long, value_name = "DIR", env = "TCPTRACE_RECORD")]
    pub record: Option<PathBuf>,
    /// Keep no record
    #[arg(long)]
    pub no_record: bool,
    /// How long a stay must last to be recorded one by one
    #[arg(long, value_name = "DUR", default_value = "1s", env = "TCPTRACE_RECORD_FROM")]
    #[arg(value_parser = values::duration, hide_short_help = true)]
    pub record_from: Duration,
    /// How long the record is kept
    #[arg(long, value_name = "DUR", default_value = "30d", env = "TCPTRACE_KEEP")]
    #[arg(value_parser = values::duration)]
    pub keep: Duration,
    /// How large the record may become
    #[arg(long, value_name = "SIZE", default_value = "1GiB", env = "TCPTRACE_KEEP_SIZE")]
    #[arg(value_parser = values::size)]
    pub keep_size: u64,
    /// Write everything that is seen to this new file, for `tcptrace replay`
    #[arg(long, value_name = "FILE")]
    pub record_raw: Option<PathBuf>,
    /// In text, tell of every socket rather than of groups
    #[arg(long)]
    pub each: bool,
    /// Serve metrics on this address: a port, an address, or both [127.0.0.1:10858]
    #[arg(long, value_name = "ADDR", env = "TCPTRACE_LISTEN", value_parser = values::listen)]
    #[arg(num_args = 0..=1, default_missing_value = "127.0.0.1")]
    pub listen: Option<SocketAddr>,
    /// Bytes of the buffer between kernel and user space: a power of two, 4096 or more
    #[arg(long, value_name = "BYTES", default_value_t = crate::sys::probe::RING_BYTES)]
    #[arg(value_parser = values::ring_bytes, hide_short_help = true)]
    pub ring_size: u32,
    /// How many sockets to track at most
    #[arg(long, value_name = "N", default_value_t = 1 << 20, hide_short_help = true)]
    pub max_sockets: usize,
}

/// Which kernel programs to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProbeChoice {
    /// The best this kernel allows
    Auto,
    /// The BTF tracepoint
    Btf,
    /// The classic tracepoint, which tells less
    Tracepoint,
}

/// Whose stacks to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StacksChoice {
    /// Where they say something, within a budget
    Auto,
    /// Of accepted sockets too
    All,
    /// None
    Off,
}
