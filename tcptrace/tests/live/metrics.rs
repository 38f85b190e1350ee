//! What `watch --listen` serves, scraped by a real Prometheus, and what its clients cannot do.

mod health;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{Namespace, run, ss, wait_until};
use crate::load::check_gaps;
use crate::watch::{Pair, pair};
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};
use crate::withheld;

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = crate::trials_of_both_probes![its_own_connections_are_seen];
    trials.extend(crate::trials![
        paths_and_methods,
        addresses,
        promtool_has_no_objections,
        prometheus_scrapes_a_leak,
        nobody_is_kept_out_by_connections_that_are_held,
    ]);
    trials.extend(health::trials());
    trials
}

/// A tcptrace that serves on loopback.
pub struct Served {
    pub tcptrace: Tcptrace,
    address: SocketAddr,
}

impl Served {
    pub fn start(args: &[&str]) -> Self {
        let mut command = command();
        command.args(["watch", "--listen", "127.0.0.1:0", "-o", "json"]).args(args);
        Self::of(Tcptrace::spawn(&mut command))
    }

    fn of(mut tcptrace: Tcptrace) -> Self {
        tcptrace.wait_ready();
        let url = tcptrace.said.iter().find_map(|line| line.strip_prefix("metrics on http://"));
        let address = url.and_then(|url| url.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("no address: {:?}", tcptrace.said));
        Self { address: address.parse().unwrap(), tcptrace }
    }

    fn get(&self, path: &str) -> Response {
        ask(self.address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap()
    }

    /// The value of a sample, by its name and labels as they are written; 0 if it is not there.
    pub fn value(&self, sample: &str) -> f64 {
        let Response { status, body, .. } = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        let value = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    header: String,
    body: String,
}

/// Asks as `request` says, and reads to the end.
fn ask(address: SocketAddr, request: &str) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (header, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.unwrap_or(0), header: header.into(), body: body.into() })
}

fn paths_and_methods() {
    let served = Served::start(&["--no-record"]);
    let index = served.get("/");
    assert_eq!(index.status, 200);
    assert!(index.body.contains("/metrics") && index.body.contains("/healthz"), "{}", index.body);
    assert_eq!(served.get("/healthz").status, 200);
    assert_eq!(served.get("/metrics/").status, 404);
    assert_eq!(served.get("/../etc/passwd").status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let refused = ask(served.address, &request).unwrap();
        assert_eq!(refused.status, 405, "{method}");
        assert!(refused.header.contains("allow: GET, HEAD"), "{}", refused.header);
    }
    let head = ask(served.address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let openmetrics = "GET /metrics HTTP/1.1\r\nHost: x\r\n\
                       Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let openmetrics = ask(served.address, openmetrics).unwrap();
    assert!(openmetrics.header.contains("application/openmetrics-text; version=1.0.0"));
    assert!(openmetrics.body.ends_with("\n# EOF\n"), "{}", openmetrics.body);
    let before = served.get("/metrics");
    assert!(before.header.contains("text/plain; version=0.0.4"), "{}", before.header);
    // A header without end, and one that is none.
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 17));
    assert!(ask(served.address, &long).map_or(true, |answer| answer.status >= 400));
    assert!(ask(served.address, "\0\u{1}\r\n\r\n").map_or(true, |answer| answer.status >= 400));
    assert_eq!(served.get("/").status, 200);
    served.tcptrace.stop();
}

fn addresses() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, out, err) = finish(command().args(["watch", "--listen", &address]));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.starts_with(&format!("error: cannot listen on {address}: Address ")), "{err}");
    assert!(err.contains("ss -Hltnp"), "{err}");
    let open = ["watch", "--no-record", "--for", "1ms", "--listen", "0.0.0.0:0"];
    let (code, _, err) = finish(command().args(open));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("is open to the network"), "{err}");
    let closed = ["watch", "--no-record", "--for", "1ms", "--listen", "[::1]:0"];
    let (code, _, err) = finish(command().args(closed));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("metrics on http://[::1]:") && !err.contains("open to"), "{err}");
    let (code, _, err) = finish(command().args(["watch", "--listen", "localhost:http"]));
    assert_eq!(code, Some(2), "{err}");
}

