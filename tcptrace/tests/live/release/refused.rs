//! What is left alone, whatever the flags say.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;

use super::{Stuck, leave, release, state, wait_until};
use crate::actor::Actor;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_half_close_in_use,
        one_that_has_sent_within_the_minute,
        data_that_waits_to_be_sent,
        a_live_connection_is_not_even_selected,
        fin_wait_2_is_the_peers_turn,
        never_accepted_there_is_no_descriptor,
        nothing_without_a_selection,
    ]
}

const EVERYTHING: [&str; 5] = ["--yes", "--abort", "--allow-sigpipe", "--min-age", "0s"];

fn a_half_close_in_use() {
    let mut stuck = Stuck::new();
    stuck.server.stream(stuck.held, Duration::from_millis(5));
    // Discards what comes, for ever.
    let mut reader = stuck.client.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all.len())
    });
    for flags in [&["--yes"][..], &EVERYTHING, &["--yes", "--verdict", "sending"]] {
        let released = stuck.release_as(flags);
        assert!(matches!(released.reason(), "in_use" | "send_blocked"), "{:#?}", released.sockets);
    }
    assert_eq!(stuck.states().0.as_deref(), Some("CLOSE-WAIT"));
    stuck.server.stop_streaming();
    stuck.server.close(stuck.held);
    assert!(reader.join().unwrap().unwrap() > 0, "all of it came, and the end of file");
}

/// Nothing moves between the two looks, and it is in use all the same.
fn one_that_has_sent_within_the_minute() {
    let mut stuck = Stuck::new();
    stuck.server.send(stuck.held, 10);
    wait_until("the acknowledgement", || {
        let sockets = crate::host::ss(None, stuck.listener.local_port);
        sockets.iter().all(|socket| socket.send_queue == 0)
    });
    let released = stuck.release_as(&["--yes"]);
    assert_eq!(released.reason(), "in_use", "{:#?}", released.sockets);
    assert_eq!(stuck.states().0.as_deref(), Some("CLOSE-WAIT"));
    // It is for the operator to say how long a pause means that it is forgotten.
    wait_until("a pause that is long enough", || {
        let released = stuck.release_as(&["--min-age", "500ms", "--yes"]);
        released.sockets.iter().any(|socket| socket["result"] == "ended")
    });
}

fn data_that_waits_to_be_sent() {
    let mut stuck = Stuck::new();
    assert!(stuck.server.fill(stuck.held) > 0);
    for flags in [&["--yes", "--min-age", "0s"][..], &EVERYTHING] {
        let released = stuck.release_as(flags);
        assert!(matches!(released.reason(), "in_use" | "send_blocked"), "{:#?}", released.sockets);
    }
    assert_eq!(stuck.states().0.as_deref(), Some("CLOSE-WAIT"));
}

fn a_live_connection_is_not_even_selected() {
    let mut server = Actor::start();
    let listener = server.listen("127.0.0.1");
    let client = TcpStream::connect(("127.0.0.1", listener.local_port)).unwrap();
    server.accept(listener);
    let pid = server.pid().to_string();
    assert!(release(&[&["--pid", &pid][..], &EVERYTHING].concat()).sockets.is_empty());
    let port = client.local_addr().unwrap().port();
    assert_eq!(state(listener.local_port, port).as_deref(), Some("ESTAB"));
}

fn fin_wait_2_is_the_peers_turn() {
    let mut stuck = Stuck::new();
    let own = std::process::id().to_string();
    let port = stuck.listener.local_port.to_string();
    let select = ["--verdict", "peer_not_closing", "--port", &port, "--min-age", "0s", "--yes"];
    let released = release(&select);
    assert_eq!(released.reason(), "fin_sent");
    assert_eq!(released.sockets[0]["holders"][0]["pid"].to_string(), own);
    stuck.await_states("CLOSE-WAIT", "FIN-WAIT-2");
    let released = release(&[&select[..], &["--abort"]].concat());
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    let error = stuck.client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "its own program is told");
    assert_eq!(stuck.states(), (None, None));
}

fn never_accepted_there_is_no_descriptor() {
    let mut server = Actor::start();
    let listener = server.listen("127.0.0.1");
    let mut client = TcpStream::connect(("127.0.0.1", listener.local_port)).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let port = client.local_addr().unwrap().port();
    let state = || state(listener.local_port, port);
    wait_until("CLOSE_WAIT", || state().as_deref() == Some("CLOSE-WAIT"));
    let select = ["--port", &listener.local_port.to_string(), "--min-age", "0s", "--yes"];
    let select = [&select[..], &["--verdict", "not_accepted"]].concat();
    assert_eq!(release(&select).reason(), "not_accepted");
    assert_eq!(state().as_deref(), Some("CLOSE-WAIT"));
    let released = release(&[&select[..], &["--abort"]].concat());
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    // The server goes on.
    let (held, _client) = leave(&mut server, listener);
    server.close(held);
}

fn nothing_without_a_selection() {
    let mut release = crate::watcher::command();
    let (code, out, err) = crate::watcher::finish(release.args(["release", "--yes"]));
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("--min-age <DUR>|--port <PORT>"), "{err}");
}
