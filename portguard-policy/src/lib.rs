//! From the text of a policy to the tables that the kernel side looks up.
//!
//! ```text
//! text ─parse→ Document ─validate→ Policy ─compile→ Tables
//! ```
//!
//! [`check`] is the first two arrows and reports every problem of a text at once, each with its place;
//! [`compile`] is the third. Nothing here does input or output, or looks at a clock or at the host: the
//! same text means the same everywhere.

#![forbid(unsafe_code)]

mod addresses;
mod compile;
mod dead;
mod document;
mod evaluate;
mod host_services;
mod interface;
mod keys;
mod policy;
mod ports;
mod problem;
mod protocols;
mod relation;
mod rules;
mod services;
mod suggest;

mod types;
mod validate;
mod values;

pub use addresses::Addresses;
pub use compile::{Attribution, CompileError, Limited, Meaning, Outcome, Tables, compile};
pub use dead::shadowed_rules;
pub use evaluate::{Evaluation, Evaluator, State, Stateless};
pub use interface::{Glob, InterfacePattern};
pub use policy::{
    AttachMode, Fate, Fragments, Limit, Per, Policy, PortRange, Rate, RatePeriod, Rule, RuleAction,
    ServiceMatch, SourceMatch, Transport, Trusted,
};
pub use problem::{Lines, Position, Problem, Related, Severity, Span};
pub use protocols::protocol_name;
pub use services::{Service, find as find_service};
pub use validate::{Checked, check};
