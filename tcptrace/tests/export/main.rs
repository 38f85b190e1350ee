//! What `export` writes, read by engines that others have written: their sums are those of the scenario.

#[path = "../fixtures/mod.rs"]
mod fixtures;
mod fleet;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use fleet::{HOSTILE, Life, lives, record, sums};
use serde_json::Value;
use tempfile::TempDir;

const HOUR: u64 = 3_600_000;
const DOC: &str = include_str!("../../../docs/fleet.md");

/// An engine that comes as a Python package.
#[derive(Clone, Copy)]
struct Engine {
    package: &'static str,
    script: &'static str,
    /// What its way to name the table in `docs/fleet.md` has that others have not.
    view: &'static str,
}

const DUCKDB: Engine =
    Engine { package: "duckdb", script: include_str!("in_duckdb.py"), view: "read_parquet(" };
const SPARK: Engine =
    Engine { package: "pyspark", script: include_str!("in_spark.py"), view: "USING parquet" };

fn succeed(output: Output, what: &str) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

impl Engine {
    /// A Python that has it, in an environment of our own.
    fn python(self) -> PathBuf {
        static ONE_BY_ONE: Mutex<()> = Mutex::new(());
        let _one = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.package);
        let python = environment.join("bin/python");
        let has_it = || {
            let import = ["-c", &format!("import {}", self.package)].map(String::from);
            Command::new(&python).args(import).output().is_ok_and(|run| run.status.success())
        };
        if !has_it() {
            let what = format!("this test needs the Python package {}", self.package);
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv", "--clear"]).arg(&environment);
            succeed(venv.output().expect("this test needs python3"), &what);
            let pip = Command::new(&python).args(["-m", "pip", "install", self.package]).output();
            succeed(pip.unwrap(), &what);
        }
        python
    }

    /// The rows that each of `statements` gives, run in `dir`.
    fn run(self, dir: &Path, statements: &[&str]) -> Vec<Vec<Vec<Value>>> {
        let mut command = Command::new(self.python());
        command.args(["-c", self.script]).current_dir(dir);
        let input = serde_json::to_vec(statements).unwrap();
        serde_json::from_str(&succeed(feed(&mut command, &input), self.package)).unwrap()
    }

    /// The statement of `docs/fleet.md` that makes its table.
    fn view(self) -> &'static str {
        statements().find(|statement| statement.contains(self.view)).unwrap()
    }
}

fn feed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The SQL of `docs/fleet.md`.
fn statements() -> impl Iterator<Item = &'static str> {
    DOC.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap())
}

fn statement(part: &str) -> &'static str {
    statements().find(|statement| statement.contains(part)).unwrap()
}

fn tcptrace() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tcptrace"))
}

/// The journals of three hosts, and `stays/*.parquet` with what is in them.
fn export(flags: &[&str]) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let journals = record(dir.path(), &lives());
    let stays = dir.path().join("stays");
    std::fs::create_dir(&stays).unwrap();
    for (n, journal) in journals.iter().enumerate() {
        let out = stays.join(format!("{n}.parquet"));
        let export =
            tcptrace().arg("export").arg(journal).arg("--out").arg(out).args(flags).output();
        succeed(export.unwrap(), "export");
    }
    (dir, journals)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Seconds or milliseconds that an engine has added up, within what doubles lose.
fn close(found: &Value, expected: f64) -> bool {
    (found.as_f64().unwrap() - expected).abs() < 1e-6 * expected.max(1.0)
}

/// Where in the scenario each `comm` and verdict stand.
fn by_program(lives: &[Life], from: u64, to: u64) -> BTreeMap<(String, String), u64> {
    let mut sums = sums(lives, |life| {
        ((life.comm.to_owned(), life.verdict.name().to_owned()), life.within(from, to))
    });
    sums.retain(|_, millis| *millis > 0);
    sums
}

const BY_PROGRAM: &str = "SELECT comm, verdict, sum(socket_seconds) AS seconds, \
    CAST(sum(lasted_ns) AS BIGINT) AS ns, min(unit) AS unit, min(exe) AS exe, min(uid) AS uid \
    FROM stays GROUP BY comm, verdict";

/// Sums by program and verdict, and every name byte for byte.
fn check_programs(rows: &[Vec<Value>], lives: &[Life]) {
    let expected = by_program(lives, 0, u64::MAX);
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let comm = text(&row[0]);
        let millis = expected[&(comm.clone(), text(&row[1]))];
        assert!(close(&row[2], millis as f64 / 1000.0), "{row:?} is not {millis} ms");
        assert_eq!(row[3].as_u64(), Some(millis * 1_000_000));
        assert_eq!(text(&row[4]), format!("{comm}.service"));
        assert_eq!(text(&row[5]), format!("/opt/{comm}/bin"));
        assert_eq!(row[6], 4_294_967_294u64);
    }
    assert!(rows.iter().any(|row| row[0] == HOSTILE));
}

