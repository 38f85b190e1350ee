use super::*;
use crate::alert::message::Told;
use crate::alert::tests::{group, named, sample_group};
use crate::cli::config::secret::Secret;
use crate::model::group::GroupStatus::{Firing, Resolved};

fn sink() -> Alertmanager {
    let url = Some(Secret::new("http://127.0.0.1:1/am/"));
    Alertmanager::open(&sink::Alertmanager { url, ..sink::Alertmanager::default() }).unwrap()
}

fn now() -> Timestamp {
    sample_group().at()
}

fn shown(sink: &Alertmanager) -> String {
    let alerts = sink.alerts.iter().map(|(labels, alert)| sink.posted(labels, alert, now()));
    serde_json::to_string_pretty(&alerts.collect::<Vec<_>>()).unwrap()
}

#[test]
fn identity_is_in_labels_and_figures_in_annotations() {
    let mut sink = sink();
    sink.take(&sample_group()).unwrap();
    insta::assert_snapshot!(shown(&sink));
}

#[test]
fn groups_with_the_same_labels_are_one_alert_until_the_last_is_over() {
    let mut sink = sink();
    sink.take(&group("a", Firing)).unwrap();
    sink.take(&group("b", Firing)).unwrap();
    let posted: serde_json::Value = serde_json::from_str(&shown(&sink)).unwrap();
    assert_eq!(posted.as_array().unwrap().len(), 1);
    assert_eq!(posted[0]["annotations"]["members"], "428");
    assert_eq!(posted[0]["endsAt"], "2026-03-01T12:08:31.000000042Z", "in five minutes");
    sink.take(&group("a", Resolved)).unwrap();
    assert!(sink.alerts.values().all(|alert| alert.last.is_none()));
    sink.take(&group("b", Resolved)).unwrap();
    let posted: serde_json::Value = serde_json::from_str(&shown(&sink)).unwrap();
    assert_eq!(posted[0]["endsAt"], "2026-03-01T12:03:31.000000042Z", "now");
    assert!(sink.part_of.is_empty());
    // One that comes back before that was sent is another.
    sink.take(&group("c", Firing)).unwrap();
    assert!(sink.alerts.values().all(|alert| alert.last.is_none()));
}

#[test]
fn it_keeps_no_more_than_so_many() {
    let mut sink = sink();
    for i in 0..MOST {
        let mut message = named(&format!("program{i}"));
        if let Told::Group(notice) = &mut message.told {
            notice.id = format!("group{i}").into();
        }
        sink.take(&message).unwrap();
    }
    assert!(sink.take(&named("one more")).is_err());
    assert_eq!(sink.alerts.len(), MOST);
}

#[test]
fn the_path_is_added_once() {
    let all = ["http://a:9093", "http://a:9093/", "http://a:9093/api/v2/alerts"].map(address);
    assert!(all.iter().all(|url| url == "http://a:9093/api/v2/alerts"), "{all:?}");
}
