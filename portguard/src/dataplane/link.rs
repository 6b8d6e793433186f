//! Attaching a generation to an interface, and replacing it there in one step.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use aya_obj::generated::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
use portguard_policy::AttachMode;

use super::egress::Egress;
use super::foreign;
use super::generation::{LoadError, Programs};
use super::interfaces::{ForeignMode, Interface, XdpState};
use super::kernel;
use super::state::State;
use super::sys::{self, Hook};

/// Where in the kernel a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver, before a packet gets a socket buffer.
    Native,
    /// Behind the driver, in the network stack: works with any, but slower.
    Generic,
}

impl Mode {
    const fn flags(self) -> u32 {
        match self {
            Self::Native => XDP_FLAGS_DRV_MODE,
            Self::Generic => XDP_FLAGS_SKB_MODE,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Why a program cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The interface has no Ethernet header in front of its packets.
    #[error(
        "interface `{name}` has no Ethernet header (its type is {kind}); portguard filters Ethernet interfaces: name the device that carries this one instead"
    )]
    NotEthernet {
        /// Name of the interface.
        name: String,
        /// Its type, as the kernel calls it.
        kind: String,
    },
    /// Another XDP program is there.
    #[error(
        "interface `{name}` already carries {program}; it is left alone: stop what put it there (or `ip link set dev {name} {word} off` if it is no link), or leave this interface out"
    )]
    Foreign {
        /// Name of the interface.
        name: String,
        /// The program: its ID, mode and, where the kernel tells, its name.
        program: String,
        /// The word by which `ip` detaches it.
        word: &'static str,
    },
    /// The driver has no native mode.
    #[error(
        "the driver of interface `{name}` has no native XDP; use `attach: auto` or `attach: generic`"
    )]
    NoNative {
        /// Name of the interface.
        name: String,
    },
    /// The MTU leaves no room that native mode needs.
    #[error(
        "the MTU of interface `{name}` ({mtu} bytes) is too large for native XDP in its driver; lower it (`ip link set dev {name} mtu 1500`), or use `attach: auto` or `attach: generic`"
    )]
    Mtu {
        /// Name of the interface.
        name: String,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// The interface went away meanwhile.
    #[error("interface `{name}` is gone")]
    Gone {
        /// Name of the interface.
        name: String,
    },
    /// The process lacks a capability.
    #[error(
        "the kernel does not permit to attach to interface `{name}`: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Permission {
        /// Name of the interface.
        name: String,
    },
    /// The kernel has no XDP links.
    #[error(
        "this kernel cannot link XDP programs to interfaces; portguard needs Linux 5.12 or later"
    )]
    NoLinks,
    /// What leaves cannot be watched.
    #[error(
        "cannot watch what leaves interface `{name}`, which `replies: pass` needs (or write `replies: rules`): {source}"
    )]
    Egress {
        /// Name of the interface.
        name: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot attach to interface `{name}` in {mode} mode: {source}")]
    Other {
        /// Name of the interface.
        name: String,
        /// The mode that was asked for.
        mode: Mode,
        /// What the kernel says.
        source: io::Error,
    },
    /// The build is broken.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Programs at work on an interface. One that is pinned goes on when this is dropped, and when the process is killed;
/// [`Attachment::detach`] ends it.
#[derive(Debug)]
pub struct Attachment {
    /// Name of the interface when it was attached.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// Where the program runs.
    pub mode: Mode,
    /// Why it does not run natively, where `attach: auto` had to fall back.
    pub fallback: Option<String>,
    link: OwnedFd,
    /// Of the program that sees what leaves, if the policy asks for replies.
    egress: Option<Egress>,
}

impl Attachment {
    /// Attaches programs to an interface.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; nothing is attached then, and a program that was there stays.
    pub fn new(
        programs: Programs<'_>,
        interface: &Interface,
        wanted: AttachMode,
    ) -> Result<Self, AttachError> {
        if !interface.has_ethernet_header {
            return Err(AttachError::NotEthernet {
                name: interface.name.clone(),
                kind: interface.kind.clone(),
            });
        }
        // First, so that nothing is dropped whose beginning was not seen.
        let egress = watch(programs, &interface.name, interface.index)?;
        let attach = |mode| link(programs, interface, mode);
        let attached = match wanted {
            AttachMode::Native => attach(Mode::Native).map(|link| (link, Mode::Native, None)),
            AttachMode::Generic => attach(Mode::Generic).map(|link| (link, Mode::Generic, None)),
            AttachMode::Auto => match attach(Mode::Native) {
                Ok(link) => Ok((link, Mode::Native, None)),
                Err(
                    error @ (AttachError::NoNative { .. }
                    | AttachError::Mtu { .. }
                    | AttachError::Other { .. }),
                ) => {
                    attach(Mode::Generic).map(|link| (link, Mode::Generic, Some(error.to_string())))
                }
                Err(error) => Err(error),
            },
        };
        match attached {
            Ok((link, mode, fallback)) => Ok(Self {
                interface: interface.name.clone(),
                ifindex: interface.index,
                mode,
                fallback,
                link,
                egress,
            }),
            Err(error) => {
                if let Some(egress) = egress {
                    egress.detach();
                }
                Err(error)
            }
        }
    }

    /// Takes over what a daemon before this one attached to an interface and pinned. `None` if nothing of ours is at work
    /// there.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn adopt(interface: &Interface, state: &State) -> io::Result<Option<Self>> {
        let link = sys::open_pinned(&state.link(Hook::Xdp, interface.index))?;
        let info = sys::link_info(link.as_fd(), Hook::Xdp)?;
        // An index says nothing about an interface of another network namespace, nor about one that was made anew.
        let Some(xdp) = interface.xdp else {
            return Ok(None);
        };
        if info.ifindex != interface.index || info.program_id != xdp.program_id {
            return Ok(None);
        }
        let mode = match xdp.mode {
            ForeignMode::Native => Mode::Native,
            _ => Mode::Generic,
        };
        let egress = match Egress::open(&state.link(Hook::Egress, interface.index), interface.index)
        {
            Ok(egress) => Some(egress),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Self {
            interface: interface.name.clone(),
            ifindex: interface.index,
            mode,
            fallback: None,
            link,
            egress,
        }))
    }

    /// Pins what is not pinned yet, so that it goes on without this process.
    ///
    /// # Errors
    ///
    /// What the system says; it works all the same then, as long as this process lives.
    pub fn pin(&self, state: &State) -> io::Result<()> {
        state.pin_link(Hook::Xdp, self.ifindex, |path| {
            sys::pin(self.link.as_fd(), path)
        })?;
        match &self.egress {
            Some(egress) => state.pin_link(Hook::Egress, self.ifindex, |path| egress.pin(path)),
            None => state.unpin_link(Hook::Egress, self.ifindex),
        }
    }

    /// Takes the programs away.
    ///
    /// # Errors
    ///
    /// What the system says when a pin cannot be removed: then the programs stay at work.
    pub fn detach(self, state: Option<&State>) -> io::Result<()> {
        if let Some(state) = state {
            state.unpin_link(Hook::Xdp, self.ifindex)?;
            state.unpin_link(Hook::Egress, self.ifindex)?;
        }
        sys::link_detach(self.link.as_fd())?;
        if let Some(egress) = self.egress {
            egress.detach();
        }
        Ok(())
    }

    /// Puts programs in the place of the present ones between two packets. The link's descriptor is
    /// ours alone, so nobody else can have replaced it meanwhile.
    ///
    /// # Errors
    ///
    /// What the kernel says; the present ones stay then. [`is_gone`] tells whether the interface is no
    /// more.
    pub fn replace(&mut self, programs: Programs<'_>) -> io::Result<()> {
        match (programs.egress, &self.egress) {
            (Some(program), Some(present)) => present.replace(program).map_err(gone)?,
            (Some(_), None) => {
                let new = watch(programs, &self.interface, self.ifindex);
                self.egress = new.map_err(|error| match error {
                    AttachError::Gone { .. } => io::Error::from_raw_os_error(libc::ENOLINK),
                    error => io::Error::other(error),
                })?;
            }
            (None, _) => {}
        }
        sys::link_update(self.link.as_fd(), programs.xdp)?;
        if programs.egress.is_none()
            && let Some(egress) = self.egress.take()
        {
            egress.detach();
        }
        Ok(())
    }

    /// Whether what leaves is watched.
    #[must_use]
    pub fn watches_egress(&self) -> bool {
        self.egress.is_some()
    }
}

