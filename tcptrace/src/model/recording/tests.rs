use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod played;
mod scripted;

/// A recording of a run with something of everything.
pub(crate) fn recorded() -> Vec<u8> {
    scripted::run().end().0
}

/// A frame that was read: its kind's number, its time and its payload.
type Whole = (u8, Instant, Vec<u8>);

/// Everything that is read of `bytes`.
fn read(bytes: &[u8]) -> (Vec<Whole>, Vec<Flaw>) {
    let (mut whole, mut flaws) = (Vec::new(), Vec::new());
    let mut frames = Frames::open(bytes).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        match frame {
            Ok(Frame { kind, at, payload }) => whole.push((kind, at, payload.to_vec())),
            Err(flaw) => flaws.push(flaw),
        }
    }
    (whole, flaws)
}

type Written = Vec<(Kind, u64, Vec<u8>)>;

fn written() -> impl Strategy<Value = Written> {
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    vec((kind, any::<u64>(), vec(any::<u8>(), 0..60)), 0..8)
}

/// The recording of `frames`, and where each of them ends.
fn recording(frames: &Written) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    open(&mut bytes);
    let mut ends = vec![bytes.len()];
    for (kind, at, payload) in frames {
        frame(&mut bytes, *kind, Instant::from_nanos(*at), payload).unwrap();
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn as_read(frames: &Written) -> Vec<Whole> {
    let read = |(kind, at, payload): &(Kind, u64, Vec<u8>)| {
        (*kind as u8, Instant::from_nanos(*at), payload.clone())
    };
    frames.iter().map(read).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(frames in written()) {
        let (bytes, _) = recording(&frames);
        prop_assert_eq!(read(&bytes), (as_read(&frames), Vec::new()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), opened in any::<bool>()) {
        let mut all = Vec::new();
        if opened {
            open(&mut all);
        }
        all.extend(bytes);
        if let Ok(mut frames) = Frames::open(&all[..]) {
            while frames.next_frame().unwrap().is_some() {}
        }
    }

    #[test]
    fn a_flipped_byte_is_found(
        frames in written(),
        place in any::<proptest::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let (mut bytes, _) = recording(&frames);
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        match Frames::open(&bytes[..]) {
            Err(_) => prop_assert!(place < OPENING),
            Ok(_) => prop_assert_ne!(read(&bytes).1, Vec::new()),
        }
    }

    #[test]
    fn what_is_before_a_cut_is_read(frames in written(), cut in any::<proptest::sample::Index>()) {
        let (bytes, ends) = recording(&frames);
        let cut = OPENING + cut.index(bytes.len() + 1 - OPENING);
        let whole = ends.iter().filter(|&&end| end <= cut).count() - 1;
        let torn = (ends[whole] < cut).then(|| Flaw::Torn {
            offset: ends[whole] as u64,
            bytes: (cut - ends[whole]) as u64,
        });
        let expected = (as_read(&frames)[..whole].to_vec(), Vec::from_iter(torn));
        prop_assert_eq!(read(&bytes[..cut]), expected);
    }
}

#[test]
fn a_damaged_frame_is_named_and_the_next_one_is_read() {
    let frames = vec![(Kind::Tick, 1, vec![1; 16]), (Kind::Lost, 2, vec![2; 5])];
    let (mut bytes, ends) = recording(&frames);
    bytes[ends[0] + PREFIX] ^= 1;
    let (whole, flaws) = read(&bytes);
    assert_eq!(whole, as_read(&frames)[1..]);
    let said: Vec<_> = flaws.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["33 bytes at offset 17 are damaged: a frame (tick) is lost"]);
}

#[test]
fn a_length_takes_no_memory_that_there_are_no_bytes_for() {
    for (length, flaw) in [
        (LONGEST as u32, Flaw::Torn { offset: 17, bytes: 20 }),
        (LONGEST as u32 + 1, Flaw::Lengthless { offset: 17 }),
        (u32::MAX, Flaw::Lengthless { offset: 17 }),
    ] {
        let (mut bytes, _) = recording(&vec![(Kind::Lost, 1, vec![0; 3])]);
        bytes[OPENING + 1..][..4].copy_from_slice(&length.to_le_bytes());
        let mut frames = Frames::open(&bytes[..]).unwrap();
        assert_eq!(frames.next_frame().unwrap(), Some(Err(flaw)));
        assert!(frames.rest.capacity() < 1 << 16);
        assert_eq!(frames.next_frame().unwrap(), None);
    }
}

#[test]
fn what_is_no_recording_says_so() {
    let said = |bytes: &[u8]| Frames::open(bytes).unwrap_err().to_string();
    for foreign in [&b""[..], b"TCPTRACE", b"TCPTRACE-RAW\n\x01", b"SQLite format 3\0 and more"] {
        assert_eq!(said(foreign), "this is no recording of `tcptrace watch --record-raw`");
    }
    let newer = [&MAGIC[..], &3u32.to_le_bytes()].concat();
    assert_eq!(said(&newer), "the recording has format 3, and this tcptrace reads format 2");
}

#[test]
fn too_long_a_payload_is_refused() {
    let mut bytes = vec![7];
    let payload = vec![0; LONGEST + 1];
    let refused = frame(&mut bytes, Kind::Evidence, Instant::default(), &payload);
    assert_eq!((refused, bytes), (Err(TooLong(LONGEST + 1)), vec![7]));
}
