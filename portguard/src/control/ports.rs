//! What is said about single ports and rules: `block`, `open` and `rules`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Count;

/// Which ports are to be closed or opened, for whom, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortChange {
    /// `25/tcp`, `25` (TCP and UDP), a range, or a service; an entry of `ports` of a rule.
    #[serde(default)]
    pub ports: Option<String>,
    /// The ports of a profile, in the place of `ports`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Only for these sources: an address or a prefix.
    #[serde(default)]
    pub from: Option<String>,
    /// Seconds after which it ends; without it, it has no end.
    #[serde(default)]
    pub for_s: Option<u64>,
    /// As in [`super::Request::Apply`].
    #[serde(default)]
    pub confirm_s: Option<u64>,
    /// Keep it until the daemon ends, and no longer.
    #[serde(default)]
    pub runtime: bool,
    /// Of `open`: pass before all rules that close the ports.
    #[serde(default, rename = "override")]
    pub overrides: bool,
    /// As in [`super::Change`].
    #[serde(default)]
    pub force: bool,
    /// As in [`super::Change`].
    #[serde(default)]
    pub ssh_connection: Option<String>,
}

/// What became of a request to close or to open ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsChanged {
    /// `false`: nothing was done.
    pub changed: bool,
    /// The ports are as it was asked, for all packets that the request is about; a `trusted` source aside.
    pub as_asked: bool,
    /// Number of the policy in force.
    pub generation: u64,
    /// What becomes of packets to the ports now, a range each.
    pub verdicts: Vec<PortVerdict>,
    /// What else there is to know, for people.
    pub notes: Vec<String>,
    /// As in [`super::Reloaded`].
    pub warnings: Vec<String>,
    /// When it ends, in seconds since 1970; `null` if it has no end.
    pub until_unix_s: Option<u64>,
    /// As in [`super::Reloaded`].
    pub trial_s: Option<u64>,
}

/// What becomes of packets to some ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortVerdict {
    /// `25/tcp`, `6000-6063/tcp`.
    pub ports: String,
    /// The sources that were asked about; `null` for all.
    pub from: Option<String>,
    /// What it comes to.
    pub state: PortState,
    /// All that decides, each once.
    pub by: Vec<PortDecider>,
}

/// What becomes of packets to some ports, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// All are dropped or rejected, but for those of `trusted` sources.
    Closed,
    /// All pass; up to a rate, perhaps.
    Open,
    /// Some pass.
    Partly,
}

/// Something that decides packets to some ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDecider {
    /// `pass`, `limit`, `drop` or `reject`.
    pub verdict: String,
    /// `rule`, or the name of an outcome.
    pub outcome: String,
    /// The rule that decides.
    pub rule: Option<String>,
    /// The file in which it stands; `--runtime` for what is in none.
    pub file: Option<PathBuf>,
    /// Its line.
    pub line: Option<usize>,
    /// A packet that it decides, for `portguard explain`.
    pub example: String,
}

/// The rules in force, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Number of the policy in force.
    pub generation: u64,
    /// `false`: everything is counted and passed.
    pub enforce: bool,
    /// What becomes of what no rule decides: `pass` or `drop`.
    pub default: String,
    /// The policy file.
    pub policy: PathBuf,
    /// The rules.
    pub rules: Vec<RuleInfo>,
}

/// One rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleInfo {
    /// Its name.
    pub name: String,
    /// `pass`, `drop`, `reject` or `limit`.
    pub action: String,
    /// What it matches, for people.
    pub matches: String,
    /// `false`: it only counts.
    pub enforce: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// The file in which it stands; `--runtime` for what is in none, and is gone when the daemon ends.
    pub file: PathBuf,
    /// Its line.
    pub line: usize,
    /// It stands in a drop-in, or in no file.
    pub drop_in: bool,
    /// It is gone when the daemon ends.
    pub runtime: bool,
    /// When it ends, in seconds since 1970; `null` if it has no end.
    pub until_unix_s: Option<u64>,
    /// Packets that it decided; of a limit, those that it passed.
    #[serde(flatten)]
    pub count: Count,
    /// Packets beyond its limit, which it dropped.
    pub limited: Count,
    /// Packets that it would have dropped, were it enforced.
    pub shadow: Count,
}
