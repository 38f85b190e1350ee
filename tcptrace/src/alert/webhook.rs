//! JSON by POST, as `-o json` prints it.

use anyhow::{Result, anyhow};

use super::http::Client;
use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;

pub struct Webhook(Client);

impl Webhook {
    pub fn open(sink: &sink::Webhook) -> Result<Self> {
        Ok(Self(Client::open(sink.endpoint().map_err(|why| anyhow!(why))?)?))
    }
}

impl Deliver for Webhook {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        self.0.post(&message.json(), str::to_owned)
    }
}
