use proptest::prelude::*;
use tcptrace_common::flag;

use super::*;

fn record(old: u8, new: u8, family: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(7u64.to_ne_bytes());
    bytes.extend(42u64.to_ne_bytes());
    bytes.extend(0xffff_8880_0000_0000u64.to_ne_bytes());
    for word in [4_026_531_840u32, 10, 9, 8, 4711, 4712] {
        bytes.extend(word.to_ne_bytes());
    }
    let mut local = [0u8; 16];
    local[..4].copy_from_slice(&[127, 0, 0, 1]);
    bytes.extend(local);
    bytes.extend(local);
    for half in [80u16, 5000, 32] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([family, old, new, 1, flag::DETAILS | flag::HAS_FILE | flag::HAS_SOCKET, 0]);
    bytes.extend(*b"nc\0garbage\xff\xff\xff\xff\xff\xff");
    bytes.extend([0; 12]);
    bytes
}

#[test]
fn every_field_is_where_the_kernel_side_puts_it() {
    let decoded = transition(&record(1, 8, AF_INET)).unwrap();
    assert_eq!(decoded.at, Instant::from_nanos(7));
    assert_eq!(decoded.key.cookie(), Some(42));
    assert_eq!(decoded.netns, Some(NetNs(4_026_531_840)));
    assert_eq!(decoded.progress, Some(Progress { snd_nxt: 10, snd_una: 9, rcv_nxt: 8 }));
    assert_eq!(decoded.endpoints.local, "127.0.0.1:80".parse().unwrap());
    assert_eq!(decoded.endpoints.remote, "127.0.0.1:5000".parse().unwrap());
    assert_eq!((decoded.old, decoded.new), (TcpState::Established, TcpState::CloseWait));
    let circumstances = decoded.circumstances.unwrap();
    assert_eq!(circumstances.err, 32);
    assert!(circumstances.has_file && !circumstances.dead);
    assert_eq!((decoded.on_cpu.pid, decoded.on_cpu.tid), (4711, 4712));
    assert_eq!(decoded.on_cpu.comm(), b"nc");
}

#[test]
fn a_short_record_says_the_same_as_a_long_one() {
    let long = record(1, 8, AF_INET);
    let mut short = long[..16].to_vec();
    short.extend(&long[24..40]);
    short.extend([&long[48..52], &long[64..68], &long[80..86], &long[87..91]].concat());
    short.extend([0; 2]);
    short.extend(&long[108..112]);
    let (mut long, short) = (transition(&long).unwrap(), transition(&short).unwrap());
    long.on_cpu = OnCpu { pid: 0, tid: 0, comm: [0; 16] };
    assert_eq!(long.skaddr.take(), Some(0xffff_8880_0000_0000));
    assert_eq!(short, long);
}

#[test]
fn a_deed_has_its_fields_where_the_kernel_side_puts_them() {
    let mut bytes = Vec::new();
    for long in [7u64, 42, 1 << 63, 3_000_000_001] {
        bytes.extend(long.to_ne_bytes());
    }
    bytes.extend([4711u32.to_ne_bytes(), 4712u32.to_ne_bytes()].concat());
    bytes.extend([kind::EOF_PEEKED, flag::TASK | flag::EXITING, 0, 0, 0, 0, 0, 0]);
    bytes.extend(*b"reader\0\0\0\0\0\0\0\0\0\0");
    bytes.extend([99u32.to_ne_bytes(), [0; 4]].concat());
    let decoded = deed(&bytes).unwrap();
    assert_eq!(decoded.path, PathId::new(99));
    assert_eq!((decoded.cookie, decoded.kind), (Some(42), DeedKind::EofPeeked));
    assert_eq!((decoded.by.pid, decoded.by.tid, decoded.by.comm()), (4711, 4712, &b"reader"[..]));
    assert_eq!((decoded.start_ticks, decoded.exiting), (Some(300), Some(true)));
    bytes[40] = 9;
    assert_eq!(deed(&bytes), Err(DecodeError::Deed(9)));
}

#[test]
fn what_is_unknown_is_named() {
    assert_eq!(transition(&record(1, 14, AF_INET)), Err(DecodeError::State(UnknownState(14))));
    assert_eq!(transition(&record(0, 8, AF_INET)), Err(DecodeError::State(UnknownState(0))));
    assert_eq!(transition(&record(1, 8, 3)), Err(DecodeError::Family(3)));
    let torn = &record(1, 8, AF_INET)[..50];
    assert_eq!(transition(torn), Err(DecodeError::Length { got: 50, want: 120 }));
}

#[test]
fn a_queue_is_never_negative() {
    assert_eq!(distance(5, 3), 2);
    assert_eq!(distance(3, 5), 0);
    assert_eq!(distance(1, u32::MAX), 2);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = transition(&bytes);
        let _ = held_fd(&bytes);
        let _ = deed(&bytes);
    }

    #[test]
    fn a_record_of_the_right_length_decodes_or_says_why(
        mut bytes in proptest::collection::vec(any::<u8>(), size_of::<TransitionRecord>()),
        family in 0..12u8,
        states in [0..15u8, 0..15],
    ) {
        bytes[86..89].copy_from_slice(&[family, states[0], states[1]]);
        let known = states.iter().all(|state| (1..=12).contains(state));
        let family = family == AF_INET || family == AF_INET6;
        prop_assert_eq!(transition(&bytes).is_ok(), known && family);
    }
}
