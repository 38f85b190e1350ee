//! `tcptrace events`: every transition as it happens.

use std::io;

use anyhow::{Context as _, Result, bail};

use super::output::Output;
use super::session::{ACCOUNT, BATCH, DRAIN, LAST_RECORDS, Stop, attach, give_account, runtime};
use super::{Style, filters, notice};
use crate::cli::{EventsArgs, OutputFormat};
use crate::model::event::Transition;
use crate::model::filter::SocketFilter;
use crate::model::summary::Summary;
use crate::model::tracker::{Thresholds, Tracker};
use crate::report::{json, text};
use crate::sys::clock;
use crate::sys::loader::Kernel;
use crate::sys::probe::{Probe, RING_BYTES, Source, Wanted};

const CAPACITY: usize = 1 << 20;

/// Prints until it is told to stop.
pub fn run(args: &EventsArgs, style: &Style) -> Result<()> {
    runtime()?.block_on(follow(args, style))
}

async fn follow(args: &EventsArgs, style: &Style) -> Result<()> {
    let mut stop = Stop::new()?;
    let filter = filters::socket_filter(&args.filter)?;
    let mut probe = attach(
        &mut Kernel::read()?,
        args.probe,
        // With who was on the CPU a record is twice as long.
        Wanted { ring_bytes: 2 * RING_BYTES, on_cpu: true, stacks: false, accepts: false },
    )?;
    if probe.source() == Source::Classic && !filter.namespaces.is_empty() {
        bail!("the classic tracepoint does not tell network namespaces: --netns needs --probe btf");
    }
    let mut printer = Printer {
        tracker: Tracker::new(Thresholds::NEVER, CAPACITY, probe.identity()),
        stdout: Output::start().context("cannot start the output thread")?,
        left: args.limit.unwrap_or(u64::MAX),
        filter,
        style,
    };
    let began = clock::now();
    notice("ready");
    stop.after(args.stop_after);
    let mut account = tokio::time::interval(ACCOUNT);
    while printer.left > 0 {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            kind = printer.stdout.closed() => match kind {
                io::ErrorKind::BrokenPipe => break,
                kind => return Err(io::Error::from(kind)).context("cannot write to stdout"),
            },
            result = probe.high_water() => result?,
            _ = account.tick() => probe.log(),
            () = tokio::time::sleep(DRAIN) => {}
        }
        printer.drain(&mut probe);
    }
    while printer.drain(&mut probe) > 0 {}
    tokio::time::sleep(LAST_RECORDS).await;
    while printer.drain(&mut probe) > 0 {}
    let now = clock::anchor();
    let summary = Summary {
        elapsed: now.monotonic.since(began),
        counts: printer.tracker.counts(),
        lost: probe.lost()?,
        undecodable: probe.undecodable(),
        unwritten: printer.stdout.unwritten(),
        tracked: printer.tracker.tracked(),
        sinks: Vec::new(),
        ..Summary::default()
    };
    give_account(printer.stdout, style, &summary, now).await
}

struct Printer<'a> {
    tracker: Tracker,
    stdout: Output,
    filter: SocketFilter,
    left: u64,
    style: &'a Style,
}

impl Printer<'_> {
    fn drain(&mut self, probe: &mut Probe) -> usize {
        let anchor = Style::anchor();
        let look = self.style.look(anchor);
        let count = probe.drain(BATCH, |_| {}, |event| self.print(event, &look));
        self.stdout.flush();
        count
    }

    fn print(&mut self, event: &Transition, look: &text::Look) {
        if !self.filter.may_admit(event.netns) {
            return;
        }
        let in_state = self.tracker.in_state(event);
        self.tracker.apply(event);
        if self.left == 0 || !self.filter.admits(event.netns, &event.endpoints) {
            return;
        }
        self.left -= 1;
        let style = self.style;
        self.stdout.line_if_room(|out| match style.format {
            OutputFormat::Json => {
                json::transition(out, style.context(look.anchor), event, in_state)
            }
            OutputFormat::Text => text::transition(out, look, event, in_state),
        });
        self.stdout.flush_full();
    }
}
