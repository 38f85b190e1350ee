//! `tcptrace replay`: a recording runs through the same core and is told of in the same words.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow, bail};

use super::teller::Teller;
use super::{Style, filters, notice};
use crate::advice::Advice;
use crate::cli::{FilterArgs, OutputFormat, ReplayArgs};
use crate::model::filter::Filter;
use crate::model::recording::player::{Missing, Player, Unplayable};
use crate::model::recording::tape::Header;
use crate::model::recording::{Flaw, Frames, OpenError, VERSION};
use crate::report::escape::Escaped;
use crate::report::{json, text};
use crate::sys::host::Host;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Plays a recording to its end.
pub fn run(args: &ReplayArgs, style: &Style) -> Result<()> {
    let filter = told_of(&args.filter)?;
    let frames = open(&args.file).map_err(|error| advise(error, &args.file))?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    match play(frames, filter, args.each, style, &mut stdout).and_then(|()| Ok(stdout.flush()?)) {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result.with_context(|| format!("cannot replay {}", args.file.display())),
    }
}

/// Opens a recording; `-` is standard input.
pub(super) fn open(file: &Path) -> Result<Frames<Box<dyn Read>>, OpenError> {
    let from: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(BUFFER, File::open(file)?))
    };
    Frames::open(from)
}

/// What to do about a file that cannot be replayed at all.
pub(super) fn advise(error: OpenError, file: &Path) -> Error {
    let shown = file.display();
    let advice = match &error {
        OpenError::Io(error) => return anyhow!("cannot read {shown}: {error}"),
        OpenError::Foreign => Advice::new(format!("{shown}: {error}"))
            .and_try("tcptrace watch --record-raw FILE", "makes one"),
        OpenError::Version(version) if *version > VERSION => Advice::new(format!(
            "{shown}: {error}"
        ))
        .and_try("tcptrace --version", "this one's; replay with the version that recorded it"),
        OpenError::Version(_) => Advice::new(format!("{shown}: {error}"))
            .and_try("an older tcptrace", "that of the time when it was recorded"),
    };
    anyhow!(advice)
}

/// The filter of the command line, if there is one. Names of namespaces are not looked up: this may
/// be another machine.
pub(super) fn told_of(args: &FilterArgs) -> Result<Option<Filter>> {
    let named = args.socket.netns.iter().find(|netns| netns.parse::<u32>().is_err());
    if let Some(name) = named {
        let advice = Advice::new(format!(
            "--netns {name}: a recording does not know the names of its namespaces"
        ))
        .and_try("--netns INODE", "the number, `netns` in JSON output");
        return Err(anyhow!(advice));
    }
    let filter = filters::filter(args)?;
    Ok((filter != Filter::default()).then_some(filter))
}

/// Begins with the header, says what it announces, and has only what `filter` admits told.
pub(super) fn begin(frames: &mut Frames<impl Read>, filter: Option<Filter>) -> Result<Player> {
    let mut player = match frames.next_frame()? {
        Some(Ok(first)) => Player::new(&first)?,
        Some(Err(flaw)) => bail!("{flaw}, and nothing can be told without its header"),
        None => return Err(Unplayable::NoHeader.into()),
    };
    notice(&first_line(player.header()));
    if let Some(filter) = filter {
        player.engine_mut().tell_of(filter);
    }
    Ok(player)
}

fn play(
    mut frames: Frames<impl Read>,
    filter: Option<Filter>,
    each: bool,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    let mut player = begin(&mut frames, filter)?;
    let style = style.of_host(host_of(player.header()));
    let teller = Teller { style: &style, each };
    let mut flaws = Flaws::default();
    loop {
        let offset = frames.offset();
        let Some(frame) = frames.next_frame()? else { break };
        let played = match frame {
            Ok(frame) => player.play(&frame),
            Err(flaw) => {
                flaws.found(&flaw);
                continue;
            }
        };
        match played {
            Ok(None) => {}
            Ok(Some(now)) => {
                while let Some(output) = player.poll() {
                    teller.tell(out, now, &output)?;
                }
            }
            Err(error) => flaws.say(&format!("{:#} (offset {offset})", Error::from(error))),
        }
    }
    flaws.end();
    say_missing(player.missing());
    let (summary, now) = (player.summary(), player.now());
    match style.format {
        OutputFormat::Json => json::summary(out, style.context(now), &summary, now.monotonic)?,
        OutputFormat::Text => {
            out.flush()?;
            notice(&text::summary(&summary));
        }
    }
    Ok(())
}

pub(super) fn host_of(header: &Header) -> Host {
    Host { name: header.host.clone(), boot_id: header.engine.boot_id.clone() }
}

fn first_line(header: &Header) -> String {
    let Header { host, tcptrace, kernel, wall, .. } = header;
    let (host, tcptrace, kernel) = (Escaped(host), Escaped(tcptrace), Escaped(kernel));
    format!("recorded on {host} (Linux {kernel}) by tcptrace {tcptrace} from {wall:.0} on")
}

/// Damage that was met. Where much is damaged not all of it is worth a line.
#[derive(Default)]
pub(super) struct Flaws {
    count: u64,
}

impl Flaws {
    const SAID: u64 = 5;

    pub(super) fn found(&mut self, flaw: &Flaw) {
        self.say(&flaw.to_string());
    }

    pub(super) fn say(&mut self, text: &str) {
        self.count += 1;
        if self.count <= Self::SAID {
            notice(&Escaped(text).to_string());
        }
    }

    pub(super) fn end(&self) {
        if self.count > Self::SAID {
            notice(&format!("{} more places are damaged", self.count - Self::SAID));
        }
        if self.count > 0 {
            notice("what is told after that may differ from what was told then");
        }
    }
}

pub(super) fn say_missing(missing: Missing) {
    let Missing { left_out, unknown, end } = missing;
    if left_out > 0 {
        notice(&format!(
            "{left_out} frames were left out as it was recorded (the disk was slow or full): what is \
             told after them may differ from what was told then"
        ));
    }
    if unknown > 0 {
        notice(&format!("{unknown} frames are of kinds that this version does not know"));
    }
    if end {
        notice(
            "the recording has no end: it was cut off, the recorder was killed, or it still goes on",
        );
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
