//! The unit in `contrib/systemd`, as far as it can be tried where systemd does not run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use super::{Leak, Unprivileged, fresh_path};
use crate::host::run;
use crate::watcher::{Tcptrace, fresh_directory};

const CONTRIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/systemd");
/// Of 100; 0 is nothing at all. What is left is mostly the network, and the processes it looks at.
const EXPOSURE: &str = "19";

pub fn trials() -> Vec<Trial> {
    crate::trials![systemd_takes_the_unit, every_drop_in_is_taken, the_filters_let_watch_work]
}

/// The values of `name` in the unit, in their order.
pub fn setting(name: &str) -> Vec<String> {
    let unit = fs::read_to_string(Path::new(CONTRIB).join("tcptrace.service")).unwrap();
    let values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// A folder with the unit, for a binary that is there, and with `drop_ins`.
struct Installed(PathBuf);

impl Installed {
    fn with(drop_ins: &[PathBuf]) -> Self {
        let dir = fresh_directory();
        fs::create_dir_all(dir.join("tcptrace.service.d")).unwrap();
        let unit = fs::read_to_string(Path::new(CONTRIB).join("tcptrace.service")).unwrap();
        let unit = unit.replace("/usr/bin/tcptrace", env!("CARGO_BIN_EXE_tcptrace"));
        fs::write(dir.join("tcptrace.service"), unit).unwrap();
        for drop_in in drop_ins {
            let name = drop_in.file_name().unwrap();
            fs::copy(drop_in, dir.join("tcptrace.service.d").join(name)).unwrap();
        }
        Self(dir)
    }

    fn unit(&self) -> String {
        self.0.join("tcptrace.service").to_str().unwrap().to_owned()
    }

    /// Fails with what systemd has to say, if it has anything.
    fn verify(&self) {
        let verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"];
        let output = Command::new(verify[0]).args(&verify[1..]).arg(self.unit()).output();
        let output = output.expect("systemd-analyze; cargo xtask test installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn systemd_takes_the_unit() {
    let installed = Installed::with(&[]);
    installed.verify();
    let threshold = format!("--threshold={EXPOSURE}");
    run(&["systemd-analyze", "security", "--offline=true", &threshold, &installed.unit()]);
}

fn every_drop_in_is_taken() {
    let mut drop_ins: Vec<_> = fs::read_dir(CONTRIB).unwrap().map(|e| e.unwrap().path()).collect();
    drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    assert!(!drop_ins.is_empty());
    Installed::with(&drop_ins).verify();
    for drop_in in drop_ins {
        // A capability that is not in both is not granted.
        let text = fs::read_to_string(&drop_in).unwrap();
        let values = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap();
        assert_eq!(values("AmbientCapabilities="), values("CapabilityBoundingSet="), "{text}");
        let mut words = values("AmbientCapabilities=").split_whitespace();
        assert!(words.all(|word| word.starts_with("CAP_")), "{text}");
    }
}

/// systemd's filters do not apply here, so the calls that `watch` makes are held against them.
fn the_filters_let_watch_work() {
    let user = Unprivileged::with(&[]);
    let (trace, record) = (fresh_path("strace"), fresh_path("record"));
    fs::create_dir(&record).unwrap();
    std::os::unix::fs::chown(&record, Some(Unprivileged::UID), None).unwrap();
    let mut strace = Command::new("strace");
    // As a grandchild, so that the child is tcptrace itself.
    strace.args(["-D", "-f", "-qq", "-s", "256", "-o"]).arg(&trace).args(user.words());
    strace.args(["-o", "json", "--close-wait", "300ms", "--record"]).arg(&record);
    let mut watch = Tcptrace::spawn(strace.current_dir("/"));
    watch.wait_ready();
    let leak = Leak::here();
    watch.alert(leak.cookie(), "firing");
    let (status, _) = watch.end(rustix::process::Signal::TERM);
    let calls = fs::read_to_string(&trace).unwrap();
    fs::remove_file(&trace).unwrap();
    fs::remove_dir_all(&record).unwrap();
    // What comes before is setpriv's.
    let begins = format!("execve(\"{}\"", user.program.display());
    let (_, calls) = calls.split_once(&begins).unwrap_or_else(|| panic!("{status}: {calls}"));

    let allowed = allowed();
    let families = setting("RestrictAddressFamilies").join(" ");
    for line in calls.lines().skip(1) {
        // `PID call(arguments) = result`, `PID <... call resumed>`, or a signal.
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        assert!(allowed.contains(name), "SystemCallFilter refuses {line}");
        if name == "socket" {
            let family = arguments.split(',').next().unwrap();
            assert!(families.split_whitespace().any(|allowed| allowed == family), "{line}");
        }
        let executable = arguments.contains("PROT_EXEC");
        let refused = (name == "mprotect" && executable)
            || (name == "mmap" && executable && arguments.contains("PROT_WRITE"));
        assert!(!refused, "MemoryDenyWriteExecute refuses {line}");
    }
}

/// The calls that the unit's `SystemCallFilter` lines leave, as systemd applies them.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in setting("SystemCallFilter") {
        let removes = line.starts_with('~');
        for name in line.trim_start_matches('~').split_whitespace() {
            for call in expand(name) {
                if removes {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
    }
    allowed
}

/// What a name of a set stands for; sets contain others.
fn expand(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let shown = run(&["systemd-analyze", "syscall-filter", name]);
    let lines = shown.lines().skip(1).map(str::trim);
    let members = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(expand).collect()
}
