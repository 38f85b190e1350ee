//! Finds out what this kernel and these privileges allow, by trying.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::evidence::Gatherer;
use super::holders::Holders;
use super::host::kernel_release;
use super::loader::Kernel;
use super::privileges::{Capability, Privileges};
use super::probe::{Place, Probe, Source, Wanted};
use crate::advice::Advice;
use crate::model::checkup::{Check, CheckStatus};

/// Where securityfs shows it.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const SMALL_RING: u32 = 4096;

/// Tries everything. Must be called on the event loop, and on a thread of its own as far as
/// network namespaces go.
pub fn run() -> Vec<Check> {
    let mut checks = vec![kernel(), lockdown(), privileges()];
    let read = Kernel::read();
    let types = match &read {
        Ok(kernel) => kernel.types_missing().map_or(Ok(()), |why| Err(why.clone().into())),
        Err(error) => Err(anyhow!("{error:#}")),
    };
    checks.push(from_result(
        "kernel types",
        "offsets of the fields that the kernel programs read",
        &types,
        "found and of the expected sizes".into(),
    ));
    let mut read = read.ok();
    let wanted = Wanted { ring_bytes: SMALL_RING, on_cpu: false, stacks: true, accepts: true };
    let attaches = |source| {
        let probe = read.as_mut().map(|kernel| Probe::attach(kernel, source, wanted));
        probe.unwrap_or_else(|| Err(anyhow!("there are no programs to load")))
    };
    let good = "loads, attaches, and shows a connection of our own as it is";
    let [btf, classic] = [Source::Btf, Source::Classic].map(attaches);
    checks.push(from_result(
        "tp_btf/inet_sock_set_state",
        "every transition as it happens: watch and events",
        &btf,
        good.into(),
    ));
    let loaded = |what: fn(&Kernel) -> bool| btf.is_ok() && read.as_ref().is_some_and(what);
    let (paths, python) = (loaded(Kernel::has_stacks), loaded(Kernel::has_python));
    checks.push(Check {
        name: "code paths",
        status: if paths { CheckStatus::Good } else { CheckStatus::Limited },
        found: match (paths, python) {
            (true, true) => {
                "the programs that copy stacks load, and name Python's functions".into()
            }
            (true, false) => {
                "the programs that copy stacks load, but not Python's functions".into()
            }
            (false, _) => format!("no: {}", why_no_code_paths()),
        },
        gives: "which code connects, reads the end of file, shuts down or closes",
        advice: None,
    });
    if let Some(deeds) = btf.as_ref().ok().and_then(Probe::deeds) {
        let attached = |result: &Result<Place>| {
            result.as_ref().map_or_else(|_| String::new(), |place| format!("{place} attaches"))
        };
        checks.push(from_result(
            "reads of the end of file",
            "which process saw the end of file: eof_read, shared_fd",
            &deeds.eof,
            attached(&deeds.eof),
        ));
        checks.push(from_result(
            "tp_btf/tcp_destroy_sock",
            "when a descriptor whose connection is over is released",
            &deeds.released,
            attached(&deeds.released),
        ));
        if let Some(accepted) = &deeds.accepted {
            checks.push(from_result(
                "accepts",
                "which code accepted a connection, with --stacks all",
                accepted,
                attached(accepted),
            ));
        }
    }
    checks.push(Check {
        // Nobody misses it while there is the better one.
        advice: None,
        ..from_result(
            "tracepoint/sock/inet_sock_set_state",
            "the same, with less detail, where tp_btf is not to be had",
            &classic,
            good.into(),
        )
    });
    let cookies = read.as_ref().is_some_and(Kernel::has_cookies);
    checks.push(Check {
        name: "socket cookies",
        status: if cookies { CheckStatus::Good } else { CheckStatus::Limited },
        found: if cookies { "yes" } else { "no: sockets are known by their addresses" }.into(),
        gives: "identity that is never used again",
        advice: None,
    });
    let (holders, why) = Holders::open(read.as_mut());
    checks.push(Check {
        name: "iter/task_file",
        status: if holders.is_iterator() { CheckStatus::Good } else { CheckStatus::Limited },
        found: match why {
            None if holders.is_iterator() => "loads, and shows a socket of our own as ours".into(),
            None => "no kernel types: holders are read from /proc".into(),
            Some(why) => format!("holders are read from /proc, which is slower: {why:#}"),
        },
        gives: "who holds which socket, in one pass over all descriptors",
        advice: None,
    });
    checks.push(namespaces(holders));
    checks
}

