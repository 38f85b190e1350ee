//! A process in network and pid namespaces of its own.

use libtest_mimic::Trial;

use super::{release, wait_until};
use crate::actor::Actor;
use crate::host::Namespace;

pub fn trials() -> Vec<Trial> {
    crate::trials![in_namespaces_of_its_own]
}

fn in_namespaces_of_its_own() {
    let namespace = Namespace::new();
    let mut server = Actor::start_as_first_in(&namespace);
    let mut client = Actor::start_in(&namespace);
    assert_eq!(server.pid(), 1, "the first of its pid namespace");
    let listener = server.listen("127.0.0.1");
    let states = |state: &str| {
        let shown = namespace.exec(&["ss", "-Htan", "state", state]);
        shown.lines().count()
    };
    for (means, freed) in [(&[][..], "time-wait"), (&["--abort"][..], "")] {
        let there = client.connect("127.0.0.1", listener.local_port);
        let here = server.accept(listener);
        client.shutdown_sending(there);
        wait_until("CLOSE_WAIT", || states("close-wait") == 1);
        let select = ["--netns", &namespace.name, "--verdict", "eof_unread", "--min-age", "0s"];
        let released = release(&[&select[..], &["--yes"], means].concat());
        assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
        assert_eq!(released.sockets[0]["cookie"], here.cookie.to_string());
        assert_eq!(released.sockets[0]["holders"][0]["pid_in_ns"], 1);
        wait_until("its end", || states("close-wait") == 0 && states("fin-wait-2") == 0);
        if !freed.is_empty() {
            wait_until("the peer's end", || states(freed) == 1);
        }
        server.close(here);
        client.close(there);
    }
}
