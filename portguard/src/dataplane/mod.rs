//! The kernel side as seen from here: loading a generation, attaching it, reading its counters. Nothing
//! outside of this module uses aya.

pub mod addresses;
pub mod bans;
mod clock;
pub mod counters;
pub mod diagnostics;
pub mod egress;
mod ethtool;
pub mod events;
pub mod features;
mod fill;
mod flows;
pub mod foreign;
pub mod generation;
pub mod interfaces;
pub mod kept;
pub mod kernel;
pub mod link;
pub mod link_stats;
pub mod measure;
mod memory;
mod netlink;
mod pins;
mod places;
mod programs;
mod sections;
mod state;
mod sys;
mod trial;
pub mod xdp_features;

pub use bans::{BanError, BanTable, Banned};
pub use clock::{boot_time_ns, monotonic_ns};
pub use counters::Counts;
pub use ethtool::Channels;
pub use events::{EventRing, WatchedRing};
pub use flows::StartedFlow;
pub use generation::{Arrival, Generation, LoadError, LoadOptions, Programs};
pub use link::{AttachError, Attachment, Mode};
pub use pins::{PinnedLink, keeps_program};
pub use state::{State, StateError};
