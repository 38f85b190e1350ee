//! `tcptrace report`: what the past looks like as a flame.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Zoned;

use super::{Style, destination, filters};
use crate::advice::Advice;
use crate::cli::OutputFormat;
use crate::cli::report::{ReportArgs, ReportFormat, WeightChoice, window};
use crate::model::history::PastStay;
use crate::model::profile::by::Paths;
use crate::model::profile::difference::Difference;
use crate::model::profile::window::Window;
use crate::model::profile::{Measure, Profile, Weight};
use crate::report::about::About;
use crate::report::flame_text::Canvas;
use crate::report::{flame, flame_text, folded, json, pprof, speedscope};
use crate::sys::{clock, terminal};

/// How many stays pass between two looks at the progress.
const STEP: u64 = 1024;

/// Gives every stay of a window to whoever asks.
trait Past {
    fn each(&mut self, window: Window, take: &mut dyn FnMut(PastStay)) -> Result<()>;
}

impl<F: FnMut(Window, &mut dyn FnMut(PastStay)) -> Result<()>> Past for F {
    fn each(&mut self, window: Window, take: &mut dyn FnMut(PastStay)) -> Result<()> {
        self(window, take)
    }
}

/// What is to be drawn.
enum Drawn {
    Profile(Profile),
    Difference(Difference),
}

/// Reads, folds and writes.
pub fn run(args: &ReportArgs, style: &Style) -> Result<()> {
    let format = args.format.unwrap_or(match style.format {
        OutputFormat::Text => ReportFormat::Text,
        OutputFormat::Json => ReportFormat::Json,
    });
    refuse(args, format)?;
    let measure = match args.weight {
        WeightChoice::Seconds => Measure::Time,
        WeightChoice::Count => Measure::Count,
    };
    let zone = style.zone.clone();
    let (drawn, about) = if let Some(path) = &args.folded {
        let profile = read_folded(path, measure)?;
        (Drawn::Profile(profile), About { measure, window: None, baseline: None, zone })
    } else {
        let now = Zoned::new(clock::anchor().wall, zone.clone());
        let asked = window(args.from, args.to, &now).context("--from and --to")?;
        let baseline = args.baseline.map(|span| window(Some(span.from), span.to, &now));
        let baseline = baseline.transpose().context("--baseline")?;
        let drawn = fold(&mut no_journal(args), args, asked, baseline)?;
        (drawn, About { measure, window: Some(asked), baseline, zone })
    };
    destination::write(&args.out, |out| write(out, format, &drawn, &about, args, style))
}

/// Says no to what would not make sense, before anything is read.
fn refuse(args: &ReportArgs, format: ReportFormat) -> Result<()> {
    let to_stdout = args.out == Path::new("-");
    match format {
        ReportFormat::Html => bail!("--format html is not built yet in this version"),
        ReportFormat::Pprof if to_stdout && io::stdout().is_terminal() => {
            let advice = Advice::new("pprof's format is not for a terminal")
                .and_try("tcptrace report --format pprof --out stuck.pb.gz", "write it to a file")
                .and_try("tcptrace report", "see the flame here");
            Err(anyhow!(advice))
        }
        ReportFormat::Pprof | ReportFormat::Speedscope if args.baseline.is_some() => {
            let advice = Advice::new("this format has no differences")
                .and_try("--format svg (or text, json, folded)", "draw the difference")
                .and_try("pprof -diff_base BEFORE AFTER", "compare two files in pprof format");
            Err(anyhow!(advice))
        }
        _ => Ok(()),
    }
}

/// Until there is a reader of journals.
fn no_journal(args: &ReportArgs) -> impl Past + use<> {
    let journals: Vec<_> = args.journals.iter().map(|path| path.display().to_string()).collect();
    move |_: Window, _: &mut dyn FnMut(PastStay)| {
        let advice = Advice::new(format!("no journal in {}", journals.join(", ")))
            .and_try("tcptrace report --folded FILE", "draw folded lines instead");
        Err(anyhow!(advice))
    }
}

fn fold(
    past: &mut impl Past,
    args: &ReportArgs,
    asked: Window,
    baseline: Option<Window>,
) -> Result<Drawn> {
    let filter = filters::filter(&args.filter)?;
    let mut paths = Paths::new(&args.by);
    let progress = progress();
    let mut fold = |window: Window| -> Result<Profile> {
        let (mut profile, mut seen) = (Profile::new(), 0u64);
        past.each(window, &mut |stay| {
            seen += 1;
            if seen.is_multiple_of(STEP) {
                progress.inc(STEP);
            }
            if let Some(time) = window.clip(&stay).filter(|_| filter.admits_past(&stay)) {
                profile.add(paths.of(&stay), Weight { time, count: 1 });
            }
        })?;
        Ok(profile)
    };
    let profile = fold(asked)?;
    let drawn = match baseline {
        None => Drawn::Profile(profile),
        Some(window) => {
            let before = fold(window)?;
            let before = (&before, window.length());
            Drawn::Difference(Difference::new(before, (profile, asked.length())))
        }
    };
    progress.finish_and_clear();
    Ok(drawn)
}

/// On stderr, and only if that is a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is a constant.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} stays, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn read_folded(path: &Path, measure: Measure) -> Result<Profile> {
    if path == Path::new("-") {
        return folded::read(io::stdin().lock(), measure).context("stdin");
    }
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    folded::read(BufReader::new(file), measure).with_context(|| shown.to_string())
}

fn write(
    mut out: &mut dyn Write,
    format: ReportFormat,
    drawn: &Drawn,
    about: &About,
    args: &ReportArgs,
    style: &Style,
) -> io::Result<()> {
    let out = &mut out;
    let context = style.context(Style::anchor());
    let to_stdout = args.out == Path::new("-");
    let width = terminal::columns(io::stdout()).filter(|_| to_stdout).unwrap_or(100);
    let canvas = Canvas { width, color: style.color && to_stdout };
    match (format, drawn) {
        (ReportFormat::Svg, Drawn::Profile(profile)) => flame::write(out, profile, about),
        (ReportFormat::Svg, Drawn::Difference(both)) => flame::write_difference(out, both, about),
        (ReportFormat::Folded, Drawn::Profile(profile)) => {
            folded::write(out, profile, about.measure)
        }
        (ReportFormat::Folded, Drawn::Difference(both)) => {
            folded::write_difference(out, both, about.measure)
        }
        (ReportFormat::Json, Drawn::Profile(profile)) => {
            json::profile(out, context, profile, about)
        }
        (ReportFormat::Json, Drawn::Difference(both)) => {
            json::difference(out, context, both, about)
        }
        (ReportFormat::Text, Drawn::Profile(profile)) => {
            flame_text::write(out, profile, about, canvas)
        }
        (ReportFormat::Text, Drawn::Difference(both)) => {
            flame_text::write_difference(out, both, about, canvas)
        }
        (ReportFormat::Speedscope, Drawn::Profile(profile)) => {
            speedscope::write(out, profile, about)
        }
        (ReportFormat::Pprof, Drawn::Profile(profile)) => pprof::write(out, profile, about),
        (ReportFormat::Html, _)
        | (ReportFormat::Speedscope | ReportFormat::Pprof, Drawn::Difference(_)) => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