/// Whether an update failed because the interface was deleted: the link outlives it, empty.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOLINK)
}

/// Waits until no CPU runs a program that was replaced before, so that its counters are final.
pub fn wait_for_running_programs() {
    /// Programs run for microseconds.
    const LONG: Duration = Duration::from_millis(50);
    // A kernel with isolated CPUs (`nohz_full`) cannot be asked.
    if sys::wait_for_running_programs().is_err() {
        thread::sleep(LONG);
    }
}

/// Says of an interface that does not exist any more what an update of its links says.
fn gone(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENODEV) => io::Error::from_raw_os_error(libc::ENOLINK),
        _ => error,
    }
}

/// Attaches the program that sees what leaves, if the policy asks for replies.
fn watch(programs: Programs<'_>, name: &str, ifindex: u32) -> Result<Option<Egress>, AttachError> {
    let Some(program) = programs.egress else {
        return Ok(None);
    };
    match Egress::attach(program, ifindex) {
        Ok(egress) => Ok(Some(egress)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Err(AttachError::Gone {
            name: name.to_owned(),
        }),
        Err(source) => Err(AttachError::Egress {
            name: name.to_owned(),
            source,
        }),
    }
}

fn link(programs: Programs<'_>, interface: &Interface, mode: Mode) -> Result<OwnedFd, AttachError> {
    sys::link_create(programs.xdp, Hook::Xdp, interface.index, mode.flags())
        .map_err(|error| explain(error, interface, mode))
}

fn explain(error: io::Error, interface: &Interface, mode: Mode) -> AttachError {
    let name = interface.name.clone();
    match error.raw_os_error() {
        // The same mode is taken, or the other one is.
        Some(libc::EBUSY | libc::EEXIST) => foreign(name, interface),
        Some(libc::EOPNOTSUPP) if mode == Mode::Native => AttachError::NoNative { name },
        Some(libc::ERANGE) => AttachError::Mtu {
            name,
            mtu: interface.mtu,
        },
        Some(libc::ENODEV) => AttachError::Gone { name },
        Some(libc::EPERM | libc::EACCES) => AttachError::Permission { name },
        // The kernel knows no such command for this program type.
        Some(libc::EINVAL) if !kernel::at_least(5, 9) => AttachError::NoLinks,
        _ => AttachError::Other {
            name,
            mode,
            source: error,
        },
    }
}

/// Says what is known of the program on an interface, asking anew: it may have come meanwhile.
fn foreign(name: String, interface: &Interface) -> AttachError {
    let fresh = super::interfaces::list()
        .ok()
        .and_then(|all| all.into_iter().find(|other| other.index == interface.index));
    let xdp = fresh.map_or(interface.xdp, |fresh| fresh.xdp);
    let Some(XdpState { program_id, mode }) = xdp else {
        return AttachError::Foreign {
            name,
            program: "another XDP program".into(),
            word: "xdp",
        };
    };
    let title = match foreign::program_name(program_id) {
        Some(title) => format!(" `{title}`"),
        None => String::new(),
    };
    AttachError::Foreign {
        name,
        program: format!("another XDP program{title} (ID {program_id}, {mode} mode)"),
        word: mode.ip_word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Interface {
        Interface {
            mtu: 9000,
            ..Interface::ethernet(u32::MAX, "wan0")
        }
    }

    fn sentence(errno: i32, mode: Mode) -> String {
        explain(io::Error::from_raw_os_error(errno), &interface(), mode).to_string()
    }

    #[test]
    fn an_mtu_that_is_too_large_is_named_with_the_command_that_cures_it() {
        let text = sentence(libc::ERANGE, Mode::Native);
        assert!(
            text.contains("`wan0`") && text.contains("9000 bytes"),
            "{text}"
        );
        assert!(text.contains("ip link set dev wan0 mtu 1500"), "{text}");
    }

    #[test]
    fn a_driver_without_native_mode_is_named() {
        let text = sentence(libc::EOPNOTSUPP, Mode::Native);
        assert!(text.contains("no native XDP"), "{text}");
    }

    #[test]
    fn what_the_kernel_says_is_passed_on() {
        let text = sentence(libc::ENOMEM, Mode::Generic);
        assert!(
            text.contains("generic mode") && text.contains("memory"),
            "{text}"
        );
    }
}
