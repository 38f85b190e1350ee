//! What the tests of all formats print.

pub mod past;

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::alert::Alert;
use crate::model::code::{CodePath, Did};
use crate::model::condition::{ConditionNotice, Measure, Scope};
use crate::model::evidence::{Evidence, Sources, ThreadState, Timer};
use crate::model::forecast::{Forecast, Resource};
use crate::model::group::{GroupNotice, GroupStatus, Peer};
use crate::model::process::tests::process;
use crate::model::process::{Holder, Process};
use crate::model::proof::Proof;
use crate::model::rules::{Severity, Urgency};
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState, TcpState};
use crate::model::stay::{Stay, StayId};
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::{Confidence, Verdict, find};

pub fn now() -> Instant {
    Instant::from_nanos(1_000_000_000_000)
}

pub fn anchor() -> Anchor {
    let wall = "2026-03-01T12:03:31.000000042Z".parse().unwrap();
    Anchor { monotonic: now(), wall }
}

fn java() -> Process {
    Process {
        comm: "java".into(),
        unit: Some("orders.service".into()),
        start: Some(Timestamp::UNIX_EPOCH),
        ..process(4711, 1, 10)
    }
}

pub fn alert() -> Alert {
    let since = now().before(Duration::from_secs(130));
    let stay = Stay {
        id: StayId::default(),
        key: SocketKey::new(1 << 60, 0),
        cookie: Some(1 << 60),
        netns: Some(NetNs(4_026_531_840)),
        endpoints: Endpoints {
            local: "10.0.3.1:41000".parse().unwrap(),
            remote: "10.0.3.7:443".parse().unwrap(),
        },
        state: StayState::CloseWait,
        orphan: false,
        since,
        since_earliest: since,
        exact: true,
        entered: since,
        circumstances: None,
        progress: None,
        progress_at: since,
        opened: None,
        accepted: false,
        shut: None,
    };
    let evidence = Evidence {
        looked_at: now(),
        state: Some(TcpState::CloseWait),
        holders: Some(vec![Holder { process: Arc::new(java()), fds: vec![9, 12] }]),
        inode: Some(12_345),
        recv_queue: Some(1),
        send_queue: Some(0),
        last_send: Some(Duration::from_secs(200)),
        timer: Timer::Keepalive(Duration::from_secs(7)),
        peer_holders: Some(vec![]),
        sources: Sources {
            iterator: true,
            sock_diag: true,
            sock_diag_asked: true,
            ..Sources::default()
        },
        ..Evidence::default()
    };
    let threshold = Duration::from_secs(60);
    Alert {
        id: "01234567-1000000000000000-CLOSE_WAIT-41000-443".into(),
        group: "01234567-4711.10-eof_unread".into(),
        stay,
        at: now(),
        threshold,
        urgency: Urgency::default(),
        finding: Arc::new(find(&stay, &evidence, threshold)),
        evidence: Arc::new(evidence),
        ended_by: None,
        reset_sent: None,
        withdrawn: false,
    }
}

pub fn group() -> GroupNotice {
    let alert = alert();
    GroupNotice {
        id: alert.group,
        at: now(),
        status: GroupStatus::Firing,
        urgency: Urgency::default(),
        verdict: Verdict::EofUnread,
        confidence: Confidence::Low,
        state: StayState::CloseWait,
        blame: alert.finding.blame.clone(),
        members: 214,
        peak: 214,
        oldest: Duration::from_secs(130),
        exact: true,
        growth_per_min: None,
        examples: vec![alert.id],
        peers: vec![
            (Peer { ip: "10.0.3.7".parse().unwrap(), port: Some(443) }, 198),
            (Peer { ip: "10.0.3.9".parse().unwrap(), port: None }, 16),
        ],
        ended: vec![],
        code: Some(CodePath {
            did: Did::Read,
            line: "com.acme.Pool.borrow ← com.acme.OrderClient.send".into(),
        }),
        caveat: None,
        threads: Some(ThreadState::InPoll),
        proof: Some(Proof { since: now(), all: 10_000, closed: 9786 }),
        withdrawn: 0,
        forecast: Some(Forecast {
            of: Resource::Descriptors,
            used: 812,
            limit: 1024,
            full_in: Duration::from_secs(18 * 60),
        }),
    }
}

pub fn condition() -> ConditionNotice {
    ConditionNotice {
        id: "01234567-too many-4711.10".into(),
        rule: "too many\u{1b}[31m".into(),
        severity: Severity::Critical,
        firing: true,
        at: now(),
        since: now(),
        scope: Scope::Process(Arc::new(java())),
        measure: Measure::Sockets(1214, 1000),
    }
}