/// With either probe, and filters do not hide them.
fn its_own_connections_are_seen() {
    let namespace = Namespace::new();
    let served = Served::start(&["--no-record", "--netns", &namespace.name, "--port", "1"]);
    let age = || served.value("tcptrace_own_connection_age_seconds");
    let mut before = age();
    // The second one makes it younger.
    wait_until("no connection was seen", age, |&age| {
        let younger = age < before;
        before = age;
        younger
    });
    let health = served.get("/healthz");
    assert_eq!(health.status, 200, "{}", health.body);
    assert_eq!(served.value("tcptrace_healthy"), 1.0);
    // They are never half-closed.
    assert_eq!(served.value("tcptrace_stays_total{state=\"CLOSE\"}"), 0.0);
    served.tcptrace.stop();
}

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/prometheus").join(name)
}

fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool; cargo xtask test installs what the tests need");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
}

fn promtool_has_no_objections() {
    promtool(&["check", "rules", contrib("tcptrace.rules.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", contrib("tcptrace.rules.test.yml").to_str().unwrap()], "");
    // With something of everything: a leak, sockets that are over, a record.
    let namespace = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let mut served = Served::start(&["--close-wait", "200ms", "--netns", &namespace.name]);
    let leaked = pair(&mut server, &mut client, "127.0.0.1");
    client.close(leaked.client);
    server.churn("127.0.0.1", 10);
    served.tcptrace.alert(leaked.server.cookie, "firing");
    let stuck = || served.value("tcptrace_alerts_firing");
    wait_until("the alert is not counted", stuck, |&stuck| stuck == 1.0);
    let journal = || served.value("tcptrace_journal_entries_total");
    wait_until("nothing is recorded", journal, |&entries| entries > 0.0);
    assert!(served.value("tcptrace_journal_size_bytes") > 0.0);
    promtool(&["check", "metrics"], &served.get("/metrics").body);
    served.tcptrace.stop();
}

/// A Prometheus of the test's own. Dropping it ends it.
struct Prometheus {
    child: Child,
    dir: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes `target` every second.
    fn start(target: SocketAddr) -> Self {
        let dir = fresh_directory();
        fs::create_dir_all(&dir).unwrap();
        let rules = contrib("tcptrace.rules.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: tcptrace\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        fs::write(dir.join("prometheus.yml"), config).unwrap();
        // It cannot be asked for any port that is free.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus; cargo xtask test installs what the tests need");
        Self { child, dir, address: free }
    }

    fn api(&self, path: &str) -> Option<Value> {
        // In the old version the body comes as it is.
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = ask(self.address, &request).ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    /// The value that `query` has now; `None` while there is none.
    fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.api(&format!("/api/v1/query?query={encoded}"))?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    fn wait_for(&self, query: &str, wanted: f64) {
        wait_until(query, || self.query(query), |&value| value == Some(wanted));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            std::io::stderr().write_all(log.as_bytes()).unwrap();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn prometheus_scrapes_a_leak() {
    const LEAKED: usize = 7;
    let namespace = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let served =
        Served::start(&["--close-wait", "500ms", "--netns", &namespace.name, "--no-record"]);
    let prometheus = Prometheus::start(served.address);
    prometheus.wait_for("up{job=\"tcptrace\"}", 1.0);
    let began = Instant::now();
    let leaked: Vec<Pair> = (0..LEAKED)
        .map(|_| {
            let leaked = pair(&mut server, &mut client, "127.0.0.1");
            client.close(leaked.client);
            leaked
        })
        .collect();
    let shown = || {
        let of_one = |pair: &Pair| ss(Some(&namespace), pair.listener.local_port);
        let sockets = leaked.iter().flat_map(of_one);
        sockets.filter(|socket| socket.state == "CLOSE-WAIT").count()
    };
    let by_ss = wait_until("ss shows no leak", shown, |&shown| shown == LEAKED) as f64;
    prometheus.wait_for("tcptrace_half_closed_sockets{state=\"CLOSE_WAIT\"}", by_ss);
    prometheus.wait_for("sum(tcptrace_stuck_sockets{state=\"CLOSE_WAIT\"})", by_ss);
    prometheus.wait_for("sum(tcptrace_unit_stuck_sockets)", by_ss);
    prometheus.wait_for(
        "tcptrace_half_closed_sockets_by_age{state=\"CLOSE_WAIT\",up_to=\"+Inf\"}",
        by_ss,
    );
    // A leak that has not ended has an age, which grows.
    let oldest = || {
        let age = prometheus.query("tcptrace_half_closed_oldest_age_seconds{state=\"CLOSE_WAIT\"}");
        (age.unwrap(), began.elapsed().as_secs_f64())
    };
    let (age, most) = wait_until("too young", oldest, |&(age, _)| age > 3.0);
    assert!(age <= most, "older than the leak: {age} s of {most} s");
    for leaked in leaked {
        server.close(leaked.server);
    }
    prometheus.wait_for("tcptrace_half_closed_sockets{state=\"CLOSE_WAIT\"}", 0.0);
    let ended = "tcptrace_stay_duration_seconds_count{state=\"CLOSE_WAIT\",ended_by=\"closed\"}";
    prometheus.wait_for(ended, by_ss);
    prometheus.wait_for("tcptrace_alerts_firing", 0.0);
    prometheus.wait_for("sum(tcptrace_lost_events_total)", 0.0);
    let rules = prometheus.api("/api/v1/rules").unwrap();
    for group in rules["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule:#}");
        }
    }
    served.tcptrace.stop();
}

/// How many connections the server has, by `ss`: whatever its clients believe.
fn established(address: SocketAddr) -> usize {
    let source = format!("sport = :{}", address.port());
    run(&["ss", "-Htn", "state", "established", &source]).lines().count()
}

fn nobody_is_kept_out_by_connections_that_are_held() {
    const HELD: usize = 1000;
    let before = withheld::so_far();
    let mut served = Served::start(&["--close-wait", "500ms", "--no-record"]);
    let (mut server, mut client) = (Actor::start(), Actor::start());
    // Held and silent; a header that comes byte by byte and never ends; a question whose answer is
    // never read.
    let mut held: Vec<TcpStream> = Vec::new();
    for i in 0..HELD {
        let mut stream = TcpStream::connect(served.address).unwrap();
        let begin = match i % 3 {
            0 => "",
            1 => "GET /metrics HTTP/1.1\r\nHo",
            _ => "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        // It may have been closed in favour of others already.
        let _ = stream.write_all(begin.as_bytes());
        held.push(stream);
    }
    assert_eq!(served.get("/metrics").status, 200, "the newest is served");
    wait_until("more are open than may be", || established(served.address), |&open| open <= 64);
    let leaked = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(leaked.client);
    served.tcptrace.alert(leaked.server.cookie, "firing");
    assert!(began.elapsed() < Duration::from_secs(5), "late: {:?}", began.elapsed());
    let drip = || {
        for stream in &mut held {
            let _ = stream.write_all(b"x");
        }
        assert_eq!(served.get("/metrics").status, 200);
        assert_eq!(served.get("/healthz").status, 200);
        established(served.address)
    };
    // Whoever goes on for ever is closed.
    wait_until("some are open for ever", drip, |&open| open <= 1);
    let lines = served.tcptrace.stop();
    let summary = lines.last().unwrap();
    assert_eq!(summary["lost"]["ring"], 0, "{summary:#}");
    check_gaps(summary, withheld::so_far() - before);
}
