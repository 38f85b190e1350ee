//! One round: a leak of every kind, begun and ended, and what has to be told of each.

use serde_json::Value;

use crate::actor::Actor;
use crate::host::Namespace;
use crate::metrics::Served;
use crate::watch::{Pair, pair};
use crate::watcher::Tcptrace;

const V4: &str = "127.0.0.1";

/// What has to be told of one socket.
#[derive(Debug)]
struct Told {
    netns: u32,
    local: String,
    remote: String,
    state: &'static str,
    verdict: &'static str,
    blamed: Option<u32>,
    ended_by: &'static str,
}

/// What has to be told.
#[derive(Default)]
pub struct Script(Vec<Told>);

impl Script {
    /// The server's end, which `blamed` leaves in CLOSE_WAIT, and the client's, which is closed and
    /// becomes an orphan.
    fn closed(
        &mut self,
        namespace: &Namespace,
        pair: &Pair,
        (verdict, blamed): (&'static str, u32),
        ended_by: &'static str,
    ) {
        let (server, client) = (pair.listener.local_port, pair.client.local_port);
        self.add(namespace, (server, client), ("CLOSE_WAIT", verdict), Some(blamed), ended_by);
        self.add(namespace, (client, server), ("FIN_WAIT2", "orphan"), None, "peer_closed");
    }

    /// The same, where the client has only shut down its sending side: both ends are the server's
    /// fault, which closes in the end.
    pub fn held(&mut self, namespace: &Namespace, pair: &Pair, blamed: u32) {
        let (server, client) = (pair.listener.local_port, pair.client.local_port);
        let (blamed, waits) = (Some(blamed), ("FIN_WAIT2", "peer_not_closing"));
        self.add(namespace, (server, client), ("CLOSE_WAIT", "eof_unread"), blamed, "closed");
        self.add(namespace, (client, server), waits, blamed, "peer_closed");
    }

    fn add(
        &mut self,
        namespace: &Namespace,
        (local, remote): (u16, u16),
        (state, verdict): (&'static str, &'static str),
        blamed: Option<u32>,
        ended_by: &'static str,
    ) {
        let (local, remote) = (format!("{V4}:{local}"), format!("{V4}:{remote}"));
        let netns = namespace.inode;
        self.0.push(Told { netns, local, remote, state, verdict, blamed, ended_by });
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are in `namespace`.
    pub fn len_in(&self, namespace: &Namespace) -> usize {
        self.0.iter().filter(|told| told.netns == namespace.inode).count()
    }

    /// Whether a line is an alert on a socket where the script plays.
    pub fn is_about(&self, line: &Value) -> bool {
        line["type"] == "alert" && self.0.iter().any(|told| line["netns"] == told.netns)
    }

    /// Waits until both have told of all of it that they follow.
    pub fn is_told(&self, watches: &mut Watches) {
        for told in &self.0 {
            for alert in told.alerts(watches, "firing") {
                assert_eq!(alert["verdict"], told.verdict, "{alert:#}");
                assert_eq!(alert["blame"]["pid"].as_u64(), told.blamed.map(u64::from), "{alert:#}");
            }
        }
    }

    /// Waits until they have told of each that it is over.
    pub fn is_over(&self, watches: &mut Watches) {
        for told in &self.0 {
            for alert in told.alerts(watches, "resolved") {
                assert_eq!(alert["ended_by"], told.ended_by, "{alert:#}");
            }
        }
    }
}

/// Who tells: one that follows everything, and one only what is here.
pub struct Watches {
    pub everywhere: Tcptrace,
    pub here: Served,
    pub netns: u32,
}

impl Told {
    fn alerts(&self, watches: &mut Watches, status: &str) -> Vec<Value> {
        let mut alerts = vec![self.alert(&mut watches.everywhere, status)];
        if self.netns == watches.netns {
            alerts.push(self.alert(&mut watches.here.tcptrace, status));
        }
        alerts
    }

    fn alert(&self, watch: &mut Tcptrace, status: &str) -> Value {
        watch.wait_for(&format!("{status} alert on {self:?}"), |line| {
            line["type"] == "alert"
                && line["status"] == status
                && line["state"] == self.state
                && line["netns"] == self.netns
                && (&line["local"], &line["remote"])
                    == (&self.local.as_str().into(), &self.remote.as_str().into())
        })
    }
}

/// Leaks and ends it all; returns what was told.
pub fn round(watches: &mut Watches, here: &Namespace) -> Script {
    let mut client = Actor::start_in(here);
    let [mut server, mut heir, mut parent, mut victim, mut spinner] =
        core::array::from_fn(|_| Actor::start_in(here));
    let there = Namespace::new();
    let (mut far_server, mut far_client) = (Actor::start_in(&there), Actor::start_in(&there));
    let mut script = Script::default();

    let healthy = pair(&mut server, &mut client, V4);
    client.close(healthy.client);
    server.close(healthy.server);

    let unread = pair(&mut server, &mut client, V4);
    client.close(unread.client);
    script.closed(here, &unread, ("eof_unread", server.pid()), "closed");

    let data = pair(&mut server, &mut client, V4);
    client.send(data.client, 10);
    client.close(data.client);
    script.closed(here, &data, ("data_unread", server.pid()), "closed_with_reset");

    let held = pair(&mut server, &mut client, V4);
    client.shutdown_sending(held.client);
    script.held(here, &held, server.pid());

    let spun = pair(&mut spinner, &mut client, V4);
    client.close(spun.client);
    spinner.spin(spun.server);
    script.closed(here, &spun, ("eof_read", spinner.pid()), "closed");

    let passed = pair(&mut server, &mut client, V4);
    server.pass(passed.server, &mut heir);
    client.close(passed.client);
    script.closed(here, &passed, ("eof_unread", heir.pid()), "process_exit");

    let inherited = pair(&mut parent, &mut client, V4);
    let child = parent.inherit(inherited.server);
    client.close(inherited.client);
    assert_eq!(parent.recv(inherited.server), 0);
    parent.close(inherited.server);
    script.closed(here, &inherited, ("shared_fd", child), "process_exit");

    let orphaned = pair(&mut victim, &mut client, V4);
    client.close(orphaned.client);
    script.closed(here, &orphaned, ("eof_unread", victim.pid()), "process_exit");

    let over = pair(&mut server, &mut client, V4);
    client.close(over.client);
    assert_eq!(server.recv(over.server), 0);
    server.shutdown_both(over.server);
    let ports = (over.listener.local_port, over.client.local_port);
    script.add(here, ports, ("CLOSE", "closed_not_released"), Some(server.pid()), "closed");

    let far = pair(&mut far_server, &mut far_client, V4);
    far_client.close(far.client);
    script.closed(&there, &far, ("eof_unread", far_server.pid()), "process_exit");

    let listener = far_server.listen(V4);
    let unaccepted = far_client.connect(V4, listener.local_port);
    far_client.close(unaccepted);
    let unaccepted = Pair { listener, server: unaccepted, client: unaccepted };
    script.closed(&there, &unaccepted, ("not_accepted", far_server.pid()), "listener_closed");

    script.is_told(watches);
    for socket in [unread.server, data.server, held.server, over.server] {
        server.close(socket);
    }
    client.close(held.client);
    spinner.stop_spinning();
    spinner.close(spun.server);
    far_server.close(listener);
    for actor in [&mut heir, &mut parent, &mut victim, &mut far_server] {
        actor.kill();
    }
    drop((far_client, there));
    script.is_over(watches);
    script
}
