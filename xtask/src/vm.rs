//! The live tests in guests: kernels that this machine does not run, under emulation.
//!
//! A guest is one kernel under one condition. It boots into an archive of our programs, runs
//! the tests and reports line by line. One that does not come up has failed, like any test.

mod docs;
mod guest;
mod initramfs;
mod kernels;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::build;
use crate::setup;
use crate::shell::{step, target};
use guest::{Guest, Outcome};
use initramfs::Programs;
use kernels::{Arch, Image, Kernel};

/// What to run, and in what.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Kernels by name: 5.10, 6.1, 6.12, 7.2, and arm64-6.1, arm64; all but the latter two if none is given
    pub kernels: Vec<String>,
    /// A kernel of your own, as a bzImage with what the tests need compiled in
    #[arg(long, value_name = "PATH")]
    pub kernel_image: Option<PathBuf>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    pub test: Option<String>,
    /// Every test that a guest can run, not the quick ones alone
    #[arg(long)]
    pub all: bool,
    /// Guests at once, each with a processor of this machine
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Only ask what each kernel allows, and write docs/kernels.md from it
    #[arg(long)]
    pub write_docs: bool,
    /// What the guest is to be like; may be repeated
    #[arg(long, value_name = "CONDITION")]
    pub under: Vec<Condition>,
    /// A shell in the guest instead
    #[arg(long)]
    pub shell: bool,
    /// Processors of the guest
    #[arg(long, default_value_t = 1)]
    pub cpus: u32,
    /// Added to the kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub cmdline: String,
}

/// What may be taken away from tcptrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Condition {
    /// Nothing: as Debian ships it
    Plain,
    /// lockdown=integrity
    Integrity,
    /// lockdown=confidentiality
    Confidentiality,
    /// tracefs is not mounted
    NoTracefs,
    /// The kernel does not tell its types
    NoBtf,
    /// Four processors
    FourCpus,
}

impl Condition {
    /// All but the plain one.
    pub const CURTAILED: [Self; 5] =
        [Self::Integrity, Self::Confidentiality, Self::NoTracefs, Self::NoBtf, Self::FourCpus];

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    const fn cmdline(self) -> &'static str {
        match self {
            Self::Integrity => "lockdown=integrity",
            Self::Confidentiality => "lockdown=confidentiality",
            _ => "",
        }
    }

    /// Lines for the guest's first process.
    const fn settings(self) -> &'static str {
        match self {
            Self::NoTracefs => "TRACEFS=no\n",
            Self::NoBtf => "BTF=no\n",
            _ => "",
        }
    }
}

/// A guest that has run.
struct Ran {
    kernel: String,
    condition: Condition,
    outcome: Outcome,
    /// Why what it reports does not count, if so.
    broken: Option<String>,
}

