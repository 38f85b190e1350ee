//! The file format of speedscope, as its `file-format-spec.ts` has it.

use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::about::About;
use crate::model::profile::{Measure, NodeId, Profile};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: f64,
    end_value: f64,
    /// Positions in the shared frames, the outermost first.
    samples: Vec<Vec<usize>>,
    weights: Vec<f64>,
}

/// Writes `profile` twice, by socket-seconds and by sockets, the measure asked for in front; or once,
/// by what is known.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, profile: &Profile, about: &About) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut places = FxHashMap::default();
    let place_of: Vec<_> = (profile.nodes().iter())
        .map(|node| {
            *places.entry(&*node.frame.name).or_insert_with(|| {
                frames.push(Named { name: &node.frame.name });
                frames.len() - 1
            })
        })
        .collect();
    let mut known = vec![Measure::Time, Measure::Count];
    known.retain(|&measure| about.knows(measure));
    let file = File {
        schema: SCHEMA,
        exporter: concat!("tcptrace ", env!("CARGO_PKG_VERSION")),
        name: &about.title(),
        active_profile_index: known.iter().position(|&m| m == about.measure).unwrap_or(0),
        shared: Shared { frames },
        profiles: known.into_iter().map(|m| sampled(profile, m, &place_of)).collect(),
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")
}

fn sampled(profile: &Profile, measure: Measure, place_of: &[usize]) -> Sampled {
    let ends = |node: &NodeId| measure.units(profile.nodes()[*node].own) > 0;
    let nodes: Vec<_> = profile.walk(measure).into_iter().filter(ends).collect();
    let path = |&node: &NodeId| profile.ids(node).into_iter().map(|id| place_of[id]).collect();
    Sampled {
        kind: "sampled",
        name: measure.unit(),
        unit: match measure {
            Measure::Time => "seconds",
            Measure::Count => "none",
        },
        start_value: 0.0,
        end_value: measure.value(profile.total()),
        samples: nodes.iter().map(path).collect(),
        weights: nodes.iter().map(|&node| measure.value(profile.nodes()[node].own)).collect(),
    }
}

#[cfg(test)]
mod tests;
