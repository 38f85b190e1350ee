use core::time::Duration;
use std::sync::Arc;

use insta::assert_snapshot;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::model::alert::Alert;
use crate::model::code::{CodePath, Did, Frame as CodeFrame, Stack};
use crate::model::engine::Output;
use crate::model::event::Lost;
use crate::model::evidence::Evidence;
use crate::model::figures::Sockets;
use crate::model::filter::Filter;
use crate::model::process::{Descriptors, Holder, Process};
use crate::model::proof::Proof;
use crate::model::recording::Frames;
use crate::model::recording::player::Player;
use crate::model::stay::{Ended, EndedBy, Stay, StayId};
use crate::model::time::Anchor;
use crate::model::top::key::Key;
use crate::model::verdict::{Blame, Finding, Verdict};
use crate::report::samples;

mod picture;

fn frame(color: bool) -> Frame {
    Frame {
        color,
        zone: TimeZone::UTC,
        host: "web-3".into(),
        source: "tp_btf, EOF evidence, iterator".into(),
    }
}

fn after(seconds: u64) -> Anchor {
    let start = samples::anchor();
    let monotonic = start.monotonic.after(Duration::from_secs(seconds));
    Anchor { monotonic, wall: start.wall_at(monotonic) }
}

struct Leak {
    pid: u32,
    comm: &'static str,
    unit: Option<&'static str>,
    verdict: Verdict,
    code: Option<&'static [&'static str]>,
    remote: &'static str,
}

const LEAKS: [Leak; 3] = [
    Leak {
        pid: 4711,
        comm: "java",
        unit: Some("orders.service"),
        verdict: Verdict::EofRead,
        code: Some(&["com.acme.Pool.borrow", "com.acme.OrderClient.send", "Main.main"]),
        remote: "10.0.3.7:443",
    },
    Leak {
        pid: 812,
        comm: "nginx",
        unit: Some("nginx.service"),
        verdict: Verdict::EofUnread,
        code: None,
        remote: "10.0.3.9:8080",
    },
    Leak {
        pid: 977,
        comm: "python3",
        unit: None,
        verdict: Verdict::PeerNotClosing,
        code: Some(&["half_close (worker.py:41)", "run (worker.py:12)"]),
        remote: "192.0.2.17:6379",
    },
];

impl Leak {
    fn alert(&self, serial: u64, age: u64, now: Anchor, open: u64) -> Alert {
        let alert = samples::alert();
        let since = now.monotonic.before(Duration::from_secs(age));
        let process = Arc::new(Process {
            pid: self.pid,
            comm: self.comm.into(),
            unit: self.unit.map(Into::into),
            cgroup: None,
            descriptors: Some(Descriptors { open, limit: 1024 }),
            ..(*alert.finding.blame.as_ref().unwrap().process).clone()
        });
        let stack = self.code.map(|functions| {
            let function =
                |name: &&str| CodeFrame { function: Some((*name).into()), ..CodeFrame::default() };
            Arc::new(Stack { frames: functions.iter().map(function).collect(), complete: true })
        });
        let code =
            self.code.map(|path| CodePath { did: Did::Read, line: path.join(" ← ").into() });
        let blame = alert.finding.blame.clone().unwrap();
        let mut endpoints = alert.stay.endpoints;
        endpoints.remote = self.remote.parse().unwrap();
        endpoints.local.set_port(41_000 + serial as u16 % 10_000);
        Alert {
            stay: Stay {
                id: StayId::of(serial),
                endpoints,
                since,
                since_earliest: since,
                ..alert.stay
            },
            at: now.monotonic,
            finding: Arc::new(Finding {
                verdict: self.verdict,
                code,
                blame: Some(Blame { process: Arc::clone(&process), ..blame }),
                ..(*alert.finding).clone()
            }),
            evidence: Arc::new(Evidence {
                looked_at: now.monotonic,
                holders: Some(vec![Holder { process, fds: vec![serial as u32 + 9] }]),
                stack,
                proof: Some(Proof { since: now.monotonic, all: 10_000, closed: 9_786 }),
                ..(*alert.evidence).clone()
            }),
            ..alert
        }
    }
}

fn tell(top: &mut Top, alert: Alert, now: Anchor) {
    top.tell(Output::Alert(Arc::new(alert)), now);
}

