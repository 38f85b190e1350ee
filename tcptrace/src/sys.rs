//! The only place that touches the operating system, and the only one with `unsafe`.

pub mod btf;
pub mod canary;
pub mod cgroup;
pub mod checkup;
pub mod clock;
pub mod descriptors;
pub mod evidence;
pub mod held_by;
pub mod holders;
pub mod host;
pub mod http;
pub mod loader;
pub mod memory;
pub mod netns;
pub mod notify;
pub mod privileges;
pub mod probe;
pub mod process;
pub mod recording;
pub mod release;
pub mod sockdiag;
pub mod stacks;
pub mod terminal;
pub mod threads;
pub mod tracefs;
pub mod usage;