/// Why the programs that copy stacks do not load.
///
/// aya takes a kernel that lets no program read its memory for one that is too old to tell it from
/// user memory, and has programs read either by a helper that such a kernel refuses.
pub fn why_no_code_paths() -> &'static str {
    if is_confidential() {
        "the kernel is locked down for confidentiality, and stacks are not read there"
    } else {
        "tp_btf on Linux 5.15 and later has them, on x86-64"
    }
}

fn kernel() -> Check {
    Check {
        name: "kernel",
        status: CheckStatus::Good,
        found: format!("Linux {} on {}", kernel_release(), std::env::consts::ARCH),
        gives: "5.8 and later can be traced, best from 5.12",
        advice: None,
    }
}

fn is_confidential() -> bool {
    let shown = fs::read_to_string(LOCKDOWN).unwrap_or_default();
    active_lockdown(&shown) == Some("confidentiality")
}

fn lockdown() -> Check {
    let shown = fs::read_to_string(LOCKDOWN);
    let active = shown.as_deref().ok().and_then(active_lockdown);
    Check {
        name: "lockdown",
        status: match active {
            Some("confidentiality") => CheckStatus::Limited,
            _ => CheckStatus::Good,
        },
        found: active.map_or_else(
            || "not shown: securityfs is not mounted, or the kernel has none".into(),
            str::to_owned,
        ),
        gives: "below `confidentiality` programs may read all memory",
        advice: None,
    }
}

/// The active level stands in brackets: `none [integrity] confidentiality`.
fn active_lockdown(contents: &str) -> Option<&str> {
    contents.split_once('[')?.1.split_once(']').map(|(level, _)| level)
}

fn privileges() -> Check {
    let useful =
        [Capability::Bpf, Capability::Perfmon, Capability::SysPtrace, Capability::SysAdmin];
    let missing: Vec<_> = Privileges::read().missing(&useful);
    let names: Vec<_> = missing.iter().map(|capability| capability.name()).collect();
    let needed = missing.iter().any(|c| matches!(c, Capability::Bpf | Capability::Perfmon));
    Check {
        name: "privileges",
        status: match (missing.is_empty(), needed) {
            (true, _) => CheckStatus::Good,
            (false, false) => CheckStatus::Limited,
            (false, true) => CheckStatus::Missing,
        },
        found: if missing.is_empty() {
            "all that is useful".into()
        } else {
            names.join(", ") + " missing"
        },
        gives: "loading programs (BPF, PERFMON), executables (SYS_PTRACE), other namespaces (SYS_ADMIN)",
        advice: (!missing.is_empty()).then(|| "sudo tcptrace doctor".into()),
    }
}

fn namespaces(holders: Holders) -> Check {
    let look = || -> Result<(usize, usize)> {
        let snapshot = Gatherer::new(holders, None)?.snapshot(false)?;
        Ok((snapshot.asked.len(), snapshot.closed))
    };
    let gives = "unaccepted connections, orphans and ages of sockets that were there first";
    match look() {
        Ok((open, 0)) => Check {
            name: "sock_diag",
            status: CheckStatus::Good,
            found: format!("answers in every network namespace ({open})"),
            gives,
            advice: None,
        },
        Ok((open, closed)) => Check {
            name: "sock_diag",
            status: CheckStatus::Limited,
            found: format!("answers in {open} network namespaces; {closed} cannot be entered"),
            gives,
            advice: Some("grant CAP_SYS_ADMIN and CAP_SYS_PTRACE, or run as root".into()),
        },
        Err(error) => Check {
            name: "sock_diag",
            status: CheckStatus::Missing,
            found: format!("{error:#}"),
            gives,
            advice: Path::new("/proc/self").exists().then(|| "modprobe tcp_diag".into()),
        },
    }
}

fn from_result<T>(
    name: &'static str,
    gives: &'static str,
    result: &Result<T>,
    good: String,
) -> Check {
    match result {
        Ok(_) => Check { name, status: CheckStatus::Good, found: good, gives, advice: None },
        Err(error) => {
            let advice = error.chain().find_map(|cause| cause.downcast_ref::<Advice>());
            let advice = advice.and_then(|advice| advice.tries.first());
            Check {
                name,
                status: CheckStatus::Missing,
                found: format!("{error:#}"),
                gives,
                advice: advice.map(|(command, what_for)| format!("{command}: {what_for}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_in_brackets_is_the_active_one() {
        assert_eq!(active_lockdown("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(active_lockdown("garbage"), None);
    }
}
