use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::model::filter::Filter;
use crate::model::recording::{Frame, Frames, Kind};
use crate::model::socket::Identity;
use crate::model::tracker::Thresholds;

/// A path of this test's own, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("tcptrace-recording-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn began() -> Anchor {
    Anchor { monotonic: Instant::from_nanos(5), wall: jiff::Timestamp::UNIX_EPOCH }
}

fn config() -> EngineConfig {
    EngineConfig {
        thresholds: Thresholds::NEVER,
        filter: Filter::default(),
        rules: crate::model::rules::Rules::default(),
        capacity: 10,
        boot_id: "boot".into(),
        identity: Identity::Cookie,
        eof: false,
    }
}

fn host() -> host::Host {
    host::Host { name: "here".into(), boot_id: "boot".into() }
}

/// The kinds in a recording, and how many frames it says are missing.
fn shown(bytes: &[u8]) -> (Vec<Kind>, u64) {
    let mut frames = Frames::open(bytes).unwrap();
    let (mut kinds, mut missing) = (Vec::new(), 0);
    while let Some(frame) = frames.next_frame().unwrap() {
        let Frame { kind, payload, .. } = frame.unwrap();
        kinds.push(Kind::of(kind).unwrap());
        if kind == Kind::LeftOut as u8 {
            missing += u64::from_le_bytes(payload.try_into().unwrap());
        }
    }
    (kinds, missing)
}

#[test]
fn a_file_is_made_for_its_owner_alone_and_never_written_over() {
    let scratch = Scratch::new("own");
    let mut recorder = Recorder::create(&scratch.0, &host(), config(), began()).unwrap();
    recorder.deed(Instant::from_nanos(6), b"deed");
    recorder.transition(Instant::from_nanos(6), b"transition");
    recorder.place_deeds();
    recorder.input(began(), &Input::Tick, &Engine::new(config()));
    let account = recorder.finish(began(), Lost::default()).unwrap();
    assert_eq!((account.left_out, account.error.is_none()), (0, true));
    assert_eq!(fs::metadata(&scratch.0).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&scratch.0).unwrap();
    let kinds = [Kind::Header, Kind::Transition, Kind::Deed, Kind::Tick, Kind::End];
    assert_eq!(shown(&bytes), (kinds.to_vec(), 0));

    let again = Recorder::create(&scratch.0, &host(), config(), began()).err().unwrap();
    assert!(again.downcast_ref::<Advice>().is_some());
    assert!(again.to_string().ends_with("is there already, and is not written over"));
    assert_eq!(fs::read(&scratch.0).unwrap(), bytes);
}

#[test]
fn what_a_slow_disk_does_not_take_is_left_out_and_counted() {
    // Nobody reads the pipe until everything has been handed over.
    let (mut reader, writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    let mut recorder =
        Recorder::start(Path::new("pipe"), file, Tape::new(began().monotonic, &header())).unwrap();
    let all = QUEUE / CHUNK + 10;
    for _ in 0..all {
        recorder.transition(Instant::default(), &[0; CHUNK]);
    }
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes).unwrap()
    });
    let account = recorder.finish(began(), Lost::default()).unwrap();
    let (kinds, missing) = shown(&reader.join().unwrap());
    let transitions = kinds.iter().filter(|&&kind| kind == Kind::Transition).count();
    assert!(account.left_out >= 10 && account.error.is_none(), "{account:?}");
    assert_eq!((missing, transitions as u64 + missing), (account.left_out, all as u64));
    assert_eq!(kinds.last(), Some(&Kind::End));
}

fn header() -> Header {
    Header {
        host: "here".into(),
        tcptrace: "0".into(),
        kernel: "0".into(),
        byte_order: ByteOrder::OWN,
        wall: began().wall,
        engine: config(),
    }
}

fn chunk(frames: u64, left_out: u64) -> Chunk {
    let mut tape = Tape::default();
    (0..frames).for_each(|_| tape.transition(Instant::default(), b"record"));
    Chunk { at: Instant::default(), bytes: tape.bytes, frames, left_out }
}

fn writer(file: File, written: u64) -> Writer {
    let account = Account::default();
    Writer { name: "test".into(), file, written, missing: 0, torn: false, account }
}

#[test]
fn what_is_missing_stands_where_it_is_missing() {
    let scratch = Scratch::new("gap");
    let mut file = create(&scratch.0).unwrap();
    let begin = Tape::new(began().monotonic, &header()).bytes;
    file.write_all(&begin).unwrap();
    let mut writer = writer(file, begin.len() as u64);
    writer.write(&chunk(2, 0));
    // Half of this one is on the disk when that is full.
    let half = chunk(3, 0);
    writer.file.write_all(&half.bytes[..10]).unwrap();
    writer.take_back().unwrap();
    writer.miss(half.frames);
    writer.write(&chunk(1, 4));
    writer.miss(5);
    writer.finish(Instant::default());
    assert_eq!(writer.account.left_out, 12);
    let kinds = [
        Kind::Header,
        Kind::Transition,
        Kind::Transition,
        Kind::LeftOut,
        Kind::Transition,
        Kind::LeftOut,
    ];
    assert_eq!(shown(&fs::read(&scratch.0).unwrap()), (kinds.to_vec(), 12));
}

#[test]
fn a_full_disk_ends_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut writer = writer(full, 0);
    writer.write(&chunk(2, 1));
    writer.write(&chunk(3, 0));
    writer.finish(Instant::default());
    assert_eq!(writer.account.left_out, 6);
    let error = writer.account.error.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
