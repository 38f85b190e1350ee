use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::model::group::GroupStatus;
use crate::model::process::Process;
use crate::model::verdict::Blame;
use crate::report::samples;

/// What is told of the sample of all formats.
pub fn sample_group() -> Message {
    Message {
        host: "web-3".into(),
        boot_id: "0123456789".into(),
        anchor: samples::anchor(),
        told: Told::Group(Box::new(samples::group())),
    }
}

/// The same by another id.
pub fn group(id: &str, status: GroupStatus) -> Arc<Message> {
    let mut message = sample_group();
    if let Told::Group(notice) = &mut message.told {
        notice.id = id.into();
        notice.status = status;
    }
    Arc::new(message)
}

/// The same of a process with this name.
pub fn named(comm: &str) -> Message {
    let mut message = sample_group();
    if let Told::Group(notice) = &mut message.told {
        let blame = notice.blame.clone().unwrap();
        let process = Process { comm: comm.to_owned(), unit: None, ..(*blame.process).clone() };
        notice.blame = Some(Blame { process: Arc::new(process), ..blame });
    }
    message
}

/// A receiver that the test plays itself.
struct Played {
    came: Sender<String>,
    answers: Receiver<Result<String, Failure>>,
}

impl Deliver for Played {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        self.came.send(format!("{} {}", message.id(), message.status())).unwrap();
        self.answers.recv().unwrap()
    }
}

fn played() -> (Worker, Receiver<String>, Sender<Result<String, Failure>>) {
    let ((came, comes), (answer, answers)) = (channel(), channel());
    let common = Common {
        name: "played",
        kind: "webhook",
        severity: crate::model::rules::Severity::Info,
        timeout: Duration::from_secs(1),
        retry_for: Duration::from_secs(3600),
        queue: 2,
    };
    let worker = Worker::start(Box::new(Played { came, answers }), common, |_| {}).unwrap();
    (worker, comes, answer)
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_failed_is_sent_again_as_it_is_by_then() {
    let (worker, comes, answer) = played();
    worker.push(&group("a", GroupStatus::Firing));
    assert_eq!(comes.recv_timeout(SOON).unwrap(), "a firing");
    worker.push(&group("a", GroupStatus::Growing));
    assert_eq!(worker.status().waiting, 2);
    answer.send(Err(Failure::later("it was busy"))).unwrap();
    assert_eq!(comes.recv_timeout(SOON).unwrap(), "a firing", "nobody has seen the first");
    assert_eq!(worker.status().error.as_deref(), Some("it was busy"));
    answer.send(Ok(String::new())).unwrap();
    worker.close();
    worker.wait(Instant::now() + SOON);
    let Delivery { sent, failed, dropped, waiting, error, .. } = worker.status();
    assert_eq!((sent, failed, dropped, waiting, error), (1, 1, 0, 0, None));
}

#[test]
fn what_would_fail_again_is_given_up_and_what_has_no_room_counted() {
    let (worker, comes, answer) = played();
    worker.push(&group("a", GroupStatus::Firing));
    assert_eq!(comes.recv_timeout(SOON).unwrap(), "a firing");
    for id in ["b", "c", "d"] {
        worker.push(&group(id, GroupStatus::Firing));
    }
    assert_eq!((worker.status().waiting, worker.status().dropped), (3, 1));
    answer.send(Err(Failure::never("no"))).unwrap();
    assert_eq!(comes.recv_timeout(SOON).unwrap(), "b firing");
    assert_eq!(worker.status().dropped, 2);
    // The end: what waits is tried until one fails.
    worker.close();
    answer.send(Err(Failure::later("busy"))).unwrap();
    worker.wait(Instant::now() + SOON);
    let Delivery { sent, failed, waiting, .. } = worker.status();
    assert_eq!((sent, failed, waiting), (0, 2, 2));
}

fn host() -> Host {
    Host { name: "web-3".into(), boot_id: "0123456789".into() }
}

fn to_file(path: &std::path::Path) -> Sinks {
    let file = crate::cli::config::sink::File { path: path.to_owned(), ..Default::default() };
    Sinks { file: vec![file], ..Sinks::default() }
}

/// Ids and statuses in a file of lines.
fn lines(path: &std::path::Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("group"), text("status"))
    };
    text.lines().map(line).collect()
}

#[test]
fn nobody_is_told_anew_what_the_run_before_has_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts");
    let told = HashSet::from(["a".into(), "b".into()]);
    let mut alerts = Alerts::start(&to_file(&path), &host(), &told, |_| {}).unwrap();
    for (id, status) in [
        ("a", GroupStatus::Firing),
        ("b", GroupStatus::Growing),
        ("c", GroupStatus::Firing),
        ("a", GroupStatus::Resolved),
        ("a", GroupStatus::Firing),
    ] {
        alerts.tell(group(id, status).told.clone(), samples::anchor());
        // One by one, for what waits is replaced.
        while alerts.status()[0].waiting > 0 {
            std::thread::yield_now();
        }
    }
    alerts.finish();
    let expected = [("b", "growing"), ("c", "firing"), ("a", "resolved"), ("a", "firing")];
    let expected = expected.map(|(id, status)| (id.to_owned(), status.to_owned()));
    assert_eq!(lines(&path), expected);
}

#[test]
fn with_other_sinks_those_that_stay_keep_what_they_have() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let mut alerts = Alerts::start(&to_file(&first), &host(), &HashSet::new(), |_| {}).unwrap();
    alerts.tell(group("a", GroupStatus::Firing).told.clone(), samples::anchor());
    let mut both = to_file(&first);
    both.file.extend(to_file(&second).file);
    both.file[1].name = "second".into();
    alerts.reload(&both).unwrap();
    alerts.tell(group("b", GroupStatus::Firing).told.clone(), samples::anchor());
    let status = alerts.finish();
    assert_eq!(status.iter().map(|sink| sink.sent).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(lines(&first).len(), 2);
    assert_eq!(lines(&second).len(), 1);
}