fn beat(top: &mut Top, seconds: u64, stuck: u64) {
    let mut figures = Sockets::default();
    for _ in 0..stuck + 12 {
        figures.ages[0].add(Duration::from_secs(9));
    }
    figures.counts.transitions = seconds * 1_204;
    top.beat(after(seconds), &figures, Lost::default());
}

/// Three leaks: one grows, one has come to rest, one shrinks.
fn leaking() -> Top {
    let mut top = Top::new(after(0));
    let [java, nginx, python] = &LEAKS;
    for serial in 0..40 {
        tell(&mut top, nginx.alert(1_000 + serial, 900 + serial, after(0), 96), after(0));
    }
    let waiting: Vec<_> =
        (0..30).map(|serial| python.alert(2_000 + serial, 130 + serial, after(0), 310)).collect();
    waiting.iter().for_each(|alert| tell(&mut top, alert.clone(), after(0)));
    beat(&mut top, 0, 70);
    for second in 1..=60u64 {
        for i in 0..second % 4 {
            let open = 700 + second * 2;
            tell(
                &mut top,
                java.alert(second * 4 + i, 60 + second, after(second), open),
                after(second),
            );
        }
        if second % 3 == 0 {
            let alert = &waiting[(second / 3) as usize];
            let at = after(second).monotonic;
            let ended = Ended { stay: alert.stay, at, by: EndedBy::PeerClosed, reset_sent: None };
            tell(&mut top, alert.clone().resolved(&ended), after(second));
        }
        beat(&mut top, second, 70 + second);
    }
    top
}

