use proptest::prelude::*;

use super::*;

fn frames(path: &str) -> Vec<FrameName> {
    let names = path.split(';').filter(|name| !name.is_empty());
    names.map(|name| FrameName::new(FrameKind::Function, name)).collect()
}

fn seconds(seconds: u64) -> Weight {
    Weight { time: Duration::from_secs(seconds), count: 1 }
}

fn profile(paths: &[(&str, u64)]) -> Profile {
    let mut profile = Profile::new();
    for &(path, weight) in paths {
        profile.add(frames(path), seconds(weight));
    }
    profile
}

fn drawn(profile: &Profile, measure: Measure) -> Vec<String> {
    let nodes = profile.walk(measure).into_iter().map(|id| &profile.nodes()[id]);
    nodes
        .map(|node| {
            let indent = " ".repeat(node.depth - 1);
            format!("{indent}{} {}", node.frame.name, measure.units(node.total))
        })
        .collect()
}

#[test]
fn the_widest_is_drawn_first_and_equals_by_name() {
    let profile = profile(&[("a;b", 1), ("c", 5), ("a;d", 1), ("c;e", 2), ("a", 1), ("b", 3)]);
    let all = drawn(&profile, Measure::Count);
    assert_eq!(all, ["a 3", " b 1", " d 1", "c 2", " e 1", "b 1"]);
    let names: Vec<_> = drawn(&profile, Measure::Time);
    let names: Vec<_> = names.iter().map(|line| &line[..2]).collect();
    assert_eq!(names, ["c ", " e", "a ", " b", " d", "b "]);
    assert_eq!(profile.total(), Weight { time: Duration::from_secs(13), count: 6 });
}

#[test]
fn a_path_twice_takes_no_more_room_and_a_name_is_kept_once() {
    let profile = profile(&[("a;x", 1), ("b;x", 1), ("a;x", 1)]);
    assert_eq!(profile.nodes().len(), 5);
    let names = profile.nodes().iter().map(|node| &node.frame.name);
    let xs: Vec<_> = names.filter(|name| &***name == "x").collect();
    assert!(Arc::ptr_eq(xs[0], xs[1]));
}

#[test]
fn a_note_is_not_the_function_of_the_same_name() {
    let mut profile = profile(&[("never accepted", 1)]);
    profile.add([FrameName::new(FrameKind::Note, "never accepted")], seconds(1));
    assert_eq!(profile.nodes().len(), 3);
}

#[test]
fn a_difference_has_the_paths_of_both_at_the_rate_of_after() {
    let before = profile(&[("gone", 48), ("same;leaf", 24)]);
    let after = profile(&[("new", 7), ("same;leaf", 1)]);
    let hour = Duration::from_secs(3600);
    let difference = difference::Difference::new((&before, hour * 24), (after, hour));
    let all: Vec<_> = (difference.after().walk(Measure::Time).into_iter())
        .map(|id| {
            let node = &difference.after().nodes()[id];
            let before = difference.total_before(id, Measure::Time);
            (&*node.frame.name, before, node.total.time.as_secs())
        })
        .collect();
    assert_eq!(all, [("new", 0.0, 7), ("same", 1.0, 1), ("leaf", 1.0, 1), ("gone", 2.0, 0)]);
    assert_eq!(difference.total_before(Profile::ROOT, Measure::Time), 3.0);
}

proptest! {
    #[test]
    fn own_weights_sum_up_to_the_total(
        paths in prop::collection::vec(("[ab;]{0,6}", 0..1000u64), 0..50),
    ) {
        let paths: Vec<_> = paths.iter().map(|(path, weight)| (&**path, *weight)).collect();
        let profile = profile(&paths);
        let own: Weight = profile.nodes().iter().map(|node| node.own).sum();
        prop_assert_eq!(own, profile.total());
        prop_assert_eq!(profile.walk(Measure::Time).len(), profile.nodes().len() - 1);
        for (id, node) in profile.nodes().iter().enumerate().skip(1) {
            prop_assert!(node.parent < id);
            prop_assert_eq!(profile.path(id).count(), node.depth);
        }
    }
}
