//! The kernel side as seen from here: loading a generation, attaching it, reading its counters. Nothing
//! outside of this module uses aya.

pub mod counters;
pub mod egress;
pub mod features;
mod fill;
mod foreign;
pub mod generation;
pub mod interfaces;
mod kernel;
pub mod link;
pub mod measure;
mod netlink;
mod state;
mod sys;

pub use counters::Counts;
pub use generation::{Arrival, Generation, LoadError, LoadOptions, StartedFlow};
pub use link::{AttachError, Attachment, Mode};
pub use state::{State, StateError, monotonic_ns};
