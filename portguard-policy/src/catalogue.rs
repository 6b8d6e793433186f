//! The catalogue of ports, as data: what each is for, who abuses it, and whether to close it.
//!
//! It is read from three kinds of files: `services.txt` has names and purposes, `ports-*.txt` what is known of
//! abuse, and `profiles.txt` the groups that a policy may name.

mod read;
mod search;

use std::sync::LazyLock;

pub use self::search::{Found, Query, QueryError, Search};
use crate::policy::Transport;

/// A port of the catalogue, with the protocols for which the same holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub port: u16,
    /// The protocols, in the order of [`Transport::ALL`].
    pub transports: Vec<Transport>,
    /// The name that a policy may use; `None` where a policy writes the number.
    pub service: Option<&'static str>,
    /// Other names of the service.
    pub aliases: Vec<&'static str>,
    /// What the port is for.
    pub purpose: &'static str,
    /// Who abuses it, oldest first where the years are known.
    pub abuse: Vec<Abuse>,
    /// Whether to close it.
    pub advice: Advice,
    /// Why.
    pub why: &'static str,
    /// The profiles with a rule for it, for any of its protocols.
    pub profiles: Vec<&'static str>,
}

impl Entry {
    /// The part of the port numbers in which it lies.
    pub const fn class(&self) -> Class {
        Class::of(self.port)
    }
}

/// Malware, an attack or a weakness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abuse {
    /// Its name, or a word for its kind.
    pub name: &'static str,
    /// When it became known, where that is sure.
    pub year: Option<u16>,
    /// What it does.
    pub text: &'static str,
}

/// Whether to close a port to the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Close it.
    Close,
    /// Leave it open.
    Keep,
    /// Open it only on a host that has this role.
    ByRole,
}

impl Advice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Close, Self::Keep, Self::ByRole];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Keep => "keep",
            Self::ByRole => "by-role",
        }
    }
}

/// The parts of the port numbers (RFC 6335, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 0 to 1023: only privileged programs may listen there, on most systems.
    WellKnown,
    /// 1024 to 49151: registered for services.
    Registered,
    /// 49152 to 65535: for any program, never registered.
    Dynamic,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WellKnown, Self::Registered, Self::Dynamic];

    /// The class of a port.
    pub const fn of(port: u16) -> Self {
        match port {
            0..=1023 => Self::WellKnown,
            1024..=49151 => Self::Registered,
            49152..=65535 => Self::Dynamic,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WellKnown => "well-known",
            Self::Registered => "registered",
            Self::Dynamic => "dynamic",
        }
    }

    /// Its first and last port.
    pub const fn bounds(self) -> (u16, u16) {
        match self {
            Self::WellKnown => (0, 1023),
            Self::Registered => (1024, 49151),
            Self::Dynamic => (49152, 65535),
        }
    }
}

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(read::entries);

/// All ports of the catalogue, by number; no two have a port and a protocol in common.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}
