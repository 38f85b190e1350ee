//! Figures in the formats that Prometheus and its like read. docs/metrics.md lists all of them.

mod families;
mod sockets;
mod tracer;

use core::fmt;
use std::io;
use std::sync::Arc;

use families::Families;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::model::figures::Figures;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own of before.
    Prometheus,
}

impl Format {
    /// The best one that an `Accept` header asks for.
    pub fn accepted(header: Option<&str>) -> Self {
        match header {
            Some(header) if header.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// For the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes all of them.
///
/// # Errors
/// If `out` fails.
pub fn write(out: &mut impl io::Write, figures: Arc<Figures>, format: Format) -> io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition(figures)));
    let mut lines = String::new();
    let encoded = match format {
        Format::OpenMetrics => text::encode(&mut lines, &registry),
        Format::Prometheus => prometheus_text::encode(&mut lines, &registry),
    };
    encoded.map_err(io::Error::other)?;
    out.write_all(lines.as_bytes())
}

#[derive(Debug)]
struct Exposition(Arc<Figures>);

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        sockets::encode(&mut families, &self.0.sockets)?;
        tracer::encode(&mut families, &self.0)
    }
}

#[cfg(test)]
mod tests;
