use super::*;
use crate::report::samples::past;

fn svg(about: &About) -> String {
    let mut out = Vec::new();
    write(&mut out, &past::profile(past::window()), about).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text of every frame, as it is shown when one points at it.
fn titles(svg: &str) -> String {
    let titles = svg.split("<title>").skip(1);
    titles.map(|rest| rest.split("</title>").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn an_hour() {
    insta::assert_snapshot!(titles(&svg(&past::about())));
}

#[test]
fn an_hour_against_four() {
    let about = About { baseline: Some(past::baseline()), ..past::about() };
    let mut out = Vec::new();
    write_difference(&mut out, &past::difference(), &about).unwrap();
    let svg = String::from_utf8(out).unwrap();
    assert!(svg.contains("compared with 2026-03-01 08:00:00 to 12:00:00 UTC"));
    let titles = titles(&svg);
    assert!(titles.contains("gone"), "what is gone is still to be seen: {titles}");
    insta::assert_snapshot!(titles);
}

#[test]
fn the_picture_does_not_depend_on_chance() {
    assert_eq!(svg(&past::about()), svg(&past::about()));
}

#[test]
fn names_are_text_and_nothing_else() {
    let svg = svg(&past::about());
    // Its own script is the only one.
    assert_eq!(svg.matches("<script").count(), 1, "{svg}");
    assert!(svg.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let outside =
        |c: char| matches!(c, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{fffe}'..='\u{ffff}');
    assert!(!svg.contains(outside), "characters that XML does not have");
}

#[test]
fn without_stays_there_is_a_picture_that_says_so() {
    let mut out = Vec::new();
    write(&mut out, &Profile::new(), &past::about()).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
