use core::time::Duration;
use std::sync::Arc;

use super::*;
use crate::model::condition::{Measure, Scope};
use crate::model::event::OnCpu;
use crate::model::evidence::{Evidence, Sources};
use crate::model::process::tests::process;
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState, TcpState};
use crate::model::stay::{Ended as EndedStay, EndedBy, Stay};
use crate::model::verdict::find;
use crate::report::samples;

fn look() -> Look {
    Look { color: false, zone: TimeZone::UTC, anchor: samples::anchor() }
}

fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_group_fires_grows_and_is_freed() {
    let mut notice = samples::group();
    let mut text = print(|out| group(out, &look(), &notice));
    notice.status = GroupStatus::Growing;
    notice.members = 2214;
    notice.growth_per_min = Some(12.3);
    text += &print(|out| group(out, &look(), &notice));
    (notice.status, notice.members, notice.peak) = (GroupStatus::Resolved, 0, 2214);
    notice.ended = vec![(EndedBy::ProcessExit, 2214)];
    text += &print(|out| group(out, &look(), &notice));
    insta::assert_snapshot!(text);
}

#[test]
fn nobody_is_named_where_nobody_was_seen() {
    let mut notice = samples::group();
    notice.blame = None;
    insta::assert_snapshot!(print(|out| group(out, &look(), &notice)));
}

#[test]
fn each_socket_by_itself() {
    let firing = samples::alert();
    let ended = EndedStay {
        stay: firing.stay,
        at: firing.at.after(Duration::from_secs(5)),
        by: EndedBy::ClosedWithReset,
        reset_sent: Some(true),
    };
    let mut text = print(|out| alert(out, &look(), &firing));
    text += &print(|out| alert(out, &look(), &firing.resolved(&ended)));
    insta::assert_snapshot!(text);
}

#[test]
fn hostile_names_are_shown_and_not_obeyed() {
    let mut hostile = process(4711, 1, 10);
    hostile.comm = "ja\x1b]0;va\x07\n".into();
    hostile.unit = Some("\u{202e}evil.service".into());
    let mut notice = samples::group();
    notice.blame.as_mut().unwrap().process = Arc::new(hostile);
    let text = print(|out| group(out, &look(), &notice));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains(r"ja\u{1b}]0;va\u{7}\u{a}[4711] \u{202e}evil.service"), "{text}");
}

#[test]
fn colour_is_there_when_asked_for() {
    let look = Look { color: true, ..look() };
    let text = print(|out| group(out, &look, &samples::group()));
    assert!(text.contains("\x1b[1m\x1b[31mSTUCK\x1b[0m"), "{text:?}");
}

#[test]
fn a_table_of_sockets() {
    let firing = samples::alert();
    let evidence = Evidence { holders: None, sources: Sources::default(), ..Evidence::default() };
    let stay = Stay { state: StayState::FinWait2, exact: false, orphan: true, ..firing.stay };
    let finding = find(&stay, &evidence, Duration::from_secs(60));
    let mut sockets = Sockets::new(firing.at);
    let Alert { stay: held, evidence: known, finding: found, .. } = &firing;
    sockets.add(&Row { stay: held, evidence: known, finding: found });
    sockets.add(&Row { stay: &stay, evidence: &evidence, finding: &finding });
    insta::assert_snapshot!(print(|out| sockets.lines().try_for_each(|line| line.write(out))));
}

#[test]
fn one_transition() {
    let event = Transition {
        at: samples::now(),
        key: SocketKey::new(7, 0),
        skaddr: Some(1),
        netns: Some(NetNs(1)),
        endpoints: Endpoints {
            local: "[::1]:80".parse().unwrap(),
            remote: "[::1]:4000".parse().unwrap(),
        },
        old: TcpState::Established,
        new: TcpState::CloseWait,
        circumstances: None,
        progress: None,
        path: None,
        on_cpu: OnCpu { pid: 12, tid: 12, comm: *b"swa\x1bpper\0\0\0\0\0\0\0\0" },
    };
    let text = print(|out| transition(out, &look(), &event, Some(Duration::from_millis(1234))));
    insta::assert_snapshot!(text);
}

#[test]
fn the_account_names_every_loss() {
    let mut account = Summary { elapsed: Duration::from_secs(61), ..Summary::default() };
    account.counts.transitions = 12_004;
    (account.groups, account.groups_resolved) = (1, 1);
    account.lost.recursion = Some(0);
    assert_eq!(
        summary(&account),
        "1m 01s · 12,004 transitions, 0 lost · 1 group fired, 1 resolved"
    );
    (account.lost.ring, account.lost.recursion, account.unwritten) = (1000, Some(2), 3);
    assert_eq!(
        summary(&account),
        "1m 01s · 12,004 transitions, 1,002 lost · 1 group fired, 1 resolved \
         · 1,000 lost in the ring buffer · 2 lost by recursion \
         · 3 lines left out, the reader was too slow"
    );
    account.lost.recursion = None;
    assert!(summary(&account).ends_with("this kernel does not count what its tracepoints skip"));
}

#[test]
fn ages_have_two_units() {
    for (millis, text) in [
        (0, "0 µs"),
        (12, "12 ms"),
        (1250, "1.2 s"),
        (59_999, "59 s"),
        (130_000, "2m 10s"),
        (3_600_000, "1h 00m"),
        (200_000_000, "2d 07h"),
    ] {
        assert_eq!(Age(Duration::from_millis(millis)).to_string(), text);
    }
}

#[test]
fn conditions_come_and_go() {
    let mut notice = samples::condition();
    let mut text = print(|out| condition(out, &look(), &notice));
    notice.measure = Measure::GrowthPerMin(31.5, 20.0);
    notice.scope = Scope::Unit("orders.service".into());
    text += &print(|out| condition(out, &look(), &notice));
    let forecast = samples::group().forecast;
    notice.measure = Measure::FullIn(forecast, Duration::from_secs(3600));
    text += &print(|out| condition(out, &look(), &notice));
    (notice.firing, notice.scope) = (false, Scope::Host);
    notice.at = notice.since.after(Duration::from_secs(90));
    notice.measure = Measure::Sockets(7, 1000);
    text += &print(|out| condition(out, &look(), &notice));
    insta::assert_snapshot!(text);
}
