//! From filter flags to filters: names of namespaces are looked up.

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::advice::Advice;
use crate::cli::{FilterArgs, SocketFilterArgs};
use crate::model::filter::{Filter, SocketFilter};
use crate::model::socket::NetNs;
use crate::sys::netns;

/// The keys of filters in the configuration.
pub const KEYS: [&str; 7] = ["port", "addr", "netns", "pid", "comm", "cgroup", "verdict"];

pub fn filter(args: &FilterArgs) -> Result<Filter> {
    Ok(Filter {
        pids: args.pid.clone(),
        comms: args.comm.clone(),
        cgroups: args.cgroup.clone(),
        verdicts: args.verdict.clone(),
        sockets: socket_filter(&args.socket)?,
    })
}

pub fn socket_filter(args: &SocketFilterArgs) -> Result<SocketFilter> {
    Ok(SocketFilter {
        ports: args.port.clone(),
        networks: args.addr.clone(),
        namespaces: args.netns.iter().map(|name| namespace(name)).collect::<Result<_>>()?,
    })
}

fn namespace(name: &str) -> Result<NetNs> {
    if let Ok(inode) = name.parse() {
        return Ok(NetNs(inode));
    }
    let named = Path::new(netns::NAMED).join(name);
    let path = if name.contains('/') { Path::new(name) } else { &named };
    netns::at(path).map_err(|error| {
        let advice = Advice::new(format!("no network namespace `{name}`: {error}"))
            .and_try("ip netns list", "the names there are")
            .and_try("lsns -t net", "all of them, with their inode numbers");
        anyhow!(advice)
    })
}
