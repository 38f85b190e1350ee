//! `docs/benchmarks.md` and its pictures, written from what was measured.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::curves;
use super::parts::{alerts, core, cost};
use super::results::{Part, Results, Setting, show};
use super::tracers::Tracer;
use crate::shell::{root, step};

/// Writes them.
pub fn write(results: &Results) -> Result<()> {
    let docs = root().join("docs");
    let pictures = docs.join("benchmarks");
    fs::create_dir_all(&pictures)?;
    for curve in results.parts.iter().flat_map(|part| &part.curves) {
        curves::draw(curve, &pictures.join(format!("{}.svg", curve.file)))?;
    }
    let path = docs.join("benchmarks.md");
    fs::write(&path, page(results)?).with_context(|| format!("cannot write {}", path.display()))?;
    step(&format!("written to {}", path.display()));
    Ok(())
}

fn page(results: &Results) -> Result<String> {
    let mut page = String::from(
        "# Measured speed, side by side\n\n\
         <!-- Written by `cargo xtask bench --write-docs`; changes by hand are lost. -->\n\n\
         What it costs to leave tcptrace on, next to what one would use instead, on one machine in one \
         run. Least, median and most of all rounds; a comparison is the median of the ratios within \
         rounds. `cargo xtask bench` measures it anywhere, and says what it could not run.\n",
    );
    let first = results.parts.first().map(|part| &part.setting);
    if let Some(setting) = first {
        writeln!(page, "\n{}.", describe(setting))?;
    }
    targets(&mut page, results)?;
    extrapolation(&mut page, results)?;
    for part in &results.parts {
        write_part(&mut page, part, first)?;
    }
    Ok(page)
}

fn describe(setting: &Setting) -> String {
    let Setting { date, commit, kernel, processor, processors, rounds, quick } = setting;
    let short = if *quick { ", a short run" } else { "" };
    format!(
        "{date}, commit `{commit}`, Linux {kernel}, {processors} processors ({processor}), {rounds} \
         rounds{short}"
    )
}

/// Follows the targets.
const WHY: &str = "\nWhat was done to get there, what did not help, and what is in the way of a target that is \
                   missed: [0009](decisions/0009-table-of-sockets.md), [0010](decisions/0010-ls.md), \
                   [0011](decisions/0011-cache-lines.md).\n";

fn targets(page: &mut String, results: &Results) -> Result<()> {
    page.push_str("\n## Targets\n\n| | wanted | measured | |\n|---|---|---|---|\n");
    for target in results.parts.iter().flat_map(|part| &part.targets) {
        let verdict = if target.is_met() { "met" } else { "**missed**" };
        let (what, wanted, measured) = (&target.what, target.wanted(), show(target.measured));
        writeln!(page, "| {what} | {wanted} | {measured} | {verdict} |")?;
    }
    page.push_str(WHY);
    Ok(())
}

/// What follows for a host that is larger than what was measured.
fn extrapolation(page: &mut String, results: &Results) -> Result<()> {
    const CONNECTIONS: f64 = 1_000_000.0;
    const RATE: f64 = 200_000.0;
    const TRANSITIONS: f64 = 10.0;
    let median = |part: &str, what, who| results.part(part)?.median(what, who);
    let watch = Tracer::Watch.name();
    let (Some(kernel), Some(process), Some(bytes), Some(resident)) = (
        median("cost", cost::KERNEL, watch),
        median("cost", cost::PROCESSOR, watch),
        median("core", core::HEALTHY, "1000000 sockets"),
        median("alerts", alerts::RESIDENT, watch),
    ) else {
        return Ok(());
    };
    let a_second = RATE * TRANSITIONS / 1e9;
    let (in_kernel, in_process) = (kernel * a_second, process * a_second);
    let memory = (resident * 1024.0 + bytes * CONNECTIONS) / f64::from(1 << 20);
    writeln!(
        page,
        "\n## A larger host\n\nThis is an extrapolation, not a measurement. On a host with 1,000,000 \
         connections and 200,000 new ones a second, each with both its ends there ({TRANSITIONS:.0} \
         transitions; one with its peer elsewhere has half as many), the figures below come to {} \
         processors' time in the kernel, spread over those that make the connections, {} of one \
         processor for the process, and {memory:.0} MiB of memory. The process has one thread that \
         takes in transitions: what it needs of one processor is the limit.",
        show(in_kernel),
        show(in_process),
    )?;
    Ok(())
}

fn write_part(page: &mut String, part: &Part, first: Option<&Setting>) -> Result<()> {
    writeln!(page, "\n## {}\n\n{}", part.title, part.method)?;
    if first != Some(&part.setting) {
        writeln!(page, "\nMeasured at another time: {}.", describe(&part.setting))?;
    }
    for (index, figure) in part.figures.iter().enumerate() {
        if index == 0 || part.figures[index - 1].what != figure.what {
            writeln!(page, "\n| {} | least | median | most |\n|---|---|---|---|", figure.what)?;
        }
        let [least, median, most] = figure.spread().map(show);
        writeln!(page, "| {} | {least} | {median} | {most} |", figure.who)?;
    }
    for curve in &part.curves {
        writeln!(page, "\n![{}](benchmarks/{}.svg)", curve.title, curve.file)?;
    }
    for missing in &part.missing {
        writeln!(page, "\nNot measured: {missing}.")?;
    }
    Ok(())
}
