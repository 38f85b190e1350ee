//! One guest: booted under emulation, listened to, ended.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::kernels::{Arch, Image};
use crate::shell::run;

/// Where a processor says that it copies strings fast, kernels copy by an instruction that is emulated
/// byte by byte, and verifiers copy much: they take half the time without. And the flags after an
/// emulated CMPXCHG16B can be wrong, which 6.12's allocator panics of.
const AMD64: &str = "max,-erms,-fsrm,-cx16";
/// Longer than any kernel takes to start our program.
const START: Duration = Duration::from_secs(60);

/// How to boot.
pub struct Guest<'a> {
    pub image: &'a Image,
    pub initramfs: &'a Path,
    pub cpus: u32,
    /// Added to the kernel's command line.
    pub cmdline: &'a str,
    /// What the kernel and the tests have to say besides.
    pub console: PathBuf,
    pub deadline: Duration,
}

/// What a guest reported.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The kernel's own word for its release.
    pub release: Option<String>,
    /// Every line, in order.
    pub lines: Vec<Value>,
    /// The exit status of the tests.
    pub status: Option<i64>,
    /// Boots that did not get as far as our program.
    pub panics: u32,
    pub took: Duration,
    /// Why it is not to be believed, if it is not.
    pub failure: Option<String>,
}

impl Guest<'_> {
    /// Runs it to its end. One that panics or hangs before our program starts is started again, once.
    pub fn run(&self) -> Result<Outcome> {
        let mut outcome = self.boot()?;
        if outcome.release.is_none() {
            fs::rename(&self.console, self.console.with_extension("panic"))?;
            outcome = self.boot()?;
            outcome.panics = 1 + u32::from(outcome.release.is_none());
        }
        Ok(outcome)
    }

    /// A shell in the guest, on this terminal.
    pub fn shell(&self) -> Result<()> {
        let mut qemu = self.qemu();
        qemu.args(["-serial", "mon:stdio"]);
        self.image.arch.second_serial(&mut qemu, "null");
        run(&mut qemu)
    }

    fn boot(&self) -> Result<Outcome> {
        let mut qemu = self.qemu();
        let console = format!("file:{}", self.console.display());
        qemu.args(["-serial", &console]);
        self.image.arch.second_serial(&mut qemu, "stdio");
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let began = Instant::now();
        let child = qemu.spawn().context("cannot start qemu")?;
        let mut running = Running(child);
        let stdout = running.0.stdout.take().context("no report")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut outcome = Outcome::default();
        while outcome.status.is_none() && outcome.failure.is_none() {
            let deadline = if outcome.release.is_some() { self.deadline } else { START };
            match lines.recv_timeout(deadline.saturating_sub(began.elapsed())) {
                Ok(line) => outcome.hear(&line, began.elapsed()),
                Err(RecvTimeoutError::Disconnected) => {
                    outcome.failure = Some("it ended before its report did".into());
                }
                Err(RecvTimeoutError::Timeout) => {
                    let deadline = self.deadline.as_secs();
                    outcome.failure =
                        Some(format!("its report was not complete after {deadline} s"));
                }
            }
        }
        outcome.took = began.elapsed();
        Ok(outcome)
    }

    fn qemu(&self) -> Command {
        let arch = self.image.arch;
        let mut qemu = arch.qemu();
        // All of its processors on one of ours: guests must not crowd one another out.
        qemu.args(["-accel", "tcg,thread=single", "-m", "2048", "-no-reboot"]);
        qemu.args(["-display", "none", "-nodefaults", "-smp", &self.cpus.to_string()]);
        qemu.arg("-kernel").arg(&self.image.vmlinuz).arg("-initrd").arg(self.initramfs);
        qemu.args([
            "-append",
            &format!("console={} quiet panic=-1 {}", arch.console(), self.cmdline),
        ]);
        qemu
    }
}

impl Arch {
    fn qemu(self) -> Command {
        let (program, processor) = match self {
            Self::Amd64 => ("qemu-system-x86_64", ["-cpu", AMD64].as_slice()),
            Self::Arm64 => {
                ("qemu-system-aarch64", ["-machine", "virt", "-cpu", "cortex-a72"].as_slice())
            }
        };
        let mut qemu = Command::new(program);
        qemu.args(processor);
        qemu
    }

