//! Metrics for Prometheus: what the daemon knows, as text. `docs/metrics.md` lists them.
//!
//! A family of metrics is added in `families.rs`, and to the page, which a test holds against it.

mod drops;
mod encode;
mod families;
mod rules;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Bytes;
use portguard_policy::{Policy, PortRange, ServiceMatch, Transport};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::control::{Reloaded, Status};

use super::sample::Sample;

/// In which language metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus before it, version 0.0.4.
    Classic,
}

impl Format {
    /// For the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// All that metrics tell, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// What is counted.
    pub sample: Arc<Sample>,
    /// What the daemon does.
    pub status: Status,
    /// When it started, in seconds since 1970.
    pub started_unix_s: f64,
    /// About the policy in force.
    pub policy: PolicyFacts,
    /// Sources that are banned.
    pub bans: u64,
    /// Room for so many.
    pub bans_capacity: u64,
    /// How reloads went.
    pub reloads: Reloads,
    /// Its texts, made when they are asked for.
    pub texts: Texts,
}

/// The texts of a snapshot, for all who scrape at the same time.
#[derive(Debug, Default)]
pub struct Texts {
    open_metrics: OnceLock<Bytes>,
    classic: OnceLock<Bytes>,
}

/// What metrics tell of the policy in force, beside its counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyFacts {
    /// When it took effect, in seconds since 1970.
    pub changed_unix_s: f64,
    /// Rule by rule, whether it is enforced.
    pub enforced: Vec<bool>,
    /// The single ports that its rules name, each once, in the order of the policy.
    pub ports: Vec<(Transport, u16)>,
}

impl PolicyFacts {
    /// The facts of a policy that took effect at this time.
    #[must_use]
    pub fn of(policy: &Policy, changed_unix_s: f64) -> Self {
        let mut seen = std::collections::HashSet::new();
        let services = policy.rules.iter().flat_map(|rule| &rule.services);
        let ports = services.filter_map(|service| match service {
            ServiceMatch::Ports(transport, PortRange { low, high }) if low == high => {
                Some((*transport, *low))
            }
            _ => None,
        });
        Self {
            changed_unix_s,
            enforced: policy.rules.iter().map(|rule| rule.enforce).collect(),
            ports: ports.filter(|port| seen.insert(*port)).collect(),
        }
    }
}

/// How reloads went since the daemon started.
#[derive(Clone, Debug)]
pub struct Reloads {
    /// Another policy took effect.
    pub success: u64,
    /// The policy was in force already.
    pub unchanged: u64,
    /// The policy was refused, or the system refused it.
    pub failure: u64,
    /// How long those took that changed the policy or failed, in seconds.
    pub durations: Histogram,
}

impl Reloads {
    /// Adds a reload that took so long; `None` if it failed.
    pub fn add(&mut self, reloaded: Option<&Reloaded>, took: Duration) {
        match reloaded {
            Some(Reloaded { changed: false, .. }) => {
                self.unchanged += 1;
                return;
            }
            Some(_) => self.success += 1,
            None => self.failure += 1,
        }
        self.durations.observe(took.as_secs_f64());
    }
}

/// From a reload of some rules to that of the largest policy on a busy machine.
const DURATIONS_S: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

impl Default for Reloads {
    fn default() -> Self {
        Self {
            success: 0,
            unchanged: 0,
            failure: 0,
            durations: Histogram::new(DURATIONS_S),
        }
    }
}

impl Snapshot {
    /// The text for a scrape.
    ///
    /// # Errors
    ///
    /// When it cannot be written, which no snapshot leads to.
    pub fn text(self: &Arc<Self>, format: Format) -> Result<Bytes, fmt::Error> {
        let text = match format {
            Format::OpenMetrics => &self.texts.open_metrics,
            Format::Classic => &self.texts.classic,
        };
        if let Some(text) = text.get() {
            return Ok(text.clone());
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut out = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut out, &registry)?,
            Format::Classic => prometheus_text::encode(&mut out, &registry)?,
        }
        Ok(text.get_or_init(|| out.into()).clone())
    }
}

#[cfg(test)]
mod tests;
