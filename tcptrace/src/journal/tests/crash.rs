//! A recorder that dies, and a disk that is full: in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::model::history::{GapKind, PastEnd, RunEnd};

const DIRECTORY: &str = "TCPTRACE_TEST_JOURNAL";

/// Runs the (ignored) test `name` of this program on `dir`, under a limit on file sizes if there is one.
fn child(name: &str, dir: &Path, limit: Option<u64>) -> Child {
    let program = std::env::current_exe().unwrap();
    // The signal that goes with the limit must not kill it: an ignored one stays ignored.
    let limit = limit.map_or(String::new(), |kib| format!("trap '' XFSZ; ulimit -S -f {kib}; "));
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\"")).arg(program);
    command.args(["--ignored", "--exact", "--nocapture", "--test-threads=1", name]);
    command.env(DIRECTORY, dir).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

fn own_directory() -> Option<std::path::PathBuf> {
    std::env::var_os(DIRECTORY).map(Into::into)
}

/// Writes until it is killed, and says what is on disk.
#[test]
#[ignore = "the child of another test"]
fn writes_until_killed() {
    let Some(dir) = own_directory() else { return };
    let (mut writer, status) = writer(settings(&dir, 100));
    for second in 101.. {
        writer.entry(kept(second, second - 1));
        if second > 110 {
            writer.entry(ended(second - 10, second - 11, second));
        }
        writer.clock(second);
        assert!(status.lock().unwrap().error.is_none());
        // Past the harness, which may hold back what it captures.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ncommitted {second}").unwrap();
        out.flush().unwrap();
    }
}

/// Copies database and WAL as they are, without the index of the WAL.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !name.ends_with("-shm") && name != "lock" {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn check_cut_off(dir: &Path, committed: u64) {
    let mut history = open(dir);
    let stays = stays(&mut history);
    assert_eq!(history.warnings(), []);
    let run = &history.runs().unwrap()[0];
    assert_eq!(run.end, RunEnd::Died);
    let alive = run.alive.as_second().cast_unsigned() - 1_000_000_000;
    assert!(alive >= committed, "{alive} is before {committed}, which was acknowledged");
    let whole = |stay: &&PastStay| matches!(stay.end, PastEnd::By(_));
    assert_eq!(stays.len() as u64, alive - 100, "one stay a second");
    assert_eq!(stays.iter().filter(whole).count() as u64, (alive - 100).saturating_sub(10));
    let cut: Vec<_> = stays.iter().filter(|stay| stay.end == PastEnd::CutOff).collect();
    assert_eq!(cut.len(), 10);
    for stay in cut {
        let began = stay.began.as_second().cast_unsigned() - 1_000_000_000;
        assert_eq!(stay.lasted.as_secs(), alive - began, "it lasted until the last sign of life");
    }
}

#[test]
fn kill_9_loses_no_committed_second() {
    let dir = tempfile::tempdir().unwrap();
    let name = "journal::tests::crash::writes_until_killed";
    let mut child = child(name, dir.path(), None);
    let mut committed = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(second) = line.strip_prefix("committed ") else { continue };
        committed = second.parse::<u64>().unwrap();
        if committed == 150 {
            // While it writes on.
            let copied = tempfile::tempdir().unwrap();
            rustix::process::kill_process(pid(&child), rustix::process::Signal::STOP).unwrap();
            copy(dir.path(), copied.path());
            rustix::process::kill_process(pid(&child), rustix::process::Signal::CONT).unwrap();
            check_cut_off(copied.path(), committed);
        }
        if committed == 300 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    assert_eq!(committed, 300);
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    check_cut_off(copied.path(), committed);
    check_cut_off(dir.path(), committed);
    // The next one goes on in the same shard.
    let (mut next, status) = writer(settings(dir.path(), 10_000));
    next.entry(kept(1, 10_000));
    next.clock(10_001);
    assert!(status.lock().unwrap().error.is_none());
    assert_eq!(crate::journal::shard::list(dir.path()).unwrap().len(), 1);
    assert_eq!(open(dir.path()).runs().unwrap().len(), 2);
}

fn pid(child: &Child) -> rustix::process::Pid {
    rustix::process::Pid::from_child(child)
}

/// Fills the disk, goes on when there is room again.
#[test]
#[ignore = "the child of another test"]
fn fills_the_disk() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let Some(dir) = own_directory() else { return };
    let (mut writer, status) = writer(settings(&dir, 100));
    let failed = || status.lock().unwrap().error.clone();
    let mut second = 100;
    // The first time the WAL is full, which the database still has room for.
    let mut in_a_row = 0;
    while in_a_row < 3 {
        second += 1;
        writer.entry(kept(second, second));
        writer.clock(second);
        in_a_row = if failed().is_some() { in_a_row + 1 } else { 0 };
        assert!(second < 100_000, "it never gets full");
    }
    // A stay that ends while nothing can be written, and one that begins.
    writer.entry(ended(110, 110, second));
    writer.entry(kept(second + 1, second + 1));
    writer.clock(second + 2);
    assert!(failed().is_some());
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .unwrap();
    writer.clock(second + 3);
    assert_eq!(failed(), None);
    assert_eq!(status.lock().unwrap().committed, second + 1 - 100 + 1);
    writer.take_leave();
}

#[test]
fn a_full_disk_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let name = "journal::tests::crash::fills_the_disk";
    let output = child(name, dir.path(), Some(300)).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut history = open(dir.path());
    let stays = stays(&mut history);
    assert_eq!(history.warnings(), []);
    let last = stays.last().unwrap().began.as_second().cast_unsigned() - 1_000_000_000;
    assert_eq!(stays.len() as u64, last - 100, "nothing was lost");
    let over: Vec<_> = stays.iter().filter(|stay| stay.end != PastEnd::Open).collect();
    assert_eq!(over.len(), 1);
    assert_eq!(over[0].lasted.as_secs(), last - 1 - 110);
    let gaps = history.gaps(ALWAYS).unwrap();
    assert!(gaps.iter().all(|gap| !matches!(gap.why, GapKind::LeftOut(_))));
}
