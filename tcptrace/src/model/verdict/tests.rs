use core::time::Duration;
use std::sync::Arc;

use super::*;
use crate::model::code::Frame;
use crate::model::event::{Circumstances, OnCpu, Progress};
use crate::model::evidence::{Sources, Timer};
use crate::model::process::tests::holder;
use crate::model::reads::EofRead;
use crate::model::socket::{Endpoints, NetNs, SocketKey};
use crate::model::stay::StayId;

const THRESHOLD: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// A stay that began at 100 s, of an accepted socket, and a look at it at 160 s.
fn case(state: StayState) -> (Stay, Evidence) {
    let progress = Progress { snd_nxt: 10, snd_una: 10, rcv_nxt: 20 };
    let stay = Stay {
        id: StayId { slot: 0, serial: 0 },
        key: SocketKey::new(7, 0),
        cookie: Some(7),
        netns: Some(NetNs(1)),
        endpoints: Endpoints {
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "127.0.0.1:4000".parse().unwrap(),
        },
        state,
        orphan: false,
        since: at(100),
        since_earliest: at(100),
        exact: true,
        entered: at(100),
        circumstances: Some(Circumstances {
            shutdown: 1,
            has_socket: true,
            has_file: true,
            ..Circumstances::default()
        }),
        progress: Some(progress),
        progress_at: at(100),
        opened: None,
        accepted: false,
        shut: None,
    };
    let evidence = Evidence {
        located: None,
        looked_at: at(160),
        state: Some(state.state()),
        holders: Some(vec![holder(50, 1, 10)]),
        inode: Some(99),
        recv_queue: Some(0),
        send_queue: Some(0),
        progress: Some(progress),
        last_send: Some(Duration::from_secs(3600)),
        last_recv: Some(Duration::from_secs(3600)),
        last_ack: Some(Duration::from_secs(60)),
        port_range: None,
        timer: Timer::None,
        eof_reads: Vec::new(),
        stack: None,
        proof: None,
        opened: None,
        opened_proof: None,
        held_by: None,
        threads: None,
        listener_holders: vec![holder(40, 1, 10)],
        peer_holders: Some(vec![]),
        sources: Sources {
            iterator: true,
            sock_diag: true,
            sock_diag_asked: true,
            ..Sources::default()
        },
    };
    (stay, evidence)
}