/// Boots every guest that is asked for, one after the other, and prints a table. `target/vm.json` has
/// all they reported.
pub fn run(options: &Options) -> Result<()> {
    setup::for_guests()?;
    let images = images(options)?;
    if images.iter().any(|image| image.arch == Arch::Arm64) {
        setup::for_arm64()?;
    }
    let object = build::ebpf()?;
    let archs = [Arch::Amd64, Arch::Arm64].into_iter();
    let archs = archs.filter(|&arch| images.iter().any(|image| image.arch == arch));
    let programs = archs.map(|arch| programs(&object, arch)).collect::<Result<Vec<_>>>()?;
    let conditions =
        if options.under.is_empty() { &[Condition::Plain][..] } else { &options.under };
    let dir = target().join("vm");
    fs::create_dir_all(&dir)?;
    let guests =
        images.iter().flat_map(|image| conditions.iter().map(move |&under| (image, under)));
    let guests: Vec<_> = guests.collect();
    if options.shell {
        let &(image, condition) = guests.first().context("no kernel")?;
        return boot(options, &programs, &dir, image, condition).map(drop);
    }
    let (next, ran) = (Mutex::new(guests.iter()), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        while let Some(&(image, condition)) = { next.lock().unwrap().next() } {
            if let Some(one) = boot(options, &programs, &dir, image, condition)? {
                ran.lock().unwrap().push(one);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut ran = ran.into_inner().unwrap();
    // In the order they were asked for.
    ran.sort_by_key(|one: &Ran| {
        guests
            .iter()
            .position(|(image, under)| (&image.name, *under) == (&one.kernel, one.condition))
    });
    table(&ran);
    let path = target().join("vm.json");
    let guests: Vec<_> = ran.iter().map(Ran::json).collect();
    fs::write(&path, format!("{:#}\n", Value::from(guests)))?;
    println!("written to {}", path.display());
    let failed = ran.iter().filter(|one| !one.is_good()).count();
    if options.write_docs {
        docs::write(&ran)?;
    }
    ensure!(failed == 0, "{failed} of {} guests failed", ran.len());
    Ok(())
}

/// Runs one guest to its end; `None` if there was a shell in it.
fn boot(
    options: &Options,
    programs: &[Programs],
    dir: &Path,
    image: &Image,
    condition: Condition,
) -> Result<Option<Ran>> {
    let programs = programs.iter().find(|programs| programs.arch == image.arch);
    let programs = programs.context("there are programs for every kernel")?;
    let name = format!("{}-{}", image.name, condition.name());
    let archive = dir.join(format!("{name}.cpio"));
    let settings = settings(options, programs, condition);
    initramfs::make(&archive, programs, image, &settings)?;
    let guest = Guest {
        image,
        initramfs: &archive,
        cpus: if condition == Condition::FourCpus { 4 } else { options.cpus },
        cmdline: &format!("{} {}", condition.cmdline(), options.cmdline),
        console: dir.join(format!("{name}.console")),
        deadline: Duration::from_secs(if options.all { 3600 } else { 300 }),
    };
    if options.shell {
        return guest.shell().map(|()| None);
    }
    step(&format!("kernel {} ({})", image.name, condition.name()));
    let outcome = guest.run()?;
    let broken = outcome.check().err().map(|error| format!("{error:#}"));
    let one = Ran { kernel: image.name.clone(), condition, outcome, broken };
    one.tell(&guest.console);
    fs::remove_file(archive)?;
    Ok(Some(one))
}

fn images(options: &Options) -> Result<Vec<Image>> {
    if let Some(path) = &options.kernel_image {
        let vmlinuz = path.canonicalize().with_context(|| format!("no {}", path.display()))?;
        let (name, arch) = ("own".to_owned(), Arch::Amd64);
        return Ok(vec![Image { name, vmlinuz, modules: None, arch, tools: None }]);
    }
    if options.kernels.is_empty() {
        let wanted = |kernel: &Kernel| options.write_docs || kernel.is_native();
        return kernels::ALL.into_iter().filter(wanted).map(Kernel::fetch).collect();
    }
    options.kernels.iter().map(|name| Kernel::named(name)?.fetch()).collect()
}

fn programs(object: &Path, arch: Arch) -> Result<Programs> {
    // Where cargo told the tests that they are (`CARGO_BIN_EXE_tcptrace`, `CARGO_TARGET_TMPDIR`).
    let (live, dir) = match arch {
        Arch::Amd64 => (build::live(object)?, target()),
        Arch::Arm64 => (build::live_for_arm64(object)?, target().join(build::ARM64)),
    };
    let tcptrace = dir.join(build::CHECKED).join("tcptrace");
    Ok(Programs { arch, live, tcptrace, scratch: dir.join("tmp") })
}

fn settings(options: &Options, programs: &Programs, condition: Condition) -> String {
    let set = match condition {
        _ if options.write_docs => "evidence",
        _ if options.test.is_some() || options.all => "all",
        Condition::Plain => "quick",
        Condition::NoBtf => "untyped",
        _ => "watch",
    };
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let arguments = options.test.as_deref().map(quoted).unwrap_or_default();
    format!(
        "LIVE={}\nTCPTRACE={}\nARGUMENTS={}\nSHELL_WANTED={}\nexport TCPTRACE_GUEST={set}\n\
         CONSOLE={}\nREPORT={}\n{}",
        quoted(&programs.live.to_string_lossy()),
        quoted(&programs.tcptrace.to_string_lossy()),
        quoted(&arguments),
        if options.shell { "yes" } else { "no" },
        programs.arch.console(),
        programs.arch.report(),
        condition.settings(),
    )
}

impl Ran {
    fn is_good(&self) -> bool {
        self.broken.is_none() && self.outcome.tests("failed").is_empty()
    }

    /// What went wrong, and where to read on.
    fn tell(&self, console: &Path) {
        for name in self.outcome.tests("failed") {
            eprintln!("FAILED {name}");
        }
        if let Some(broken) = &self.broken {
            eprintln!("FAILED {broken}");
        }
        if !self.is_good() {
            eprintln!("what it said is in {}", console.display());
        }
    }

    fn json(&self) -> Value {
        json!({
            "kernel": self.kernel,
            "condition": self.condition.name(),
            "release": self.outcome.release,
            "passed": self.outcome.tests("ok"),
            "failed": self.outcome.tests("failed"),
            "broken": self.broken,
            "panics": self.outcome.panics,
            "seconds": self.outcome.took.as_secs_f64(),
            "report": self.outcome.lines,
        })
    }
}

fn table(ran: &[Ran]) {
    println!();
    println!(
        "{:<8} {:<32} {:<16} {:>6} {:>6} {:>6} {:>7}",
        "kernel", "release", "condition", "passed", "failed", "panics", "seconds"
    );
    for Ran { kernel, condition, outcome, broken } in ran {
        let (passed, failed) = (outcome.tests("ok").len(), outcome.tests("failed").len());
        let seconds = outcome.took.as_secs();
        let release = outcome.release.as_deref().unwrap_or("did not come up");
        let (condition, panics) = (condition.name(), outcome.panics);
        println!(
            "{kernel:<8} {release:<32} {condition:<16} {passed:>6} {failed:>6} {panics:>6} {seconds:>7}"
        );
        if let Some(broken) = broken {
            println!("         {broken}");
        }
    }
}
