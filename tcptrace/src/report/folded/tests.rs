use proptest::prelude::*;

use super::*;
use crate::report::samples::past;

fn folded(profile: &Profile, measure: Measure) -> String {
    let mut out = Vec::new();
    write(&mut out, profile, measure).unwrap();
    String::from_utf8(out).unwrap()
}

fn read_back(text: &str, measure: Measure) -> Result<Profile, String> {
    read(text.as_bytes(), measure).map_err(|error| error.to_string())
}

#[test]
fn an_hour() {
    insta::assert_snapshot!(folded(&past::profile(past::window()), Measure::Time));
}

#[test]
fn an_hour_against_four() {
    let mut out = Vec::new();
    write_difference(&mut out, &past::difference(), Measure::Time).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn what_an_engine_returns_is_read() {
    let text = "java;eof_read;main 1500\r\n\njava;two words 2.5\nno frames\t3e3";
    let profile = read_back(text, Measure::Time).unwrap();
    assert_eq!(profile.total().time, Duration::from_micros(4_502_500));
    let again = folded(&profile, Measure::Time);
    assert_eq!(again, "no frames 3000\njava;eof_read;main 1500\njava;two words 2\n");
    let counts = read_back("a;b 2\na 1\n", Measure::Count).unwrap();
    assert_eq!(counts.total(), Weight { time: Duration::ZERO, count: 3 });
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, measure, expect) in [
        ("a;b 1\nnonsense", Measure::Time, "line 2 has no number after its frames"),
        ("a;b -1", Measure::Time, "line 1 does not end in a number from 0 up"),
        ("a;b NaN", Measure::Time, "line 1 does not end in a number from 0 up"),
        ("a;b 1e300", Measure::Time, "line 1 does not end in a number from 0 up"),
        ("a 1.5", Measure::Count, "line 1 does not end in a whole number of sockets"),
        ("\n\na;;b 1", Measure::Time, "line 3 has a frame without a name"),
        (";a 1", Measure::Time, "line 1 has a frame without a name"),
    ] {
        let error = read_back(text, measure).unwrap_err();
        assert!(error.starts_with(expect), "{text:?}: {error}");
        assert!(error.contains("like `java;eof_read;main 1500`"), "{error}");
    }
    let lossy = read(&b"a\xff;b 1\n"[..], Measure::Count).unwrap();
    assert_eq!(&*lossy.nodes()[1].frame.name, "a\u{fffd}");
}

proptest! {
    #[test]
    fn any_name_is_one_field_of_one_line(names in prop::collection::vec(any::<String>(), 1..5)) {
        let mut profile = Profile::new();
        let frames = names.iter().map(|name| FrameName::new(FrameKind::Function, &**name));
        profile.add(frames, Weight { time: Duration::from_millis(7), count: 1 });
        let text = folded(&profile, Measure::Time);
        prop_assert_eq!(text.matches('\n').count(), 1, "{}", text);
        prop_assert_eq!(text.matches(';').count(), names.len() - 1);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let again = read_back(&text, Measure::Time).unwrap();
        prop_assert_eq!(again.total().time, Duration::from_millis(7));
        prop_assert_eq!(folded(&again, Measure::Time), text);
    }

    #[test]
    fn rounding_loses_nothing(nanos in prop::collection::vec(0..3_000_000u64, 1..200)) {
        let mut profile = Profile::new();
        for (i, &nanos) in nanos.iter().enumerate() {
            let frame = FrameName::new(FrameKind::Function, i.to_string());
            profile.add([frame], Weight { time: Duration::from_nanos(nanos), count: 1 });
        }
        let sum: u64 = steps(&profile, Measure::Time).iter().map(|&(_, step)| step).sum();
        prop_assert_eq!(u128::from(sum), profile.total().time.as_millis());
    }
}
