//! What end-to-end tests and the demo need: two hosts joined by a cable, the real daemon on one of them,
//! and real traffic from the other.
//!
//! The hosts are network namespaces without a name, held by a descriptor: whatever ends this process,
//! they are gone with it. The machine's own interfaces are never touched.

mod bed;
mod daemon;
mod flood;
mod namespace;
mod process;
pub mod raw;
mod stalls;
pub mod traffic;
mod vlan;

pub use bed::{Bed, CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6};
pub use daemon::{
    Daemon, Stopped, own_bpf_file_system, own_bpf_file_system_at, with_three_capabilities,
};
pub use flood::Flood;
pub use namespace::Namespace;
pub use process::Process;
pub use stalls::{in_time, soon};
pub use vlan::VlanDevice;
