//! What each kernel program costs this kernel's verifier, by the verifier's own account.
//!
//! aya keeps the log of a load that fails. So the load fails, for want of a descriptor, after the
//! verifier has done its work: in a process of its own, whose other threads need none.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use aya::programs::{BtfTracePoint, FExit, Iter, Program, ProgramError, TracePoint};
use aya::{Btf, Ebpf};
use libtest_mimic::Trial;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tcptrace::sys::loader::{Globals, Kernel};

use crate::host::{report, run};

pub fn trials() -> Vec<Trial> {
    crate::trials![every_program_is_far_from_the_limits]
}

/// What a verifier goes through at most (`BPF_COMPLEXITY_LIMIT_INSNS`): a program that comes near
/// is refused by the next kernel.
const INSTRUCTIONS: u64 = 1_000_000;
/// `MAX_BPF_STACK`, of what calls one another. Each part of a program has one of its own.
const STACK: u64 = 512;

/// What every program is loaded for.
const TARGETS: [(&str, &str); 12] = [
    ("transition", "inet_sock_set_state"),
    ("transition_again", "inet_sock_set_state"),
    ("transition_classic", ""),
    ("eof", "sock_recv_length"),
    ("eof_recvmsg5", "tcp_recvmsg"),
    ("eof_recvmsg6", "tcp_recvmsg"),
    ("released", "tcp_destroy_sock"),
    ("accepted2", "inet_csk_accept"),
    ("accepted4", "inet_csk_accept"),
    ("accept_returns", ""),
    ("execed", "sched_process_exec"),
    ("holders", "task_file"),
];

fn every_program_is_far_from_the_limits() {
    let exe = std::env::current_exe().unwrap();
    let out = run(&[exe.to_str().unwrap(), "budget"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), TARGETS.len(), "{out}");
    for line in &lines {
        report(line);
        if line["refused"] == Value::Null {
            assert!(line["instructions"].as_u64().unwrap() < INSTRUCTIONS / 4, "{line}");
            // A later kernel adds how deep the deepest calls are: `144+24+312 max 320`.
            let depths = line["stack"].as_str().unwrap().split(['+', ' ']);
            let depths =
                depths.filter(|word| *word != "max").map(|depth| depth.parse::<u64>().unwrap());
            assert!(depths.max().unwrap() <= STACK, "{line}");
        }
    }
    let loads = |name| lines.iter().any(|line| line["name"] == name && line["refused"].is_null());
    // The rest depends on the kernel; doctor says what is lacking.
    for name in ["transition", "transition_again", "released"] {
        assert!(loads(name), "{out}");
    }
}

/// The process that loads them: prints what each costs.
pub fn measure() {
    let lines = RefCell::new(Vec::new());
    let mut kernel = Kernel::read().unwrap();
    let globals = Globals {
        ring_bytes: 4096,
        high_water: u64::MAX,
        holder_states: u32::MAX,
        on_cpu: true,
        stacks: true,
    };
    let (recvmsg, accept) = (kernel.recvmsg_arguments(), kernel.accept_arguments());
    let all = |ebpf: &mut Ebpf, btf: &Btf| {
        // The transitions' program decides what this kernel is taken to offer.
        let program = ebpf.program_mut(TARGETS[0].0).unwrap();
        lines.borrow_mut().push(line(TARGETS[0].0, cost(program, TARGETS[0].1, btf)?));
        for (name, program) in ebpf.programs_mut().filter(|(name, _)| *name != TARGETS[0].0) {
            let target = TARGETS.iter().find(|(known, _)| *known == name);
            let (_, target) = target.unwrap_or_else(|| panic!("{name} is not among the targets"));
            let made_for = name.chars().last().and_then(|last| last.to_digit(10));
            let arguments = if *target == "tcp_recvmsg" { recvmsg } else { accept };
            let cost = if made_for.is_some_and(|made_for| Some(made_for as usize) != arguments) {
                json!({ "refused": format!("{target} has {arguments:?} arguments") })
            } else {
                cost(program, target, btf).unwrap_or_else(|why| json!({ "refused": said(&why) }))
            };
            lines.borrow_mut().push(line(name, cost));
        }
        Ok(())
    };
    kernel.load(&globals, all).unwrap();
    lines.into_inner().iter().for_each(report);
}

fn line(name: &str, cost: Value) -> Value {
    let mut line = cost;
    line["type"] = "program".into();
    line["name"] = name.into();
    line
}

/// What the verifier did not like.
fn said(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return error.to_string();
    };
    let log = verifier_log.to_string();
    let why = log.lines().rev().find(|line| !line.is_empty() && !line.contains("processed"));
    why.map_or_else(|| io_error.to_string(), str::to_owned)
}

fn cost(program: &mut Program, target: &str, btf: &Btf) -> Result<Value, ProgramError> {
    let limit = getrlimit(Resource::Nofile);
    // The lowest free descriptor is the first that there may not be.
    let free = File::open("/dev/null").unwrap().as_raw_fd();
    let none = Rlimit { current: Some(u64::try_from(free).unwrap()), ..limit };
    setrlimit(Resource::Nofile, none).unwrap();
    let loaded = load(program, target, btf);
    setrlimit(Resource::Nofile, limit).unwrap();
    let log = match loaded {
        Err(ProgramError::LoadError { io_error, verifier_log })
            if io_error.raw_os_error() == Some(libc::EMFILE) =>
        {
            verifier_log.to_string()
        }
        Err(error) => return Err(error),
        Ok(()) => panic!("{target}: a program without a descriptor"),
    };
    // `processed 1234 insns (limit 1000000) …` and `stack depth 112+24`.
    let after = |what: &str| log.lines().find_map(|line| line.trim().strip_prefix(what));
    let instructions = after("processed ").and_then(|rest| rest.split(' ').next());
    let instructions: Option<u64> = instructions.and_then(|count| count.parse().ok());
    Ok(json!({ "instructions": instructions, "stack": after("stack depth ").map(str::trim) }))
}

fn load(program: &mut Program, target: &str, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => BtfTracePoint::load(program, target, btf),
        Program::FExit(program) => FExit::load(program, target, btf),
        Program::Iter(program) => Iter::load(program, target, btf),
        Program::TracePoint(program) => TracePoint::load(program),
        other => panic!("a kind of program that nothing here loads: {:?}", other.prog_type()),
    }
}
