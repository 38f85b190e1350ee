//! How fast the record is written and read.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::core::{fields, run as run_core};
use crate::bench::Bench;
use crate::bench::results::{Curve, Part};
use crate::shell::{show, target};

const STAYS: [u64; 3] = [10_000, 100_000, 500_000];
const QUICK: [u64; 2] = [10_000, 50_000];
const FORMATS: [&str; 3] = ["json", "text", "html"];

const WROTE: &str = "stays recorded a second, from their transitions on";
const BYTES: &str = "bytes on disk a stay";
const TOOK: &str = "seconds a report takes";

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    let sizes = if bench.quick { &QUICK[..] } else { &STAYS[..] };
    let dir = target().join("bench-journal");
    let path = dir.to_string_lossy();
    for &stays in sizes {
        let _ = fs::remove_dir_all(&dir);
        let (number, who) = (stays.to_string(), format!("{stays} stays"));
        let figures = run_core(bench, &["journal", &path, &number])?;
        let [seconds, bytes] = fields(&figures, ["seconds", "bytes"])?;
        part.add(WROTE, &who, stays as f64 / seconds);
        part.add(BYTES, &who, bytes / stays as f64);
        for _ in 0..bench.rounds.clamp(1, 3) {
            for format in FORMATS {
                let mut report = Command::new(&bench.tools.tcptrace);
                report.args(["report", &path, "--format", format]);
                let start = Instant::now();
                let output = report.output()?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{} failed: {said}", show(&report));
                part.add(TOOK, &at(format, stays), start.elapsed().as_secs_f64());
            }
        }
    }
    fs::remove_dir_all(&dir)?;
    let line = |format: &str| {
        let point = |stays: &u64| Some([*stays as f64, part.median(TOOK, &at(format, *stays))?]);
        (format.to_owned(), sizes.iter().filter_map(point).collect())
    };
    let lines = FORMATS.map(line).into();
    part.curves.push(Curve {
        file: "report".into(),
        title: "A report of the past".into(),
        x: "stays in the record".into(),
        y: "seconds".into(),
        lines,
    });
    Ok(())
}

fn at(format: &str, stays: u64) -> String {
    format!("{format}, {stays} stays")
}
