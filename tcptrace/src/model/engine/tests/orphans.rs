//! Sockets that nobody holds any more.

use super::*;

/// An engine that has told of an orphan whose full socket the kernel keeps.
fn engine_with_an_orphan() -> Engine {
    let mut engine = engine();
    let mut begun = event(10, 1, TcpState::FinWait1, TcpState::FinWait2);
    begun.circumstances.as_mut().unwrap().dead = true;
    engine.handle(begun.at, Input::Transition(&begun));
    engine.handle(at(130), Input::Tick);
    let asked = outputs(&mut engine).examine;
    let look = Evidence { inode: Some(0), holders: Some(vec![]), ..evidence(130, &asked[0]) };
    engine.handle(at(130), Input::Evidence(Some(vec![(asked[0].id, look)])));
    assert_eq!(outputs(&mut engine).alerts.len(), 1);
    engine
}

#[test]
fn an_orphan_that_its_peer_ends_is_looked_for_nowhere() {
    let mut engine = engine_with_an_orphan();
    let mut over = event(140, 1, TcpState::FinWait2, TcpState::Close);
    let circumstances = over.circumstances.as_mut().unwrap();
    (circumstances.dead, circumstances.done) = (true, true);
    engine.handle(over.at, Input::Transition(&over));
    engine.handle(at(140), Input::Tick);
    let out = outputs(&mut engine);
    assert_eq!((out.alerts.len(), out.orphans), (1, None));
    assert_eq!(out.alerts[0].ended_by, Some(EndedBy::PeerClosed));
}

#[test]
fn an_alert_on_an_orphan_goes_on_when_the_kernel_gives_up_its_socket() {
    let mut engine = engine_with_an_orphan();
    let mut given_up = event(140, 1, TcpState::FinWait2, TcpState::Close);
    given_up.circumstances.as_mut().unwrap().dead = true;
    engine.handle(given_up.at, Input::Transition(&given_up));
    engine.handle(at(140), Input::Tick);
    let out = outputs(&mut engine);
    assert_eq!((out.alerts.len(), out.orphans), (0, Some(Namespaces::These(vec![NetNs(1)]))));
    // A look that failed says nothing, and is made again.
    engine.handle(at(140), Input::Orphans(None));
    engine.handle(at(140), Input::Tick);
    let out = outputs(&mut engine);
    assert_eq!((out.alerts.len(), out.orphans), (0, None));
    engine.handle(at(141), Input::Tick);
    let out = outputs(&mut engine);
    assert_eq!((out.alerts.len(), out.orphans), (0, Some(Namespaces::These(vec![NetNs(1)]))));
    engine.handle(at(141), Input::Orphans(Some(&(at(141), vec![], HashMap::new()))));
    let told = outputs(&mut engine).alerts;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].ended_by, Some(EndedBy::Unknown), "it was never seen as a minisocket");
}