/// What `docs/fleet.md` asks, against the scenario's own numbers.
fn check_document(engine: Engine) {
    let (dir, journals) = export(&[]);
    let lives = lives();
    let asked = [
        engine.view(),
        BY_PROGRAM,
        statement("AS hosts"),
        statement("seconds_after"),
        statement("AS still_open"),
        statement("AS line"),
    ];
    let answers = engine.run(dir.path(), &asked);
    let [_, programs, paths, release, hosts, lines] = &answers[..] else { panic!("{answers:?}") };
    check_programs(programs, &lives);

    let total: u64 = lives.iter().map(|life| life.within(0, u64::MAX)).sum();
    let seconds: f64 = paths.iter().map(|row| row[1].as_f64().unwrap()).sum();
    // They are shown in whole seconds.
    assert!((seconds - total as f64 / 1000.0).abs() <= paths.len() as f64, "{seconds}");
    assert!(paths.iter().any(|row| row[3] == 3), "on all hosts");

    let within = |from, to| lives.iter().map(|life| life.within(from, to)).sum::<u64>() as f64;
    let sum = |column: usize| release.iter().map(|row| row[column].as_f64().unwrap()).sum::<f64>();
    assert!((sum(1) * 1000.0 - within(0, HOUR)).abs() < 1.0, "{release:?}");
    assert!((sum(2) * 1000.0 - within(HOUR, 2 * HOUR)).abs() < 1.0, "{release:?}");

    let by_host = sums(&lives, |life| (life.host.to_owned(), life.within(0, u64::MAX)));
    let open = sums(&lives, |life| (life.host.to_owned(), life.ended.is_none().into()));
    assert_eq!(hosts.len(), by_host.len());
    for row in hosts {
        let host = text(&row[0]);
        assert!(close(&row[1], by_host[&host] as f64 / 1000.0), "{row:?}");
        assert_eq!(row[4].as_u64(), Some(open[&host]), "{row:?}");
    }

    let folded: Vec<_> = lines.iter().map(|row| text(&row[0])).collect();
    let mut report = tcptrace();
    report.args(["report", "--folded", "-", "--format", "json"]);
    let drawn = succeed(feed(&mut report, (folded.join("\n") + "\n").as_bytes()), "report");
    let first: Value = serde_json::from_str(drawn.lines().next().unwrap()).unwrap();
    assert_eq!(first["time_ms"], total);
    // And what is reported of the journals themselves.
    let mut report = tcptrace();
    report.arg("report").args(&journals).args(["--format", "json"]);
    let reported = succeed(report.output().unwrap(), "report");
    let first: Value = serde_json::from_str(reported.lines().next().unwrap()).unwrap();
    assert_eq!(first["time_ms"], total);
}

#[test]
fn duckdb_adds_up_what_happened() {
    check_document(DUCKDB);
}

/// Half a gigabyte to install, and it needs Java.
#[test]
#[ignore = "needs Java 17 and the Python package pyspark"]
fn spark_adds_up_what_happened() {
    check_document(SPARK);
}

#[test]
fn windows_clip_filters_choose_and_json_says_the_same() {
    let window = ["--from", "2026-11-24T11:30:00Z", "--to", "2026-11-24T11:40:00Z"];
    let flags = [&window[..], &["--comm", "nginx", "--comm", "java"]].concat();
    let (from, to) = (HOUR / 2, HOUR / 2 + 600_000);
    let lives: Vec<_> =
        lives().into_iter().filter(|life| ["nginx", "java"].contains(&life.comm)).collect();
    let expected = by_program(&lives, from, to);

    let dir = tempfile::tempdir().unwrap();
    let journals = record(dir.path(), &fleet::lives());
    let export = |format: &str| {
        let mut export = tcptrace();
        export.arg("export").args(&journals).args(["--format", format]).args(&flags);
        export.output().unwrap()
    };
    let mut sums = BTreeMap::new();
    for line in succeed(export("jsonl"), "export").lines() {
        let stay: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&stay["type"], &stay["local_addr"]), (&"stay".into(), &"10.0.3.1".into()));
        let key = (text(&stay["comm"]), text(&stay["verdict"]));
        *sums.entry(key).or_insert(0.0) += stay["socket_seconds"].as_f64().unwrap() * 1000.0;
    }
    let rounded: BTreeMap<_, _> =
        sums.into_iter().map(|(key, ms)| (key, ms.round() as u64)).collect();
    assert_eq!(rounded, expected);

    let parquet = export("parquet");
    assert!(parquet.status.success() && parquet.stderr.is_empty(), "{parquet:?}");
    std::fs::write(dir.path().join("clipped.parquet"), parquet.stdout).unwrap();
    let sum = "SELECT comm, verdict, CAST(round(sum(socket_seconds) * 1000) AS BIGINT) \
        FROM read_parquet('clipped.parquet') GROUP BY comm, verdict";
    let rows = DUCKDB.run(dir.path(), &[sum]).remove(0);
    let rows = rows.iter().map(|row| ((text(&row[0]), text(&row[1])), row[2].as_u64().unwrap()));
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn what_cannot_be_read_is_said_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, out) = (dir.path().join("missing"), dir.path().join("out.parquet"));
    let export = tcptrace().arg("export").arg(&missing).arg("--out").arg(&out).output().unwrap();
    assert_eq!(export.status.code(), Some(1));
    let stderr = String::from_utf8(export.stderr).unwrap();
    assert!(stderr.contains("cannot open the journal") && stderr.contains("missing"), "{stderr}");
    assert!(!out.exists());
}

#[test]
fn time_of_which_nothing_is_known_is_said_by_export_and_report() {
    let dir = tempfile::tempdir().unwrap();
    let journals = record(dir.path(), &lives());
    // Half an hour before and an hour after.
    let window = ["--from", "2026-11-24T10:30:00Z", "--to", "2026-11-24T14:00:00Z"];
    for (command, format) in [("export", "jsonl"), ("report", "json")] {
        let mut run = tcptrace();
        run.arg(command).arg(&journals[0]).args(["--format", format]).args(window);
        let output = run.env("TZ", "UTC").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert_eq!(
            stderr,
            "web-1: nothing was recorded for 1h 30m, in 2 spans; the longest, of 1h 00m, began \
             2026-11-24 13:00:00\n"
        );
    }
}
