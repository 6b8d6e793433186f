//! From the text of a policy to the tables that the kernel side looks up.
//!
//! ```text
//! text ─parse→ Document ─validate→ Policy ─compile→ Tables
//! ```
//!
//! [`check`] is the first two arrows and reports every problem of a text at once, each with its place;
//! [`compile`] is the third. Nothing here does input or output, or looks at a clock or at the host: the
//! same text means the same everywhere. What the files hold that a policy names comes from the caller,
//! through [`Files`].

#![forbid(unsafe_code)]

mod addresses;
mod assertions;
mod ban;
pub mod catalogue;
mod compile;
mod conditions;
mod dead;
mod diff;
mod document;
mod drop_in;
mod evaluate;
mod events;
mod explain;
mod files;
mod host_services;
mod interface;
mod keys;
mod limit;
mod matching;
mod metrics;
mod packet;
mod page;
mod policy;
mod ports;
mod prefix;
mod problem;
mod profiles;
mod protocols;
mod relation;
mod rules;
mod schema;
mod services;
mod set_file;
mod sets;
mod suggest;
mod survey;
mod traffic;
mod trusted;
mod types;
mod validate;
mod values;

pub use addresses::Addresses;
pub use ban::{BanTarget, BanTargetError};
pub use compile::{Attribution, CompileError, Limited, Meaning, Outcome, Tables, compile};
pub use dead::shadowed_rules;
pub use diff::{DiffError, Difference, SettingChange, diff};
pub use drop_in::DropIn;
pub use evaluate::{Evaluation, Evaluator, State, Stateless};
pub use explain::{
    Assumption, Broken, Description, Explanation, Mismatch, Named, NearMiss, Other, Replies,
    explain,
};
pub use files::{Files, NoFiles};
pub use host_services::HostServices;
pub use interface::{Glob, InterfacePattern};
pub use packet::{Packet, Payload};
pub use policy::{
    Assertion, AttachMode, Events, Fate, Fragments, Limit, Metrics, OnStop, Page, Per, Policy,
    PortRange, Rate, RatePeriod, Rule, RuleAction, ServiceMatch, SourceMatch, Transport, Trusted,
};
pub use ports::{PortsError, parse as parse_ports};
pub use prefix::Prefix;
pub use problem::{Excerpt, Lines, Place, Position, Problem, Related, Severity, Span};
pub use profiles::{ProfileRule, find as find_profile, names as profile_names};
pub use protocols::protocol_name;
pub use schema::schema;
pub use services::{Service, find as find_service, name_of as service_name};
pub use survey::{
    BySource, Change, ChangeKind, ClosedPorts, Decision, Effect, TooComplex, TrafficSurvey,
    changes, check_assertions, closed_udp_ports, deciders, newly_blocked_ports,
};
pub use traffic::{Traffic, TrafficError, TrafficProtocol};
pub use validate::{Checked, check, check_with_drop_ins};
