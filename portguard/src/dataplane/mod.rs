//! The kernel side as seen from here: loading a generation, attaching it, reading its counters. Nothing
//! outside of this module uses aya.

mod clock;
pub mod counters;
pub mod floor;
mod foreign;
pub mod generation;
pub mod interfaces;
mod kernel;
pub mod link;
mod sys;

pub use counters::Counts;
pub use generation::{Generation, LoadError, LoadOptions, Outcome};
pub use link::{AttachError, Attachment, Mode};
