//! Records as the kernel writes them, and a core that takes them in.

use std::time::Duration;

use tcptrace::model::decode;
use tcptrace::model::engine::{Engine, EngineConfig, Input};
use tcptrace::model::filter::Filter;
use tcptrace::model::rules::Rules;
use tcptrace::model::snapshot::Snapshot;
use tcptrace::model::socket::{Identity, TcpState};
use tcptrace::model::time::Instant;
use tcptrace::model::tracker::Thresholds;
use tcptrace_common::{ShortTransitionRecord, flag};

/// Thresholds of `tcptrace watch` unless it is told otherwise.
pub const THRESHOLDS: Thresholds = Thresholds {
    close_wait: Duration::from_secs(60),
    fin_wait2: Duration::from_secs(120),
    closed: Some(Duration::from_secs(60)),
    record: Some(Duration::from_secs(1)),
};

/// One step of a socket's life.
#[derive(Clone, Copy)]
pub struct Step {
    /// On the side that accepted the connection, or on that which opened it.
    pub accepted: bool,
    /// The state left.
    pub old: TcpState,
    /// The state entered.
    pub new: TcpState,
}

const fn step(accepted: bool, old: TcpState, new: TcpState) -> Step {
    Step { accepted, old, new }
}

/// What a connection over loopback makes while it is opened.
pub const OPENING: [Step; 4] = [
    step(false, TcpState::Close, TcpState::SynSent),
    step(true, TcpState::Listen, TcpState::SynRecv),
    step(false, TcpState::SynSent, TcpState::Established),
    step(true, TcpState::SynRecv, TcpState::Established),
];

/// What it makes when its client closes first, and then its server.
pub const CLOSING: [Step; 6] = [
    step(false, TcpState::Established, TcpState::FinWait1),
    step(true, TcpState::Established, TcpState::CloseWait),
    step(false, TcpState::FinWait1, TcpState::FinWait2),
    step(false, TcpState::FinWait2, TcpState::Close),
    step(true, TcpState::CloseWait, TcpState::LastAck),
    step(true, TcpState::LastAck, TcpState::Close),
];

/// The record of `step` of a connection, as long and as full as the kernel's.
pub fn record(
    step: Step,
    connection: u64,
    at: Instant,
) -> [u8; size_of::<ShortTransitionRecord>()] {
    const PATHS: [u32; 2] = [0x1234_5671, 0x2345_6781];
    let cookie = 2 * connection + 1 + u64::from(step.accepted);
    let mut bytes = [0; size_of::<ShortTransitionRecord>()];
    bytes[..8].copy_from_slice(&at.as_nanos().to_ne_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_ne_bytes());
    bytes[16..20].copy_from_slice(&4_026_531_840u32.to_ne_bytes());
    bytes[32..40].copy_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1]);
    let port = 32_768 + (connection % 28_000) as u16;
    let [local, remote] = if step.accepted { [80, port] } else { [port, 80] };
    bytes[40..42].copy_from_slice(&local.to_ne_bytes());
    bytes[42..44].copy_from_slice(&remote.to_ne_bytes());
    bytes[46..48].copy_from_slice(&[step.old as u8, step.new as u8]);
    let details = |state| matches!(state, TcpState::FinWait2 | TcpState::CloseWait);
    if details(step.old) || details(step.new) || step.new == TcpState::Close {
        bytes[48] = 3;
        bytes[49] = flag::DETAILS | flag::TASK;
    }
    let path = match step.new {
        TcpState::SynSent => PATHS[0],
        TcpState::FinWait1 => PATHS[1],
        _ => 0,
    };
    bytes[52..].copy_from_slice(&path.to_ne_bytes());
    bytes
}

/// A core that knows of no socket yet.
pub fn engine() -> Engine {
    let mut engine = Engine::new(EngineConfig {
        thresholds: THRESHOLDS,
        filter: Filter::default(),
        rules: Rules::default(),
        capacity: usize::MAX,
        boot_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        identity: Identity::Cookie,
        eof: true,
    });
    engine.handle(Instant::default(), Input::Tick);
    engine.handle(Instant::default(), Input::Snapshot(Some(&Snapshot::default())));
    engine
}

/// Decodes a record and hands it to the core.
pub fn take(engine: &mut Engine, record: &[u8]) {
    let decoded = decode::transition(record);
    let event = decoded.as_ref().expect("a record as the kernel writes it");
    engine.handle(event.at, Input::Transition(event));
}

/// Lets time pass, and drops what the core wants done.
pub fn tick(engine: &mut Engine, now: Instant) {
    engine.handle(now, Input::Tick);
    while engine.poll().is_some() {}
}