fn check(
    state: StayState,
    change: impl FnOnce(&mut Stay, &mut Evidence),
    verdict: Verdict,
    blamed: Option<u32>,
) {
    let (mut stay, mut evidence) = case(state);
    change(&mut stay, &mut evidence);
    match judge(&stay, &evidence, THRESHOLD) {
        Judgement::Stuck(finding) => {
            assert_eq!(finding.verdict, verdict);
            assert_eq!(finding.blame.map(|blame| blame.process.pid), blamed, "{verdict:?}");
        }
        Judgement::InUse(in_use, _) => assert_eq!((in_use, None), (verdict, blamed)),
        Judgement::Exempt(exempt) => assert_eq!((exempt, None), (verdict, blamed)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn close_wait_first_match_wins() {
    use StayState::CloseWait as S;
    check(S, |_, _| {}, Verdict::Drained, Some(50));
    check(S, |_, e| e.recv_queue = Some(1), Verdict::EofUnread, Some(50));
    check(S, |_, e| e.recv_queue = Some(2), Verdict::DataUnread, Some(50));
    check(S, |_, e| e.recv_queue = None, Verdict::Drained, Some(50));
    let blocked = |_: &mut Stay, e: &mut Evidence| {
        (e.send_queue, e.recv_queue) = (Some(1), Some(9));
    };
    check(S, blocked, Verdict::SendBlocked, Some(50));
    let sending = |_: &mut Stay, e: &mut Evidence| {
        e.progress.as_mut().unwrap().snd_una = 11;
        e.send_queue = Some(1);
    };
    check(S, sending, Verdict::Sending, None);
    check(S, |_, e| e.holders = Some(vec![]), Verdict::NoFd, None);
    let unaccepted = |_: &mut Stay, e: &mut Evidence| {
        (e.inode, e.holders, e.recv_queue) = (Some(0), Some(vec![]), Some(9));
    };
    check(S, unaccepted, Verdict::NotAccepted, Some(40));
    let kernel = |s: &mut Stay, e: &mut Evidence| {
        s.circumstances.as_mut().unwrap().has_file = false;
        e.holders = Some(vec![]);
    };
    check(S, kernel, Verdict::Kernel, None);
    // Accepted after the FIN: it had no file then and has one now.
    let accepted_late = |s: &mut Stay, _: &mut Evidence| {
        let at_entry = s.circumstances.as_mut().unwrap();
        (at_entry.has_file, at_entry.has_socket) = (false, false);
    };
    check(S, accepted_late, Verdict::Drained, Some(50));
}

#[test]
fn fin_wait2_first_match_wins() {
    use StayState::FinWait2 as S;
    check(S, |_, _| {}, Verdict::PeerNotClosing, Some(50));
    let local_peer = |_: &mut Stay, e: &mut Evidence| e.peer_holders = Some(vec![holder(60, 1, 5)]);
    check(S, local_peer, Verdict::PeerNotClosing, Some(60));
    check(S, |_, e| e.progress.as_mut().unwrap().rcv_nxt += 1, Verdict::Receiving, None);
    check(S, |s, _| s.orphan = true, Verdict::Orphan, None);
    check(S, |_, e| (e.inode, e.holders) = (Some(0), Some(vec![])), Verdict::Orphan, None);
}

#[test]
fn holders_that_cannot_be_seen_accuse_nobody() {
    use StayState::CloseWait as S;
    let blind = |_: &mut Stay, e: &mut Evidence| {
        (e.holders, e.recv_queue) = (None, Some(1));
    };
    check(S, blind, Verdict::EofUnread, None);
    check(StayState::FinWait2, |_, e| e.holders = None, Verdict::PeerNotClosing, None);
}

#[test]
fn what_is_no_longer_so_is_not_told() {
    let (stay, mut evidence) = case(StayState::CloseWait);
    evidence.state = Some(TcpState::LastAck);
    assert_eq!(judge(&stay, &evidence, THRESHOLD), Judgement::Gone);
    evidence.state = None;
    assert_eq!(judge(&stay, &evidence, THRESHOLD), Judgement::Vanished);
    evidence.sources.sock_diag_asked = false;
    assert!(matches!(judge(&stay, &evidence, THRESHOLD), Judgement::Stuck(_)));
}

#[test]
fn a_half_close_in_use_is_judged_again_one_threshold_after_the_last_byte() {
    let (stay, mut evidence) = case(StayState::CloseWait);
    evidence.progress.as_mut().unwrap().snd_nxt += 5;
    evidence.last_send = Some(Duration::from_secs(20));
    assert_eq!(
        judge(&stay, &evidence, THRESHOLD),
        Judgement::InUse(Verdict::Sending, at(140 + 60)),
    );
    // Acknowledged meanwhile: the kernel tells when the last acknowledgement came.
    evidence.progress.as_mut().unwrap().snd_una += 5;
    evidence.last_ack = Some(Duration::from_secs(10));
    assert_eq!(
        judge(&stay, &evidence, THRESHOLD),
        Judgement::InUse(Verdict::Sending, at(150 + 60)),
    );
}

#[test]
fn retransmissions_are_not_sending() {
    // A peer that vanished: the same segment goes out again and again.
    let (stay, mut evidence) = case(StayState::CloseWait);
    evidence.last_send = Some(Duration::from_secs(1));
    evidence.send_queue = Some(100);
    let judgement = judge(&stay, &evidence, THRESHOLD);
    assert!(
        matches!(&judgement, Judgement::Stuck(f) if f.verdict == Verdict::SendBlocked),
        "{judgement:?}"
    );
}

#[test]
fn one_look_at_a_socket_that_was_there_first_trusts_the_kernels_account() {
    let (mut stay, mut evidence) = case(StayState::CloseWait);
    stay.circumstances = None;
    stay.progress_at = at(159);
    evidence.last_send = Some(Duration::from_secs(5));
    assert!(matches!(judge(&stay, &evidence, THRESHOLD), Judgement::InUse(Verdict::Sending, _)));
    evidence.last_send = Some(Duration::from_secs(61));
    assert!(matches!(judge(&stay, &evidence, THRESHOLD), Judgement::Stuck(_)));
}

#[test]
fn an_idle_half_close_is_told_with_low_confidence() {
    let mut low: Vec<_> = VERDICTS.into_iter().collect();
    low.retain(|&verdict| confidence(verdict) == Confidence::Low);
    let names: Vec<_> = low.into_iter().map(Verdict::name).collect();
    assert_eq!(
        names,
        [
            "sending",
            "send_blocked",
            "data_unread",
            "eof_unread",
            "drained",
            "receiving",
            "peer_not_closing"
        ]
    );
}

fn eof_read(pid: u32, start: u64, peeked: bool) -> EofRead {
    let by = OnCpu { pid, tid: pid, comm: *b"reader\0\0\0\0\0\0\0\0\0\0" };
    EofRead { at: at(101), by, start_ticks: Some(start), peeked, path: None }
}

#[test]
fn who_read_the_end_of_file_decides_between_the_holders() {
    use StayState::CloseWait as S;
    let parent = || holder(50, 1, 10);
    let child = || holder(60, 50, 20);
    // Read by its only holder.
    check(S, |_, e| e.eof_reads = vec![eof_read(50, 10, false)], Verdict::EofRead, Some(50));
    // Read by one of two: that one is to blame, though the other is its parent.
    check(
        S,
        |_, e| {
            e.holders = Some(vec![parent(), child()]);
            e.eof_reads = vec![eof_read(60, 20, false)];
        },
        Verdict::EofRead,
        Some(60),
    );
    // Read by a child that has closed its copy, or has gone and left its pid to another.
    check(S, |_, e| e.eof_reads = vec![eof_read(60, 20, false)], Verdict::SharedFd, Some(50));
    check(S, |_, e| e.eof_reads = vec![eof_read(50, 9, false)], Verdict::SharedFd, Some(50));
    // Read by the parent, which has closed its copy; two children keep theirs.
    check(
        S,
        |_, e| {
            e.holders = Some(vec![child(), holder(61, 50, 30)]);
            e.eof_reads = vec![eof_read(50, 10, false)];
        },
        Verdict::SharedFd,
        Some(60),
    );
    // A peek is no read, and a read of length 0 takes nothing.
    check(S, |_, e| e.eof_reads = vec![eof_read(50, 10, true)], Verdict::Drained, Some(50));
    check(
        S,
        |_, e| (e.recv_queue, e.eof_reads) = (Some(1), vec![eof_read(50, 10, true)]),
        Verdict::EofUnread,
        Some(50),
    );
    check(
        S,
        |_, e| (e.recv_queue, e.eof_reads) = (Some(7), vec![eof_read(50, 10, false)]),
        Verdict::DataUnread,
        Some(50),
    );
    // Nobody is accused of what nobody could see.
    check(
        S,
        |_, e| (e.holders, e.eof_reads) = (None, vec![eof_read(60, 20, false)]),
        Verdict::Drained,
        None,
    );
}

#[test]
fn a_descriptor_whose_connection_is_over_is_its_holders() {
    check(StayState::Closed, |_, _| {}, Verdict::ClosedNotReleased, Some(50));
}

fn stack(functions: &[&str]) -> Option<Arc<Stack>> {
    let frame = |name: &&str| Frame { function: Some((*name).to_owned()), ..Frame::default() };
    Some(Arc::new(Stack { frames: functions.iter().map(frame).collect(), complete: true }))
}

/// Every verdict that has code to look at, and which.
#[test]
fn the_code_to_look_at() {
    let (mut stay, mut evidence) = case(StayState::CloseWait);
    evidence.opened = stack(&["borrow"]);
    let code = |stay: &Stay, evidence: &Evidence| {
        let code = find(stay, evidence, THRESHOLD).code;
        code.map(|code| (code.did, code.line.to_string()))
    };
    let is = |did, line: &str| Some((did, line.to_owned()));
    assert_eq!(code(&stay, &evidence), is(Did::Connect, "borrow"), "drained");
    stay.accepted = true;
    assert_eq!(code(&stay, &evidence), is(Did::Accept, "borrow"));
    evidence.eof_reads = vec![eof_read(50, 10, false)];
    evidence.stack = stack(&["handle"]);
    assert_eq!(code(&stay, &evidence), is(Did::Read, "handle"), "eof_read");
    evidence.stack = stack(&["uv__read", "uv__io_poll"]);
    assert_eq!(code(&stay, &evidence), is(Did::Accept, "borrow"), "an event loop reads for all");
    evidence.opened = None;
    assert_eq!(
        code(&stay, &evidence),
        is(Did::Read, "uv__read ← uv__io_poll"),
        "there is no other"
    );
    let (stay, mut evidence) = case(StayState::FinWait2);
    (evidence.opened, evidence.stack) = (stack(&["borrow"]), stack(&["half_close"]));
    assert_eq!(code(&stay, &evidence), is(Did::ShutDown, "half_close"), "peer_not_closing");
    evidence.peer_holders = Some(vec![holder(70, 1, 10)]);
    assert_eq!(code(&stay, &evidence), None, "the peer is to blame, and this is not its code");
    let (stay, mut evidence) = case(StayState::Closed);
    (evidence.opened, evidence.stack) = (stack(&["borrow"]), stack(&["half_close"]));
    assert_eq!(code(&stay, &evidence), is(Did::Connect, "borrow"), "closed_not_released");
}
