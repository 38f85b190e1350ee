use std::io::Read as _;

use core::time::Duration;

use flate2::read::GzDecoder;

use super::*;
use crate::model::profile::{FrameKind, FrameName, Weight};
use crate::report::samples::past;

fn decoded(profile: &Profile) -> messages::Profile {
    let (mut out, mut bytes) = (Vec::new(), Vec::new());
    write(&mut out, profile, &past::about()).unwrap();
    GzDecoder::new(&*out).read_to_end(&mut bytes).unwrap();
    messages::Profile::decode(&*bytes).unwrap()
}

/// Sockets and nanoseconds of all samples that `bytes` hold.
pub(in crate::report) fn totals(bytes: &[u8]) -> (u64, u64) {
    let mut message = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut message).unwrap();
    let message = messages::Profile::decode(&*message).unwrap();
    let sum = |i: usize| message.sample.iter().map(|sample| sample.value[i]).sum::<i64>();
    (u64::try_from(sum(0)).unwrap(), u64::try_from(sum(1)).unwrap())
}

/// The values of the only sample.
pub(in crate::report) fn values(profile: &Profile, about: &About) -> Vec<i64> {
    let message = message(profile, about);
    assert_eq!(
        (message.sample.len(), message.sample[0].value.len()),
        (1, message.sample_type.len())
    );
    message.sample[0].value.clone()
}

#[test]
fn an_hour() {
    let message = decoded(&past::profile(past::window()));
    let text = |place: i64| &*message.string_table[usize::try_from(place).unwrap()];
    let mut shown = String::new();
    for kind in &message.sample_type {
        shown += &format!("{}/{} ", text(kind.r#type), text(kind.unit));
    }
    for sample in &message.sample {
        shown += &format!("\n{:?}", sample.value);
        for id in &sample.location_id {
            let location = &message.location[usize::try_from(*id).unwrap() - 1];
            assert_eq!(location.id, *id);
            let function = location.line[0].function_id;
            let function = &message.function[usize::try_from(function).unwrap() - 1];
            shown += &format!(" {:?}", text(function.name));
        }
    }
    assert_eq!(message.string_table[0], "");
    assert_eq!(message.duration_nanos, 3_600_000_000_000);
    assert_eq!(text(message.default_sample_type), "socket_time");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_fleet_has_more_nanoseconds_than_there_are_numbers() {
    let mut profile = Profile::new();
    let time = Duration::from_secs(u64::from(u32::MAX) * 1000);
    let frame = FrameName::new(FrameKind::Host, "all");
    profile.add([frame], Weight { time, count: 1 });
    let message = decoded(&profile);
    let unit = usize::try_from(message.sample_type[1].unit).unwrap();
    assert_eq!(message.string_table[unit], "microseconds");
    assert_eq!(u128::try_from(message.sample[0].value[1]).unwrap(), time.as_micros());
}
