//! What the core tells of, as lines: the same whether it runs live or plays a recording.

use std::io::{self, Write};

use super::Style;
use crate::cli::OutputFormat;
use crate::model::engine::Output;
use crate::model::time::Anchor;
use crate::report::{json, text};

/// How lines look, and which there are.
pub struct Teller<'a> {
    pub style: &'a Style,
    /// In text, every socket rather than groups.
    pub each: bool,
}

impl Teller<'_> {
    /// Writes what is to be read of `output`: in text alerts or groups, in JSON both.
    pub fn tell(&self, out: &mut impl Write, now: Anchor, output: &Output) -> io::Result<()> {
        let style = self.style;
        match (output, style.format) {
            (Output::Alert(alert), OutputFormat::Json) => {
                json::alert(out, style.context(now), alert)
            }
            (Output::Group(group), OutputFormat::Json) => {
                json::group(out, style.context(now), group)
            }
            (Output::Condition(condition), OutputFormat::Json) => {
                json::condition(out, style.context(now), condition)
            }
            (Output::Condition(condition), OutputFormat::Text) => {
                text::condition(out, &style.look(now), condition)
            }
            (Output::Alert(alert), OutputFormat::Text) if self.each => {
                text::alert(out, &style.look(now), alert)
            }
            (Output::Group(group), OutputFormat::Text) if !self.each => {
                text::group(out, &style.look(now), group)
            }
            _ => Ok(()),
        }
    }
}