    /// The guest's first serial port: where the kernel speaks.
    pub const fn console(self) -> &'static str {
        match self {
            Self::Amd64 => "ttyS0",
            Self::Arm64 => "ttyAMA0",
        }
    }

    /// The second: where the tests do.
    pub const fn report(self) -> &'static str {
        match self {
            Self::Amd64 => "ttyS1",
            Self::Arm64 => "ttyS0",
        }
    }

    fn second_serial(self, qemu: &mut Command, to: &str) {
        match self {
            Self::Amd64 => qemu.args(["-serial", to]),
            // The board has one only.
            Self::Arm64 => {
                let chardev = format!("{to},id=report");
                qemu.args(["-chardev", &chardev, "-device", "pci-serial,chardev=report"])
            }
        };
    }
}

impl Outcome {
    fn hear(&mut self, line: &[u8], at: Duration) {
        let Ok(mut line) = serde_json::from_slice::<Value>(line) else {
            let line = String::from_utf8_lossy(line);
            self.failure = Some(format!("its report has a line that is none: {line}"));
            return;
        };
        match (line["type"].as_str(), line["event"].as_str()) {
            (Some("guest"), Some("up")) => {
                self.release = line["release"].as_str().map(str::to_owned);
            }
            (Some("guest"), Some("end")) => self.status = line["status"].as_i64(),
            _ => {
                line["after_s"] = at.as_secs_f64().into();
                self.lines.push(line);
            }
        }
    }

    /// Names of the tests that ended so.
    pub fn tests(&self, event: &str) -> Vec<&str> {
        let tests = self.lines.iter().filter(|line| line["type"] == "test");
        tests
            .filter(|line| line["event"] == event)
            .filter_map(|line| line["name"].as_str())
            .collect()
    }

    /// What must be so before anything in it counts.
    pub fn check(&self) -> Result<()> {
        if let Some(failure) = &self.failure {
            bail!("{failure}");
        }
        let suite =
            self.lines.iter().rfind(|line| line["type"] == "suite").context("no tests ran")?;
        let (passed, failed) = (self.tests("ok"), self.tests("failed"));
        let counts = (suite["passed"].as_u64(), suite["failed"].as_u64());
        if counts != (Some(passed.len() as u64), Some(failed.len() as u64)) {
            bail!(
                "{} tests passed and {} failed, the report says {counts:?}",
                passed.len(),
                failed.len()
            );
        }
        if passed.is_empty() && failed.is_empty() {
            bail!("no test has this name");
        }
        if failed.is_empty() != (self.status == Some(0)) {
            bail!("{} tests failed, and the program ended with {:?}", failed.len(), self.status);
        }
        Ok(())
    }
}

/// A qemu at work. Dropping it ends it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: &str = r#"{"type":"guest","event":"up","release":"6.1.0"}"#;
    const OK: &str = r#"{ "type": "test", "event": "ok", "name": "a" }"#;
    const FAILED: &str = r#"{ "type": "test", "event": "failed", "name": "b" }"#;

    fn heard(lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        lines.iter().for_each(|line| outcome.hear(line.as_bytes(), Duration::ZERO));
        outcome
    }

    fn suite(passed: u32, failed: u32) -> String {
        format!(r#"{{ "type": "suite", "event": "ok", "passed": {passed}, "failed": {failed} }}"#)
    }

    fn end(status: u32) -> String {
        format!(r#"{{"type":"guest","event":"end","status":{status}}}"#)
    }

    #[test]
    fn what_adds_up_is_believed() {
        let good = heard(&[UP, OK, &suite(1, 0), &end(0)]);
        good.check().unwrap();
        assert_eq!((good.release.as_deref(), good.tests("ok")), (Some("6.1.0"), vec!["a"]));
        let bad = heard(&[UP, OK, FAILED, &suite(1, 1), &end(101)]);
        bad.check().unwrap();
        assert_eq!(bad.tests("failed"), ["b"]);
    }

    #[test]
    fn what_does_not_add_up_is_a_failure() {
        let error = |lines: &[&str]| heard(lines).check().unwrap_err().to_string();
        assert_eq!(error(&[UP, OK, &end(0)]), "no tests ran");
        assert!(error(&[UP, OK, &suite(2, 0), &end(0)]).contains("the report says"));
        assert!(error(&[UP, OK, &suite(1, 0), &end(1)]).contains("ended with Some(1)"));
        assert!(error(&[UP, OK, FAILED, &suite(1, 1), &end(0)]).contains("1 tests failed"));
        assert_eq!(error(&[UP, &suite(0, 0), &end(0)]), "no test has this name");
        assert!(error(&[UP, "[ 4.9] Kernel panic", &suite(1, 0), &end(0)]).contains("is none"));
    }
}
