//! What an audit has found.

use portguard_policy::{PortRange, Transport};
use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// To be tidied up.
    Low,
    /// A weakness.
    Medium,
    /// What strangers look for, and find here.
    High,
}

impl Severity {
    /// All of them, the gravest first.
    pub const ALL: [Self; 4] = [Self::High, Self::Medium, Self::Low, Self::Note];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What was found. The names are an interface: `docs/audit.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No policy is in force.
    NoPolicy,
    /// The policy drops nothing: `enforce: false`.
    NotEnforced,
    /// Strangers come by an interface that is not guarded.
    UnguardedInterface,
    /// A database that strangers reach.
    OpenDatabase,
    /// A port that strangers reach, and that the catalogue advises to close.
    AdvisedClosed,
    /// A service without encryption that strangers reach.
    ClearText,
    /// A port that is published for somebody else, and that no rule means to pass.
    PublishedPort,
    /// A port that strangers reach, and that no rule means to pass.
    Exposed,
    /// Somebody listens, and nobody can come.
    Blocked,
    /// A rule passes packets to a port at which nobody listens.
    UnusedRule,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPolicy => "no-policy",
            Self::NotEnforced => "not-enforced",
            Self::UnguardedInterface => "unguarded-interface",
            Self::OpenDatabase => "open-database",
            Self::AdvisedClosed => "advised-closed",
            Self::ClearText => "clear-text",
            Self::PublishedPort => "published-port",
            Self::Exposed => "exposed",
            Self::Blocked => "blocked",
            Self::UnusedRule => "unused-rule",
        }
    }
}

/// What fixes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fix {
    /// A command for a shell.
    Command(String),
    /// A rule for the policy, in a line.
    Rule(String),
    /// A change of the policy, in words.
    Edit(String),
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// The ports that it is about.
    pub ports: Option<(Transport, PortRange)>,
    /// The name of the service.
    pub service: Option<String>,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Who listens: processes, units, containers.
    pub owners: Vec<String>,
    /// What was found, in a sentence without a full stop.
    pub text: String,
    /// Why that matters.
    pub reason: String,
    /// Who is known to abuse it, with years.
    pub abuse: Vec<String>,
    /// The profiles that drop it.
    pub profiles: Vec<&'static str>,
    /// What fixes it: any of these, the best first.
    pub fixes: Vec<Fix>,
}

impl Finding {
    /// One about the whole host.
    pub(super) fn of_host(
        severity: Severity,
        kind: Kind,
        text: impl Into<String>,
        reason: &str,
        fix: Fix,
    ) -> Self {
        Self {
            severity,
            kind,
            ports: None,
            service: None,
            addresses: Vec::new(),
            owners: Vec::new(),
            text: text.into(),
            reason: reason.into(),
            abuse: Vec::new(),
            profiles: Vec::new(),
            fixes: vec![fix],
        }
    }
}
