//! The page that `report` writes, opened from disk in a browser.

#[path = "../fixtures/mod.rs"]
mod fixtures;
mod journal;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::{fs, io, thread};

use serde_json::{Value, json};

use self::journal::{HOUR, hostile, record};

const DRIVER: &str = include_str!("in_chromium.py");

/// How a page is opened.
#[derive(Clone, Copy)]
struct View {
    scripts: bool,
    scheme: &'static str,
    size: (u32, u32),
}

const WIDE: View = View { scripts: true, scheme: "light", size: (1400, 1000) };

/// What came of it.
#[derive(Debug, serde::Deserialize)]
struct Opened {
    /// Of each step.
    values: Vec<Value>,
    /// Console, exceptions, dialogs.
    said: Vec<String>,
    /// Addresses.
    asked: Vec<String>,
    /// Seconds until it was complete.
    loaded: f64,
}

fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}

fn open(page: &Path, view: View, steps: &[Value]) -> Opened {
    let (width, height) = view.size;
    let what = json!({
        "url": address(page), "scripts": view.scripts, "scheme": view.scheme,
        "size": [width, height], "steps": steps,
    });
    let mut python = Command::new("python3");
    python.args(["-c", DRIVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.stderr(Stdio::piped()).spawn().expect("this test needs python3");
    serde_json::to_writer(python.stdin.take().unwrap(), &what).unwrap();
    let output = python.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs Chromium as `chromium`: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Opens it, and sees that it asked for nothing but itself and that nothing was wrong with it.
fn open_quietly(page: &Path, view: View, steps: &[Value]) -> Vec<Value> {
    let opened = open(page, view, steps);
    assert_eq!(opened.said, [] as [String; 0]);
    assert_eq!(opened.asked, [address(page)]);
    opened.values
}

fn evaluate(expression: &str) -> Value {
    json!({"evaluate": expression})
}

fn click(element: &str) -> Value {
    json!({"click": element})
}

/// A place for what is to be looked at by eye.
fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Who is connected to has been obeyed.
fn sink() -> (TcpListener, SocketAddr) {
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = sink.local_addr().unwrap();
    (sink, address)
}

/// The page on a journal of so many stays.
fn page(names: &[String], stays: u64) -> PathBuf {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), names, stays);
    let page = picture(&format!("{stays}.html"));
    let mut report = Command::new(env!("CARGO_BIN_EXE_tcptrace"));
    report.arg("report").arg(dir.path()).args(["--format", "html", "--out"]).arg(&page);
    report.args(["--from", HOUR.0, "--to", HOUR.1]);
    let output = report.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    page
}

/// What hostile names have done by now.
const DAMAGE: &str = "[window.pwned, document.title === 'pwned', Object.keys(Object.prototype)]";

#[test]
#[ignore = "needs Chromium"]
fn hostile_names_are_text_and_nothing_else() {
    let (sink, address) = sink();
    let names = hostile(address);
    let page = page(&names, 400);
    let values = open_quietly(
        &page,
        WIDE,
        &[
            // Everything that is drawn, with what was drawn first.
            evaluate("document.getElementById('paths').innerText"),
            evaluate("document.getElementById('stays').innerText"),
            evaluate("document.getElementById('short').innerText"),
            evaluate("document.getElementById('alerts').innerText"),
            evaluate(
                "[...document.querySelectorAll('.frame')].map(f => f.textContent).join('\\n')",
            ),
            evaluate("document.querySelector('.legend').innerText"),
            json!({"screenshot": picture("hostile.png")}),
            evaluate(
                "document.querySelectorAll('img, svg image, iframe, [onerror], [onload]').length",
            ),
            evaluate(DAMAGE),
        ],
    );
    assert_eq!(values.last(), Some(&json!([null, false, []])));
    assert_eq!(values[7], 0);
    for name in &names {
        let shown = as_shown(name);
        for (place, text) in ["paths", "stays", "short", "alerts", "flame"].iter().zip(&values) {
            // A browser shows several spaces as one, in tables.
            assert!(
                text.as_str().unwrap().contains(&shown),
                "{shown} is not among {place}: {text}"
            );
        }
    }
    sink.set_nonblocking(true).unwrap();
    let sent = sink.accept().map(|(_, from)| from);
    assert_eq!(sent.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
}

/// A name with what reorders or is no character as its number.
fn as_shown(name: &str) -> String {
    let shown = |c: char| match c {
        '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{2066}' => format!("\\u{{{:x}}}", u32::from(c)),
        c if c.is_control() => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    name.chars().map(shown).collect()
}

/// The same names on a page that takes no care: what the other test looks for is to be seen.
#[test]
#[ignore = "needs Chromium"]
fn the_same_names_unescaped_do_harm() {
    let (sink, address) = sink();
    let (connected, connections) = channel();
    // The page is complete once it has an answer to everything, be it that there is none.
    thread::spawn(move || sink.incoming().all(|one| connected.send(one.map(drop)).is_ok()));
    let careless = picture("careless.html");
    // A comment that one of them opens ends here.
    let names = hostile(address).join("<!-- -->");
    fs::write(&careless, format!("<!doctype html><title>x</title><body>{names}")).unwrap();
    let opened = open(&careless, WIDE, &[evaluate(DAMAGE)]);
    let damage = &opened.values[0];
    assert!(damage[0].is_string() && damage[1] == true, "{opened:?}");
    assert!(opened.asked.len() > 3 && !opened.said.is_empty(), "{opened:?}");
    assert!(connections.try_recv().unwrap().is_ok());
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_can_be_used() {
    let names = ["java", "node", "nginx"].map(String::from);
    let page = page(&names, 900);
    let frame = |name: &str| {
        format!(
            "[...document.querySelectorAll('.frame')].find(f => f.textContent.startsWith('{name}'))"
        )
    };
    let frames =
        "[...document.querySelectorAll('.frame')].map(f => [f.textContent, f.style.width])";
    let column =
        "[...document.querySelectorAll('#stays tbody tr')].map(r => +r.cells[4].dataset.v)";
    let heading =
        "[...document.querySelectorAll('#stays th button')].find(b => b.textContent === 'Lasted')";
    let rows = "[...document.querySelectorAll('#stays tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)";
    let values = open_quietly(
        &page,
        WIDE,
        &[
            evaluate(frames),
            click(&frame("node")),
            evaluate(frames),
            evaluate("document.querySelectorAll('.frame.above').length > 0"),
            click(
                "[...document.querySelectorAll('#flame button')].find(b => b.textContent === 'Zoom out')",
            ),
            evaluate(frames),
            // Search.
            click("document.querySelector('#flame input')"),
            json!({"type": "leak_3"}),
            evaluate(
                "[...document.querySelectorAll('.frame.hit')].map(f => f.getAttribute('aria-label').split(',')[0])",
            ),
            evaluate("document.querySelector('#flame output').textContent"),
            // Sort, down and up.
            click(heading),
            evaluate(column),
            click(heading),
            evaluate(column),
            // Filter.
            click("document.querySelector('#stays input')"),
            json!({"type": "nginx"}),
            evaluate(rows),
            // A series that is hidden, and a verdict that is explained.
            evaluate("document.querySelectorAll('.area').length"),
            click("document.querySelector('.legend button')"),
            evaluate("document.querySelectorAll('.area').length"),
            click("document.querySelector('#paths td a')"),
            evaluate("document.querySelector(':target dt').textContent"),
        ],
    );
    let [all, zoomed, out] = [0, 2, 5].map(|step| values[step].as_array().unwrap());
    assert!(zoomed.len() < all.len(), "{zoomed:?}");
    let of = |frames: &[Value], name: &str| {
        let frame = frames.iter().find(|frame| frame[0].as_str().unwrap().starts_with(name));
        frame.map(|frame| frame[1].as_str().unwrap().to_owned())
    };
    assert_ne!(of(all, "node").unwrap(), "100%");
    assert_eq!((of(zoomed, "node").as_deref(), of(zoomed, "java")), (Some("100%"), None));
    assert_eq!((&values[3], all), (&true.into(), out));
    let hits = values[8].as_array().unwrap();
    let sought = |hit: &Value| hit.as_str().unwrap().starts_with("leak_3");
    assert!(!hits.is_empty() && hits.iter().all(sought), "{hits:?}");
    assert!(values[9].as_str().unwrap().contains(" frames, "), "{}", values[9]);
    let lasted =
        |step: usize| -> Vec<u64> { serde_json::from_value(values[step].clone()).unwrap() };
    let (down, up) = (lasted(11), lasted(13));
    assert!(down.is_sorted_by(|a, b| a >= b) && up.is_sorted() && down != up);
    let rows = values[16].as_array().unwrap();
    let nginx = |row: &Value| row.as_str().unwrap().starts_with("nginx");
    assert!(!rows.is_empty() && rows.iter().all(nginx) && rows.len() < up.len(), "{rows:?}");
    assert_eq!(values[17].as_u64(), values[19].as_u64().map(|left| left + 1));
    assert_eq!(values[21], "eof_read");
}

#[test]
#[ignore = "needs Chromium"]
fn light_and_dark_wide_and_narrow_and_on_paper() {
    let page = page(&["java", "node", "nginx"].map(String::from), 1200);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        for (name, size) in [("wide", (1400, 1000)), ("narrow", (390, 844))] {
            let steps = [
                evaluate("getComputedStyle(document.body).backgroundColor"),
                evaluate("getComputedStyle(document.body).color"),
                evaluate("document.documentElement.scrollWidth - innerWidth"),
                json!({"screenshot": picture(&format!("{scheme}-{name}.png"))}),
            ];
            let values = open_quietly(&page, View { scheme, size, ..WIDE }, &steps);
            assert_eq!(values[2], 0, "{scheme}, {name}: it is wider than the window");
            assert_ne!(values[0], values[1]);
            grounds.push(values[0].clone());
        }
    }
    assert_eq!(grounds[0], grounds[1]);
    assert_eq!(grounds[2], grounds[3]);
    assert_ne!(grounds[0], grounds[2]);
    let printed = picture("printed.pdf");
    open_quietly(&page, View { scheme: "dark", ..WIDE }, &[json!({"pdf": printed})]);
    assert!(fs::read(printed).unwrap().starts_with(b"%PDF-"));
}

#[test]
#[ignore = "needs Chromium"]
fn without_scripts_the_content_is_there() {
    let page = page(&["java".to_owned(), "node".to_owned()], 500);
    let values = open_quietly(
        &page,
        View { scripts: false, ..WIDE },
        &[
            evaluate("document.getElementById('chart-here').childElementCount"),
            evaluate("document.querySelector('#flame noscript').innerText"),
            evaluate("document.querySelectorAll('#stays tbody tr').length"),
            evaluate("document.querySelector('h1').innerText"),
            json!({"screenshot": picture("no-scripts.png")}),
        ],
    );
    assert_eq!(values[0], 0, "scripts have run");
    assert!(values[1].as_str().unwrap().contains("the code paths below have the numbers"));
    assert_eq!(values[2], 200);
    assert!(values[3].as_str().unwrap().ends_with(" connections in CLOSE_WAIT"), "{}", values[3]);
}

#[test]
#[ignore = "needs Chromium"]
fn a_hundred_thousand_stays_open_at_once() {
    let (_sink, address) = sink();
    let page = page(&hostile(address), 100_000);
    let size = fs::metadata(&page).unwrap().len();
    assert!(size < 4 << 20, "{size} bytes");
    let opened = open(&page, WIDE, &[evaluate("document.querySelector('#stays .lead').innerText")]);
    assert_eq!(opened.values[0], "The longest 200 of 100,000, each one socket.");
    assert!(opened.loaded < 5.0, "{} s", opened.loaded);
}
