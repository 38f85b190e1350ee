//! `tcptrace report`: what the past looks like as a flame.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Zoned;

use super::past::{Progress, say_unknown};
use super::{Style, destination, filters};
use crate::advice::Advice;
use crate::cli::OutputFormat;
use crate::cli::report::{ReportArgs, ReportFormat, WeightChoice, window};
use crate::journal::history::History;
use crate::model::filter::Filter;
use crate::model::history::{Histogram, ShortStays};
use crate::model::postmortem::{Account, Postmortem, Short, ShortTally, Told};
use crate::model::profile::by::Paths;
use crate::model::profile::difference::Difference;
use crate::model::profile::window::Window;
use crate::model::profile::{Measure, Profile, Weight};
use crate::report::about::About;
use crate::report::flame_text::Canvas;
use crate::report::{flame, flame_text, folded, html, json, pprof, short, speedscope};
use crate::sys::{clock, terminal};

/// Steps of the chart of a page.
const STEPS: usize = 240;

/// What is to be drawn.
struct Drawn {
    flame: Flame,
    /// What a page says besides.
    account: Option<Account>,
    /// What text says besides.
    short: Short,
}

enum Flame {
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
        let flame = Flame::Profile(read_folded(path, measure)?);
        let about = About { measure, only: Some(measure), window: None, baseline: None, zone };
        (Drawn { flame, account: None, short: Short::default() }, about)
    } else {
        let now = Zoned::new(clock::anchor().wall, zone.clone());
        let mut asked = window(args.from, args.to, &now).context("--from and --to")?;
        let baseline = args.baseline.map(|span| window(Some(span.from), span.to, &now));
        let baseline = baseline.transpose().context("--baseline")?;
        let mut history = open(args)?;
        // Of the time before, nothing is known.
        if let Some(known) = history.span().filter(|_| args.from.is_none()) {
            asked.from = known.start.min(asked.to);
        }
        let drawn = fold(&mut history, args, (asked, baseline), format)?;
        for window in [asked].into_iter().chain(baseline) {
            say_unknown(&mut history, window, &zone)?;
        }
        (drawn, About { measure, only: None, window: Some(asked), baseline, zone })
    };
    destination::write(&args.out, |out| write(out, format, &drawn, &about, args, style))
}

fn open(args: &ReportArgs) -> Result<History> {
    History::open(&args.journals).map_err(|why| {
        let advice = Advice::new(format!("{why:#}"))
            .and_try("sudo tcptrace watch", "records in /var/lib/tcptrace")
            .and_try("tcptrace report DIR", "reads another journal");
        anyhow!(advice)
    })
}

