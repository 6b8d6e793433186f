//! What a policy means, told a second time.
//!
//! A model of `docs/policy.md` that is slow and obviously right, written from that page alone. It shares no code with
//! the product, which gets nothing from here but YAML text and frame bytes; where the two disagree, one of them is
//! wrong by that page.
//!
//! [`policy`] is a policy as it is written, [`frame`] reads a frame, [`matching`] tells whether a rule matches it,
//! [`model`] judges it and remembers what a host remembers. [`generate`] makes random policies, frames and sequences
//! of events, and [`coverage`] tells what they reached.

pub mod coverage;
pub mod frame;
pub mod generate;
pub mod matching;
pub mod model;
pub mod policy;
pub mod random;
mod yaml;
