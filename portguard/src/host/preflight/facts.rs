//! What findings are made of: facts, as they were collected.

use std::path::PathBuf;

use portguard_policy::{AttachMode, Policy, RuleAction};

use crate::dataplane::features::DeviceFeatures;
use crate::dataplane::foreign::Holder;
use crate::dataplane::interfaces::{ForeignMode, Link};
use crate::dataplane::xdp_features::XdpFeatures;

/// What a policy asks of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// In which mode it attaches.
    pub attach: AttachMode,
    /// Whether a rule answers what it rejects.
    pub rejects: bool,
    /// Whether a rule tells VLANs apart.
    pub by_vlan: bool,
}

impl Wanted {
    /// What this policy asks.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            attach: policy.attach,
            rejects: policy
                .rules
                .iter()
                .any(|rule| rule.action == RuleAction::Reject),
            by_vlan: policy.rules.iter().any(|rule| rule.vlans.is_some()),
        }
    }
}

impl Default for Wanted {
    /// What an empty policy asks.
    fn default() -> Self {
        Self {
            attach: AttachMode::Auto,
            rejects: false,
            by_vlan: false,
        }
    }
}

/// A number that the kernel shows in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// This number.
    Is(u64),
    /// There is no such file: this kernel has no such setting, or does not show it here.
    Absent,
    /// This process may not read it.
    Hidden,
}

/// The place for what outlives a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pins {
    /// It is in a BPF file system.
    Bpf {
        /// Whether this process may make files there.
        writable: bool,
        /// Whether nobody may, since it is mounted so.
        read_only: bool,
    },
    /// It is in another file system.
    NotBpf,
    /// This process may not look there.
    Hidden,
}

/// The capabilities of this process that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Names of those that portguard needs and that this process lacks.
    pub missing: Vec<&'static str>,
    /// Whether this is root, with or without root's power.
    pub is_root: bool,
    /// CAP_SYS_ADMIN: it may mount, and see what others loaded.
    pub sys_admin: bool,
    /// CAP_SYS_RESOURCE: limits do not bind it.
    pub sys_resource: bool,
}

/// About the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Version of the kernel; `None` where it does not tell.
    pub kernel: Option<(u8, u8)>,
    /// Whether the system call is there.
    pub has_bpf: bool,
    /// Whether the kernel has type information of itself.
    pub has_btf: bool,
    /// `net.core.bpf_jit_enable`
    pub jit: Setting,
    /// `net.core.bpf_jit_harden`
    pub jit_harden: Setting,
    /// `kernel.unprivileged_bpf_disabled`
    pub unprivileged_bpf_disabled: Setting,
    /// Where things are to be pinned.
    pub pins_path: PathBuf,
    /// What is there.
    pub pins: Pins,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// Bytes of memory that it may lock; `None` without a limit.
    pub locked_memory: Option<u64>,
    /// Numbers of CPUs that may be there and that are; `None` where the kernel does not tell.
    pub cpus: Option<Cpus>,
}

/// Numbers of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// For which the kernel keeps places.
    pub possible: u32,
    /// That are at work.
    pub online: u32,
}

/// About an interface that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What netlink says.
    pub link: Link,
    /// What its driver says, or why it says nothing.
    pub features: Result<DeviceFeatures, String>,
    /// What its driver can do with programs; `None` where the kernel does not tell.
    pub xdp: Option<XdpFeatures>,
    /// The program that it carries.
    pub program: Option<Program>,
    /// The bridge, bond or team of which it is a port or member.
    pub controller: Option<Neighbour>,
    /// Its own ports or members.
    pub members: Vec<Neighbour>,
    /// The device below it, for a VLAN and the like.
    pub lower: Option<Neighbour>,
    /// The other end of a veth.
    pub peer: Option<PeerEnd>,
}

/// A device above or below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Its kind of virtual device.
    pub kind: Option<String>,
    /// Whether it is guarded, too.
    pub guarded: bool,
}

/// The other end of a veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// In this namespace.
    Here {
        /// Its name.
        name: String,
        /// Whether it has a native program.
        has_native_program: bool,
    },
    /// In another namespace, where it cannot be seen.
    Elsewhere,
}

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its ID.
    pub id: u32,
    /// Where it runs.
    pub mode: ForeignMode,
    /// Its name, where the kernel tells.
    pub name: Option<String>,
    /// What holds it there.
    pub holder: Holder,
    /// Whose it is.
    pub owner: Owner,
}

/// Whose a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The running daemon's.
    Daemon,
    /// A daemon's that is gone; the next one takes it over.
    Kept,
    /// Somebody else's.
    Foreign,
    /// There may be a daemon, but this process may not ask it.
    Unknown,
}

/// About an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// It exists.
    Present(Box<Device>),
    /// It does not.
    Absent {
        /// Whether somebody insists on it now; else it is waited for.
        insisted: bool,
        /// Names of those that there are.
        others: Vec<String>,
    },
}
