//! The program that sees what leaves, at work on an interface.
//!
//! From Linux 6.6 on it is a TCX link; before, a filter of the `clsact` queueing discipline, under a priority and handle
//! that are always the same, so that a daemon finds what one before it left.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use super::sys::{self, Hook};
use super::{kernel, netlink};

/// How the program gets to see packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressHook {
    /// TCX (kernel 6.6).
    Tcx,
    /// A filter of `clsact` (kernel 4.5).
    Clsact,
}

/// A program that sees what leaves through an interface. Dropped, a link that is not pinned ends; everything else stays
/// until [`Egress::detach`].
#[derive(Debug)]
pub struct Egress(Kind);

#[derive(Debug)]
enum Kind {
    Tcx(OwnedFd),
    Clsact(Filter),
}

impl Egress {
    /// Attaches a program in the way that this kernel knows.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn attach(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Self> {
        match Self::attach_to(EgressHook::Tcx, program, ifindex) {
            // An attach type that it does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Self::attach_to(EgressHook::Clsact, program, ifindex)
            }
            attached => attached,
        }
    }

    /// Attaches a program in this way.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn attach_to(hook: EgressHook, program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Self> {
        Ok(Self(match hook {
            EgressHook::Tcx => Kind::Tcx(sys::link_create(program, Hook::Egress, ifindex, 0)?),
            EgressHook::Clsact => Kind::Clsact(Filter::new(program, ifindex)?),
        }))
    }

    /// Takes over what a daemon before this one attached and pinned here, with the program that it has.
    ///
    /// # Errors
    ///
    /// What the kernel says; NotFound where nothing is pinned. Where the kernel knows filters of `clsact` alone, there is
    /// one, or none, which makes no difference to what can be done with it.
    pub fn open(path: &Path, ifindex: u32) -> io::Result<Self> {
        let link = match sys::open_pinned(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !kernel::at_least(6, 6) => {
                return Ok(Self(Kind::Clsact(Filter { ifindex })));
            }
            opened => opened?,
        };
        let info = sys::link_info(link.as_fd(), Hook::Egress)?;
        if info.ifindex != ifindex {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self(Kind::Tcx(link)))
    }

    /// Pins it, so that it outlasts this process. A filter of `clsact` does so by itself.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Tcx(link) => sys::pin(link.as_fd(), path),
            Kind::Clsact(_) => Ok(()),
        }
    }

    /// Ends it. A pin of it is left to the caller, and does nothing any more.
    pub fn detach(self) {
        match self.0 {
            Kind::Tcx(link) => {
                if let Err(error) = sys::link_detach(link.as_fd()) {
                    tracing::warn!("what leaves is still watched: {error}");
                }
            }
            Kind::Clsact(filter) => filter.remove(),
        }
    }

    /// Puts another program in its place between two packets.
    ///
    /// # Errors
    ///
    /// What the kernel says; the present one stays then.
    pub fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        match &self.0 {
            Kind::Tcx(link) => sys::link_update(link.as_fd(), program),
            Kind::Clsact(filter) => filter.set(program),
        }
    }
}

/// A filter of `clsact`.
#[derive(Debug)]
struct Filter {
    ifindex: u32,
}

impl Filter {
    /// Where the queueing discipline is (`TC_H_CLSACT` of linux/pkt_sched.h).
    const CLSACT: TcHandle = TcHandle {
        major: 0xffff,
        minor: 0xfff1,
    };
    /// Its filters of what leaves (`TC_H_MIN_EGRESS`).
    const EGRESS: TcHandle = TcHandle {
        major: 0xffff,
        minor: 0xfff3,
    };
    /// Before other filters, which may end the walk; of this priority, the newest is first.
    const PRIORITY: u32 = 1;
    /// "pg", so that it is nobody else's.
    const HANDLE: TcHandle = TcHandle {
        major: 0,
        minor: 0x7067,
    };

    fn new(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Self> {
        let mut discipline = message(ifindex, Self::CLSACT, "clsact");
        discipline.header.handle = TcHandle {
            major: Self::CLSACT.major,
            minor: 0,
        };
        let request = RouteNetlinkMessage::NewQueueDiscipline(discipline);
        match netlink::change(request, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => {
                return Err(missing(
                    error,
                    "queueing discipline `clsact`",
                    "sch_ingress",
                ));
            }
            // Somebody else's filters are there, or an earlier daemon's.
            _ => {}
        }
        let filter = Self { ifindex };
        filter.set(program)?;
        Ok(filter)
    }

    /// Makes the filter, or replaces its program.
    fn set(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut message = self.message();
        let options = [
            TcFilterBpfOption::ProgFd(program.as_raw_fd().cast_unsigned()),
            TcFilterBpfOption::ProgName("portguard_egress".into()),
            TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
        ];
        message.attributes.push(TcAttribute::Options(
            options.into_iter().map(TcOption::Bpf).collect(),
        ));
        netlink::change(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE)
            .map_err(|error| missing(error, "filter `bpf`", "cls_bpf"))
    }

    /// The queueing discipline stays: others may have their filters there, and without any it does nothing.
    fn remove(&self) {
        let removal = RouteNetlinkMessage::DelTrafficFilter(self.message());
        match netlink::change(removal, 0) {
            // The interface is gone, and all of its filters; or there is none.
            Err(error)
                if !matches!(
                    error.raw_os_error(),
                    Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)
                ) =>
            {
                tracing::warn!(
                    ifindex = self.ifindex,
                    "the filter that watches what leaves interface {} stays: {error}",
                    self.ifindex
                );
            }
            _ => {}
        }
    }

    fn message(&self) -> TcMessage {
        let mut message = message(self.ifindex, Self::EGRESS, TcFilterBpf::KIND);
        message.header.handle = Self::HANDLE;
        let any_protocol = (libc::ETH_P_ALL as u16).to_be();
        message.header.info = Self::PRIORITY << 16 | u32::from(any_protocol);
        message
    }
}

/// Says which module is meant where the kernel does not know the kind of what was to be made. It loads the module by
/// itself if there is one.
fn missing(error: io::Error, kind: &str, module: &str) -> io::Error {
    if error.raw_os_error() != Some(libc::ENOENT) {
        return error;
    }
    let text = format!(
        "this kernel has no {kind}, which is needed before Linux 6.6, and no module `{module}` to load for it (`modprobe {module}`)"
    );
    io::Error::new(io::ErrorKind::NotFound, text)
}

fn message(ifindex: u32, parent: TcHandle, kind: &str) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = ifindex.cast_signed();
    message.header.parent = parent;
    message.attributes.push(TcAttribute::Kind(kind.into()));
    message
}
