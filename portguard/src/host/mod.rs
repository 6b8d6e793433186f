//! What this host is doing, apart from the filter.

pub mod connections;
pub mod group;
pub mod lease;
pub mod preflight;
pub mod sessions;
