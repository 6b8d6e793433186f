//! What this host is doing, apart from the filter.

pub mod connections;
pub mod group;
pub mod lease;
pub mod memory;
pub mod preflight;
pub mod protocols;
pub mod published;
pub mod sessions;
mod sock_diag;
pub mod sockets;
