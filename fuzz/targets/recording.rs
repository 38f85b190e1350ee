//! Raw recordings: any bytes as a file, and frames with any payload, whose checksums fit, played through the core.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tcptrace::model::engine::EngineConfig;
use tcptrace::model::filter::Filter;
use tcptrace::model::recording::player::Player;
use tcptrace::model::recording::tape::{ByteOrder, Header, Tape};
use tcptrace::model::recording::{Frames, Kind, frame};
use tcptrace::model::rules::Rules;
use tcptrace::model::socket::Identity;
use tcptrace::model::time::Instant;
use tcptrace::model::tracker::Thresholds;

/// Nobody's run is longer than this.
const LATEST: u64 = 10 * 365 * 86_400 * 1_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    play(bytes);
    play(&framed(bytes));
});

/// A recording with a header and the frames that `bytes` describe: kind, length, time, payload.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut recording = Tape::new(Instant::default(), &header()).bytes;
    let mut at = 0u64;
    while let Some((&[kind, short, long, later], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([short, long])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        at = (at + (1u64 << (later % 64))).min(LATEST);
        if let Some(kind) = Kind::of(kind) {
            frame(&mut recording, kind, Instant::from_nanos(at), payload).expect("a short frame");
        }
        bytes = rest;
    }
    recording
}

fn play(recording: &[u8]) {
    let Ok(mut frames) = Frames::open(recording) else { return };
    let mut player = None;
    while let Some(frame) = frames.next_frame().expect("memory can be read") {
        let Ok(frame) = frame else { continue };
        let Some(player) = &mut player else {
            let Ok(begun) = Player::new(&frame) else { return };
            player = Some(begun);
            continue;
        };
        let _ = player.play(&frame);
        while player.poll().is_some() {}
    }
    if let Some(player) = player {
        let _ = player.summary();
    }
}

fn header() -> Header {
    Header {
        host: "there".into(),
        tcptrace: "0.1.0".into(),
        kernel: "6.12.0".into(),
        byte_order: ByteOrder::OWN,
        wall: jiff::Timestamp::UNIX_EPOCH,
        engine: EngineConfig {
            thresholds: Thresholds {
                close_wait: Duration::from_secs(60),
                fin_wait2: Duration::from_secs(20),
                closed: Some(Duration::from_secs(60)),
                record: Some(Duration::from_secs(1)),
            },
            filter: Filter::default(),
            rules: Rules::default(),
            capacity: 1000,
            boot_id: "0123456789".into(),
            identity: Identity::Cookie,
            eof: true,
        },
    }
}
