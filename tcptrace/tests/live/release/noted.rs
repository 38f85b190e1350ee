//! Who asked for what is noted where it is looked for.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use super::{Released, Stuck};
use crate::record::wait_until_kept;
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        beside_a_running_watch_with_its_exact_ages,
        systemds_journal_has_it_too,
        what_cannot_be_noted_is_not_done,
    ]
}

fn beside_a_running_watch_with_its_exact_ages() {
    let dir = fresh_directory();
    let mut watch =
        Tcptrace::start(&["watch", "--close-wait", "1s", "--record", dir.to_str().unwrap()]);
    let stuck = Stuck::new();
    watch.alert(stuck.held.cookie, "firing");
    wait_until_kept(&dir, stuck.held.cookie);
    let mut release = command();
    release.args(["release", "--min-age", "0s", "--yes", "-o", "json", "--pid", &stuck.pid]);
    release.env("SUDO_USER", "alice\n\x1b[31m").arg("--record").arg(&dir);
    let released = Released::of(&mut release);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    assert_eq!(released.sockets[0]["age_is"], "exact", "{:#}", released.sockets[0]);

    let noted = fs::read_to_string(dir.join("releases.jsonl")).unwrap();
    let noted: Vec<Value> = noted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [begun, deed, ended] = &noted[..] else { panic!("{noted:#?}") };
    assert_eq!((&begun["status"], &begun["selected"]), (&"begun".into(), &1.into()));
    assert_eq!((&ended["status"], &ended["ended"]), (&"ended".into(), &1.into()));
    assert_eq!((&deed["type"], &deed["result"]), (&"release".into(), &"ended".into()));
    assert_eq!(deed["cookie"], stuck.held.cookie.to_string());
    for line in &noted {
        let by = &line["asked_by"];
        assert_eq!((&by["uid"], &by["sudo_user"]), (&0.into(), &"alice\n\u{1b}[31m".into()));
        let words = by["command"].as_array().unwrap();
        assert!(words[0].as_str().unwrap().ends_with("tcptrace"), "{by}");
        assert_eq!((&words[1], &words[4]), (&"release".into(), &"--yes".into()), "{by}");
    }
    assert!(released.err.contains(r"sudo by alice\u{a}\u{1b}[31m: "), "{}", released.err);
    assert!(released.err.contains("asked by uid 0"), "{}", released.err);

    // The watch sees how it ended, once it is clear that the program does not close.
    let told = watch.alert(stuck.held.cookie, "resolved");
    assert_eq!(told["ended_by"], "shutdown", "{told:#}");
    watch.stop();
}

/// One that listens where systemd's does, in a mount namespace of the program's own.
fn systemds_journal_has_it_too() {
    let stuck = Stuck::new();
    let dir = fresh_directory();
    fs::create_dir(&dir).unwrap();
    let journal = UnixDatagram::bind(dir.join("socket")).unwrap();
    journal.set_read_timeout(Some(DEADLINE)).unwrap();
    let mount = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
        mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    let mut release = Command::new("unshare");
    release.args(["--mount", "sh", "-c", mount]).arg(&dir);
    release.arg(env!("CARGO_BIN_EXE_tcptrace")).env("TCPTRACE_RECORD", fresh_directory());
    release.args(["release", "--yes", "--min-age", "0s", "-o", "json", "--pid", &stuck.pid]);
    let released = Released::of(&mut release);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    let entry = || {
        let mut datagram = [0; 65_536];
        let length = journal.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    let (begun, deed, ended) = (entry(), entry(), entry());
    assert!(begun.contains("MESSAGE=shutdown of 1 sockets begins, asked by uid 0"), "{begun}");
    assert!(deed.contains("MESSAGE=release of 127.0.0.1:"), "{deed}");
    assert!(deed.contains(&format!("OBJECT_PID={}\n", stuck.pid)), "{deed}");
    assert!(deed.contains("SYSLOG_IDENTIFIER=tcptrace\n"), "{deed}");
    assert!(ended.contains("MESSAGE=1 of 1 sockets released"), "{ended}");
    journal.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    journal.recv(&mut [0]).unwrap_err();
}

fn what_cannot_be_noted_is_not_done() {
    let stuck = Stuck::new();
    let file = fresh_directory();
    fs::write(&file, "in the way").unwrap();
    let mut release = command();
    release.args(["release", "--yes", "--min-age", "0s", "--pid", &stuck.pid]);
    let (code, out, err) = finish(release.arg("--record").arg(&file));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("error: what is done could not be noted: cannot record in"), "{err}");
    stuck.await_states("CLOSE-WAIT", "FIN-WAIT-2");
}
