use super::*;
use crate::report::samples::past;

fn text(width: usize, color: bool) -> String {
    let mut out = Vec::new();
    let profile = past::profile(past::window());
    write(&mut out, &profile, &past::about(), Canvas { width, color }).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_hour() {
    insta::assert_snapshot!(text(100, false));
}

#[test]
fn an_hour_on_a_narrow_screen() {
    insta::assert_snapshot!(text(60, false));
}

#[test]
fn an_hour_against_four() {
    let about = About { baseline: Some(past::baseline()), ..past::about() };
    let mut out = Vec::new();
    write_difference(&mut out, &past::difference(), &about, Canvas { width: 90, color: false })
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn it_is_no_wider_than_the_screen_and_sends_it_nothing_to_obey() {
    for width in [60, 80, 133] {
        let text = text(width, false);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= width, "{width}: {text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let colored = text(100, true);
    assert!(colored.contains("\u{1b}["));
    let mut plain = String::new();
    for part in colored.split('\u{1b}') {
        plain += part.strip_prefix('[').map_or(part, |rest| rest.split_once('m').unwrap().1);
    }
    assert_eq!(plain, text(100, false));
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let mut out = Vec::new();
    write(&mut out, &Profile::new(), &past::about(), Canvas { width: 80, color: false }).unwrap();
    assert!(String::from_utf8(out).unwrap().ends_with("\nno socket was stuck\n"));
}

#[test]
fn a_bar_is_as_wide_as_it_says() {
    for (share, bar) in [(0.0, "    "), (0.5, "██  "), (0.53, "██▏ "), (1.0, "████"), (9.0, "████")]
    {
        assert_eq!(Bar(share, 4).to_string(), bar, "{share}");
    }
}