/// Says no to what would not make sense, before anything is read.
fn refuse(args: &ReportArgs, format: ReportFormat) -> Result<()> {
    let to_stdout = args.out == Path::new("-");
    if args.folded.is_some() && filters::filter(&args.filter)? != Filter::default() {
        bail!("folded lines do not say whose they are: filters are for journals");
    }
    match format {
        ReportFormat::Html if args.folded.is_some() => {
            bail!("folded lines have no history: --format svg draws their flame graph")
        }
        ReportFormat::Html if to_stdout && io::stdout().is_terminal() => {
            let advice = Advice::new("a page is not for a terminal")
                .and_try("tcptrace report --format html --out stuck.html", "write it to a file")
                .and_try("tcptrace report", "see the flame here");
            Err(anyhow!(advice))
        }
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

fn fold(
    history: &mut History,
    args: &ReportArgs,
    (asked, baseline): (Window, Option<Window>),
    format: ReportFormat,
) -> Result<Drawn> {
    let filter = filters::filter(&args.filter)?;
    let mut paths = Paths::new(&args.by);
    let mut account = (format == ReportFormat::Html).then(|| Postmortem::new(asked, STEPS));
    let mut progress = Progress::new(true);
    let mut fold = |history: &mut History, window: Window, mut account: Option<&mut Postmortem>| {
        let mut profile = Profile::new();
        history.stays(window.from..window.to, &mut |stay| {
            progress.stay();
            if let Some(time) = window.clip(&stay).filter(|_| filter.admits_past(&stay)) {
                profile.add(paths.of(&stay), Weight { time, count: 1 });
                if let Some(account) = &mut account {
                    account.add(&stay);
                }
            }
            Ok(())
        })?;
        anyhow::Ok(profile)
    };
    let profile = fold(history, asked, account.as_mut())?;
    let flame = match baseline {
        None => Flame::Profile(profile),
        Some(window) => {
            let before = fold(history, window, None)?;
            let before = (&before, window.length());
            Flame::Difference(Difference::new(before, (profile, asked.length())))
        }
    };
    progress.finish();
    let account = account.map(|account| complete(account, history, asked, &filter)).transpose()?;
    let mut short = ShortTally::default();
    if format == ReportFormat::Text {
        each_short(history, asked, &filter, |kind, lasted| short.add(kind, lasted))?;
    }
    Ok(Drawn { flame, account, short: short.finish() })
}

/// Adds what is known beside the stays: what was told, and what is missing.
fn complete(
    mut account: Postmortem,
    history: &mut History,
    asked: Window,
    filter: &Filter,
) -> Result<Account> {
    history.groups(asked.from..asked.to, &mut |group| {
        if filter.admits_past_group(&group) {
            account.add_told(&Told::from(group));
        }
        Ok(())
    })?;
    for gap in history.gaps(asked.from..asked.to)? {
        account.add_gap(&gap);
    }
    each_short(history, asked, filter, |kind, lasted| account.add_short(kind, lasted))?;
    Ok(account.finish())
}

fn each_short(
    history: &mut History,
    asked: Window,
    filter: &Filter,
    mut f: impl FnMut(&ShortStays, &Histogram),
) -> Result<()> {
    history.short(asked.from..asked.to, &mut |short| {
        let admitted = short.iter().filter(|(kind, _)| filter.admits_short(kind));
        admitted.for_each(|(kind, lasted)| f(kind, lasted));
        Ok(())
    })
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
    match (format, &drawn.flame) {
        (ReportFormat::Svg, Flame::Profile(profile)) => flame::write(out, profile, about),
        (ReportFormat::Svg, Flame::Difference(both)) => flame::write_difference(out, both, about),
        (ReportFormat::Folded, Flame::Profile(profile)) => {
            folded::write(out, profile, about.measure)
        }
        (ReportFormat::Folded, Flame::Difference(both)) => {
            folded::write_difference(out, both, about.measure)
        }
        (ReportFormat::Json, Flame::Profile(profile)) => {
            json::profile(out, context, profile, about)
        }
        (ReportFormat::Json, Flame::Difference(both)) => {
            json::difference(out, context, both, about)
        }
        (ReportFormat::Text, Flame::Profile(profile)) => {
            flame_text::write(out, profile, about, canvas)?;
            short::write(out, &drawn.short, canvas)
        }
        (ReportFormat::Text, Flame::Difference(both)) => {
            flame_text::write_difference(out, both, about, canvas)?;
            short::write(out, &drawn.short, canvas)
        }
        (ReportFormat::Speedscope, Flame::Profile(profile)) => {
            speedscope::write(out, profile, about)
        }
        (ReportFormat::Pprof, Flame::Profile(profile)) => pprof::write(out, profile, about),
        (ReportFormat::Html, flame) => match &drawn.account {
            Some(account) => html::write(out, &page(account, flame, about)),
            None => Err(io::ErrorKind::Unsupported.into()),
        },
        (ReportFormat::Speedscope | ReportFormat::Pprof, Flame::Difference(_)) => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

fn page<'a>(account: &'a Account, flame: &'a Flame, about: &About) -> html::Page<'a> {
    let (profile, baseline) = match flame {
        Flame::Profile(profile) => (profile, None),
        Flame::Difference(difference) => {
            let baseline = |window| html::Baseline { window, difference };
            (difference.after(), about.baseline.map(baseline))
        }
    };
    html::Page {
        title: "",
        postmortem: account,
        profile,
        baseline,
        zone: about.zone.clone(),
        generated: clock::anchor().wall,
    }
}
