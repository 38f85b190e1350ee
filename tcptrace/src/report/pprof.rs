//! The format of the pprof tool: `profile.proto`, compressed.

mod messages;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use prost::Message as _;
use rustc_hash::FxHashMap;

use self::messages::{Function, Line, Location, Sample, ValueType};
use super::about::About;
use crate::model::profile::{Measure, Node, Profile};

/// Units that the tool knows, with their nanoseconds.
const UNITS: [(&str, u128); 4] = [
    ("nanoseconds", 1),
    ("microseconds", 1_000),
    ("milliseconds", 1_000_000),
    ("seconds", 1_000_000_000),
];

/// Writes `profile` with two values a path, sockets and socket-time, or the one that is known.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, profile: &Profile, about: &About) -> io::Result<()> {
    let mut compressed = GzEncoder::new(out, Compression::default());
    compressed.write_all(&message(profile, about).encode_to_vec())?;
    compressed.finish()?;
    Ok(())
}

fn message(profile: &Profile, about: &About) -> messages::Profile {
    let mut strings = Strings::default();
    strings.place("");
    let total = Measure::Time.units(profile.total());
    // A signed 64-bit number of nanoseconds is 292 socket-years: a fleet has more in a day.
    let fits = |&(_, nanos): &(&str, u128)| i64::try_from(total / nanos).is_ok();
    let (unit, nanos) = UNITS.into_iter().find(fits).unwrap_or(UNITS[3]);
    let [sockets, socket_time] = ["sockets", "socket_time"].map(|name| strings.place(name));
    let [count, unit] = ["count", unit].map(|name| strings.place(name));

    // A name is a function, whatever it names: the tool groups by it.
    let mut functions = Vec::new();
    let mut ids = FxHashMap::default();
    let id_of: Vec<_> = (profile.nodes().iter())
        .map(|node| {
            let name = strings.place(&node.frame.name);
            *ids.entry(name).or_insert_with(|| {
                let id = functions.len() as u64 + 1;
                functions.push(Function { id, name, system_name: name });
                id
            })
        })
        .collect();
    let value = |units: u128| i64::try_from(units).unwrap_or(i64::MAX);
    let mut told = 0;
    let mut sum = 0;
    let mut sample = |(id, node): (usize, &Node)| {
        // Rounded so that the sum is that of the whole.
        sum += node.own.time.as_nanos();
        let time = sum / nanos - told;
        told += time;
        let values = [(Measure::Count, u128::from(node.own.count)), (Measure::Time, time)];
        let values = values.into_iter().filter(|&(measure, _)| about.knows(measure));
        let path = profile.ids(id).into_iter().rev().map(|id| id_of[id]).collect();
        Sample { location_id: path, value: values.map(|(_, units)| value(units)).collect() }
    };
    let nodes = profile.nodes().iter().enumerate().skip(1);
    let samples = nodes.map(&mut sample).filter(|sample| sample.value.iter().any(|&v| v > 0));
    let types = [
        (Measure::Count, ValueType { r#type: sockets, unit: count }),
        (Measure::Time, ValueType { r#type: socket_time, unit }),
    ];
    let known = types.into_iter().filter(|&(measure, _)| about.knows(measure));
    let bounded = about.window.filter(|window| window.from != Timestamp::MIN);
    messages::Profile {
        sample_type: known.map(|(_, kind)| kind).collect(),
        sample: samples.collect(),
        location: (functions.iter())
            .map(|function| Location {
                id: function.id,
                line: vec![Line { function_id: function.id }],
            })
            .collect(),
        function: functions,
        string_table: strings.table,
        time_nanos: bounded.map_or(0, |w| i64::try_from(w.from.as_nanosecond()).unwrap_or(0)),
        duration_nanos: bounded.map_or(0, |w| value(w.length().as_nanos())),
        default_sample_type: match about.measure {
            Measure::Time => socket_time,
            Measure::Count => sockets,
        },
    }
}

#[derive(Default)]
struct Strings {
    table: Vec<String>,
    places: FxHashMap<String, i64>,
}

impl Strings {
    fn place(&mut self, text: &str) -> i64 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = self.table.len() as i64;
        self.table.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

#[cfg(test)]
pub(super) mod tests;
