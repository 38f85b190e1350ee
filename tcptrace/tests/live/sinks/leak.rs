//! A process that leaks as many connections as it is told to.

use crate::actor::{Actor, Sock};

pub struct Leak {
    pub server: Actor,
    client: Actor,
    listener: Sock,
    stuck: Vec<Sock>,
}

impl Leak {
    /// Listens, so that its port is known; nothing leaks yet.
    pub fn prepare() -> Self {
        let (mut server, client) = (Actor::start(), Actor::start());
        let listener = server.listen("127.0.0.1");
        Self { server, client, listener, stuck: Vec::new() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_port
    }

    /// The peers of `count` more connections leave.
    pub fn grow(&mut self, count: usize) {
        let connected: Vec<_> = (0..count)
            .map(|_| {
                let connected = self.client.connect("127.0.0.1", self.listener.local_port);
                self.stuck.push(self.server.accept(self.listener));
                connected
            })
            .collect();
        self.client.close_all(&connected);
    }

    /// All are closed.
    pub fn end(&mut self) {
        self.server.close_all(&std::mem::take(&mut self.stuck));
    }
}
