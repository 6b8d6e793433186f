//! Collecting facts. Nothing is changed by it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use procfs::ProcError;
use procfs::process::{LimitValue, Process};
use procfs::sys::kernel::Version;
use rustix::fs::{Access, StatVfsMountFlags};

use super::facts::{
    Capabilities, Cpus, Device, Host, Interface, Neighbour, Owner, PeerEnd, Pins, Program, Setting,
};
use crate::dataplane::foreign;
use crate::dataplane::interfaces::{ForeignMode, Link, Peer};
use crate::dataplane::{features, keeps_program, kernel, xdp_features};

/// Numbers of capabilities (`linux/capability.h`).
const NEEDED: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON")];
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

/// Collects what there is to know of this host and process.
///
/// # Errors
///
/// When the process cannot look at itself: `/proc` is not mounted.
pub(super) fn host(pins: &Path) -> Result<Host, ProcError> {
    let process = Process::myself()?;
    let status = process.status()?;
    let has = |number: u32| status.capeff >> number & 1 == 1;
    let locked_memory = match process.limits()?.max_locked_memory.soft_limit {
        LimitValue::Unlimited => None,
        LimitValue::Value(bytes) => Some(bytes),
    };
    Ok(Host {
        kernel: Version::current()
            .ok()
            .map(|version| (version.major, version.minor)),
        has_bpf: kernel::has_bpf(),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: setting("net/core/bpf_jit_enable"),
        jit_harden: setting("net/core/bpf_jit_harden"),
        unprivileged_bpf_disabled: setting("kernel/unprivileged_bpf_disabled"),
        pins_path: pins.into(),
        pins: look_at_pins(pins),
        capabilities: Capabilities {
            missing: NEEDED
                .into_iter()
                .filter(|(number, _)| !has(*number))
                .map(|(_, name)| name)
                .collect(),
            is_root: status.euid == 0,
            sys_admin: has(CAP_SYS_ADMIN),
            sys_resource: has(CAP_SYS_RESOURCE),
        },
        locked_memory,
        cpus: cpus(),
    })
}

/// Reads a number below `/proc/sys`.
fn setting(path: &str) -> Setting {
    match fs::read_to_string(Path::new("/proc/sys").join(path)) {
        Ok(text) => text.trim().parse().map_or(Setting::Absent, Setting::Is),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Setting::Hidden,
        Err(_) => Setting::Absent,
    }
}

fn look_at_pins(path: &Path) -> Pins {
    // The folder is made by the daemon; what counts is where.
    let Some(present) = path.ancestors().find(|parent| parent.is_dir()) else {
        return Pins::NotBpf;
    };
    let (Ok(system), Ok(mount)) = (rustix::fs::statfs(present), rustix::fs::statvfs(present))
    else {
        return Pins::Hidden;
    };
    if system.f_type != libc::BPF_FS_MAGIC {
        return Pins::NotBpf;
    }
    Pins::Bpf {
        writable: rustix::fs::access(present, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        read_only: mount.f_flag.contains(StatVfsMountFlags::RDONLY),
    }
}

fn cpus() -> Option<Cpus> {
    let count = |which: &str| {
        fs::read_to_string(Path::new("/sys/devices/system/cpu").join(which))
            .ok()
            .and_then(|list| count(&list))
    };
    Some(Cpus {
        possible: count("possible")?,
        online: count("online")?,
    })
}

/// How many numbers a list like `0-3,8` has.
fn count(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// What decides how facts about interfaces are collected.
pub(super) struct Surroundings<'s> {
    /// The folder for what outlives the daemon.
    pub(super) pins: &'s Path,
    /// All interfaces of this namespace.
    pub(super) links: &'s [Link],
    /// Indices of those that are guarded, or to be.
    pub(super) guarded: &'s BTreeSet<u32>,
    /// Names of those that the running daemon has attached to; `None` where it cannot be asked.
    pub(super) ours: Option<&'s BTreeSet<String>>,
    /// Whether one that does not exist is missed now.
    pub(super) insisted: bool,
}

/// Collects what there is to know of the interface of this name.
pub(super) fn interface(name: &str, around: &Surroundings<'_>) -> Interface {
    let links = around.links;
    let Some(link) = links.iter().find(|link| link.interface.name == name) else {
        let others = links.iter().map(|link| link.interface.name.clone());
        return Interface::Absent {
            insisted: around.insisted,
            others: others.collect(),
        };
    };
    let own = &link.interface;
    let by_index = |index: u32| links.iter().find(|link| link.interface.index == index);
    let neighbour = |link: &Link| Neighbour {
        name: link.interface.name.clone(),
        kind: link.virtual_kind.clone(),
        guarded: around.guarded.contains(&link.interface.index),
    };
    Interface::Present(Box::new(Device {
        features: features::device(name).map_err(|error| error.to_string()),
        // What cannot be asked is not told.
        xdp: xdp_features::xdp_features(own.index).ok().flatten(),
        program: own.xdp.map(|xdp| Program {
            id: xdp.program_id,
            mode: xdp.mode,
            name: foreign::program_name(xdp.program_id),
            holder: foreign::holder(xdp.program_id),
            owner: match around.ours {
                Some(ours) if ours.contains(name) => Owner::Daemon,
                _ if keeps_program(around.pins, own.index, xdp.program_id) => Owner::Kept,
                Some(_) => Owner::Foreign,
                None => Owner::Unknown,
            },
        }),
        controller: own.controller.and_then(by_index).map(neighbour),
        members: links
            .iter()
            .filter(|other| other.interface.controller == Some(own.index))
            .map(neighbour)
            .collect(),
        lower: own.lower.and_then(by_index).map(neighbour),
        peer: link.peer.map(|peer| match peer {
            Peer::Here(index) => by_index(index).map_or(PeerEnd::Elsewhere, |peer| PeerEnd::Here {
                name: peer.interface.name.clone(),
                has_native_program: peer
                    .interface
                    .xdp
                    .is_some_and(|xdp| xdp.mode == ForeignMode::Native),
            }),
            Peer::Elsewhere => PeerEnd::Elsewhere,
        }),
        link: link.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_counted() {
        assert_eq!(count("0\n"), Some(1));
        assert_eq!(count("0-3\n"), Some(4));
        assert_eq!(count("0-1,4,6-7\n"), Some(5));
        for wrong in ["", "a", "3-1", "0-", "0-4294967295"] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }
}