fn drawn(top: &mut Top, width: u16, height: u16, color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|f| {
            let area = f.area();
            draw(f.buffer_mut(), area, top, &frame(color));
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(top: &mut Top, width: u16, height: u16) -> String {
    lines(&drawn(top, width, height, false))
}

fn press(top: &mut Top, keys: &str) {
    for c in keys.chars() {
        top.handle(match c {
            '⏎' => Key::Enter,
            '↓' => Key::Down,
            '←' => Key::Escape,
            c => Key::Char(c),
        });
    }
}

#[test]
fn a_leak_at_80_by_24_and_wider() {
    assert_snapshot!(text(&mut leaking(), 80, 24));
    assert_snapshot!(text(&mut leaking(), 140, 24));
}

/// A recording through the same core and onto the screen, as `--replay` does it.
#[test]
fn a_recording_is_drawn() {
    let recorded = crate::model::recording::tests::recorded();
    let mut frames = Frames::open(&recorded[..]).unwrap();
    let mut player = Player::new(&frames.next_frame().unwrap().unwrap().unwrap()).unwrap();
    let mut top = Top::new(player.now());
    let mut screens = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        if let Some(now) = player.play(&frame.unwrap()).unwrap() {
            while let Some(output) = player.poll() {
                top.tell(output, now);
            }
            top.beat(now, &player.engine().figures(now.monotonic), player.lost());
            screens.push(text(&mut top, 100, 12));
        }
    }
    assert_snapshot!(screens.join("────\n"));
}

#[test]
fn rows_by_everything_else() {
    let mut top = leaking();
    for turn in ["by_unit", "by_verdict", "by_peer", "by_code_path"] {
        press(&mut top, "g");
        assert_snapshot!(turn, text(&mut top, 100, 10));
    }
}

#[test]
fn the_sockets_of_a_row_and_one_of_them() {
    let mut top = leaking();
    press(&mut top, "⏎↓");
    assert_snapshot!(text(&mut top, 80, 12));
    assert_snapshot!(text(&mut top, 140, 12));
    press(&mut top, "⏎");
    assert_snapshot!(text(&mut top, 100, 44));
}

#[test]
fn a_flame_and_a_part_of_it() {
    let mut top = leaking();
    press(&mut top, "f");
    assert_snapshot!(text(&mut top, 80, 16));
    press(&mut top, "↓↓↓⏎");
    assert_snapshot!(text(&mut top, 80, 16));
}

#[test]
fn keys_are_explained_and_a_filter_is_typed() {
    let mut top = leaking();
    press(&mut top, "?");
    assert_snapshot!(text(&mut top, 80, 24));
    press(&mut top, "?/--pid 8");
    assert_snapshot!(text(&mut top, 80, 10));
    top.filter("--pid 8x".into(), Err("invalid value '8x' for '--pid <PID>'".into()));
    assert_snapshot!(text(&mut top, 80, 10));
    top.filter("--pid 8".into(), Ok(Filter { pids: vec![8], ..Filter::default() }));
    press(&mut top, " ");
    assert_snapshot!(text(&mut top, 80, 10));
}

#[test]
fn nothing_at_all_is_good_news() {
    assert_snapshot!(text(&mut Top::new(after(0)), 80, 8));
}

#[test]
fn no_size_is_too_small() {
    for keys in ["", "⏎", "⏎⏎", "f", "f↓↓↓⏎", "?", "/--pid 77777777777777777777777777777777"]
    {
        let mut top = leaking();
        press(&mut top, keys);
        for width in 0..=24 {
            for height in 0..=12 {
                drawn(&mut top, width, height, true);
            }
        }
        drawn(&mut top, 300, 3, true);
    }
    assert_snapshot!(text(&mut leaking(), 20, 5));
}

#[test]
fn colours_are_the_sixteen_or_none() {
    use ratatui::style::Color;
    let mut top = leaking();
    for keys in ["", "⏎", "⏎", "f", "?"] {
        press(&mut top, keys);
        for cell in &drawn(&mut top, 80, 24, true).content {
            let sixteen = |color| !matches!(color, Color::Rgb(..) | Color::Indexed(_));
            assert!(sixteen(cell.fg) && sixteen(cell.bg), "{cell:?}");
        }
        for cell in &drawn(&mut top, 80, 24, false).content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
    }
}

#[test]
fn hostile_names_are_harmless_and_cut_by_columns() {
    let mut top = Top::new(after(0));
    let leak = |comm, unit, code| Leak { comm, unit, code, pid: 7, ..LEAKS[0] };
    let leaks = [
        leak("\x1b[2J\x1b]0;x\x07\n", Some("\u{202e}evil\u{9b}31m"), None),
        Leak { pid: 8, ..leak("汉字汉字汉字汉字", Some("订单服务.service"), None) },
        Leak {
            pid: 9,
            ..leak("e\u{301}\u{301}\u{200d}", None, Some(&["\x1b[31m<script>\r\nf" as &str]))
        },
    ];
    for (serial, leak) in (0..).zip(&leaks) {
        tell(&mut top, leak.alert(serial, 70, after(0), 5), after(0));
    }
    for keys in ["", "⏎", "⏎", "←←↓⏎⏎", "←←↓⏎⏎", "f", "fg", "g", "g", "g"] {
        press(&mut top, keys);
        for (width, height) in [(80, 24), (41, 12), (200, 50)] {
            let buffer = drawn(&mut top, width, height, true);
            for cell in &buffer.content {
                assert!(!cell.symbol().chars().any(char::is_control), "{cell:?}");
                assert!(!cell.symbol().contains('\u{202e}'), "{cell:?}");
            }
        }
    }
    press(&mut top, "g←");
    assert_snapshot!(text(&mut top, 80, 8));
}

#[test]
fn fifty_thousand_are_drawn_in_no_time() {
    let now = after(0);
    let mut top = Top::new(now);
    for serial in 0..50_000 {
        tell(&mut top, LEAKS[serial as usize % 3].alert(serial, 60 + serial % 999, now, 9), now);
    }
    beat(&mut top, 1, 50_000);
    // A debug build on a busy machine: a release is a tenth of this.
    for keys in ["", "⏎", "⏎", "f", "fgggg", "⏎"] {
        press(&mut top, keys);
        let began = std::time::Instant::now();
        (0..5).for_each(|_| _ = drawn(&mut top, 200, 50, true));
        let each = began.elapsed() / 5;
        assert!(each < Duration::from_millis(100), "{keys}: {each:?}");
    }
}

#[test]
fn what_is_on_the_screen_becomes_a_report() {
    let mut top = leaking();
    let Report::Text(text) = report(&mut top, &frame(true)) else { panic!("no text") };
    assert_snapshot!(text);
    press(&mut top, "f");
    let Report::Flame(profile) = report(&mut top, &frame(true)) else { panic!("no flame") };
    let mut svg = Vec::new();
    write_flame(&mut svg, &profile, &frame(true)).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    assert!(svg.contains("com.acme.Pool.borrow") && svg.contains("orders.service"), "{svg}");
}
