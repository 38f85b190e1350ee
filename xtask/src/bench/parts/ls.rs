//! How long it takes to see who holds what is stuck, among a hundred thousand descriptors.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::alerts::Watching;
use crate::bench::Bench;
use crate::bench::namespace::Namespace;
use crate::bench::results::{Bound, Curve, Part};
use crate::bench::stuck::Holders;
use crate::shell::{output, run, show};

const STUCK: [usize; 3] = [1000, 10_000, 50_000];
const QUICK: [usize; 2] = [1000, 10_000];
const DESCRIPTORS: usize = 100_000;

const TOOK: &str = "ms until all is shown";
const OVER: &str = "time over that of tcptrace ls";
const RESIDENT: &str = "resident kB when it is ready";
const NAMES: [&str; 3] = ["tcptrace ls", "ss -tanpe", "lsof -nP -iTCP"];

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    let sizes = if bench.quick { &QUICK[..] } else { &STUCK[..] };
    for &stuck in sizes {
        let namespace = Namespace::new()?;
        let fast = "echo 1 > /proc/sys/net/ipv4/tcp_fin_timeout";
        run(namespace.exec("sh").args(["-c", fast]))?;
        let _holders = Holders::start(&namespace, stuck, DESCRIPTORS)?;
        wait_for_minisockets(&namespace)?;
        let shown = output(namespace.enter("ss").args(["-Htan", "state", "close-wait"]))?;
        let there = shown.lines().count();
        // On a busy loopback a packet can find neither a socket nor the minisocket that is taking its
        // place, and then its peer is reset.
        ensure!(there * 100 >= stuck * 99, "{there} sockets are stuck, of {stuck}");
        for _ in 0..bench.rounds.clamp(3, 7) {
            let mut ls = Command::new(&bench.tools.tcptrace);
            ls.arg("ls");
            // `ip` would hide the control groups from it, which it complains of at every socket.
            let mut ss = namespace.enter("ss");
            ss.arg("-tanpe");
            let mut lsof = namespace.enter("lsof");
            lsof.args(["-nP", "-iTCP"]);
            for (name, mut command) in NAMES.into_iter().zip([ls, ss, lsof]) {
                part.add(TOOK, &at(name, stuck), millis(&mut command)?);
            }
        }
        let watching = Watching::start(bench, &[])?;
        part.add(RESIDENT, &at("tcptrace watch", stuck), watching.resident()?);
        drop(watching);
        let [ours, ss, lsof] = NAMES.map(|name| at(name, stuck));
        let over_ss = part.compare(TOOK, &ss, &ours, OVER);
        part.compare(TOOK, &lsof, &ours, OVER);
        if stuck == sizes[sizes.len() - 1] {
            let what = format!("ss -tanpe over tcptrace ls at {stuck} stuck sockets");
            part.target(&what, Bound::AtLeast, 10.0, over_ss);
        }
    }
    let line = |name: &str| {
        let point = |stuck: &usize| Some([*stuck as f64, part.median(TOOK, &at(name, *stuck))?]);
        (name.to_owned(), sizes.iter().filter_map(point).collect())
    };
    let lines = NAMES.map(line).into();
    part.curves.push(Curve {
        file: "ls".into(),
        title: "Who holds them, among 100,000 descriptors".into(),
        x: "stuck sockets".into(),
        y: "ms".into(),
        lines,
    });
    Ok(())
}

fn at(name: &str, stuck: usize) -> String {
    format!("{name}, {stuck} stuck")
}

/// How long it takes, with what it prints read to its end.
fn millis(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let output = command.output()?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", show(command));
    Ok(took)
}

/// Until the peers' ends, which are nobody's, are gone.
fn wait_for_minisockets(namespace: &Namespace) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = Instant::now();
    loop {
        let shown = namespace.exec("cat").arg("/proc/net/sockstat").output()?.stdout;
        if String::from_utf8_lossy(&shown).contains(" tw 0 ") {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "the peers of stuck sockets do not go away");
        thread::sleep(Duration::from_millis(50));
    }
}
