//! What a device does to a frame before a program sees it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::link::Mode;

/// Commands of `SIOCETHTOOL` (`linux/ethtool.h`). They read, and need no capability.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;

/// The set of strings that names the features of devices (kernel 3.3).
const ETH_SS_FEATURES: u32 = 4;

/// Bytes of one such name, padded with NUL.
const NAME_BYTES: usize = 32;

/// The names of the features by which a device takes a tag out of received frames and puts it into sent ones.
const CUSTOMER: [&str; 2] = ["rx-vlan-hw-parse", "tx-vlan-hw-insert"];
const SERVICE: [&str; 2] = ["rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert"];

/// What a device does with the outermost VLAN tag, by the tag's type.
///
/// What these features say holds for hardware. A veth has nothing to take out: it hands on what its peer sends,
/// whose tag is beside the frame unless `tx-vlan-hw-insert` is off there, whatever is on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagOffload {
    /// Tags of type 0x8100.
    pub customer: Offload,
    /// Tags of type 0x88a8.
    pub service: Offload,
}

/// What a device does with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// It takes the tag out of a received frame and hands it on beside it: a program does not see it.
    pub strips: bool,
    /// It puts a tag that is beside a frame into it when it sends it.
    pub inserts: bool,
}

impl TagOffload {
    /// Whether programs see frames without the outermost tag that they had on the wire.
    #[must_use]
    pub const fn strips(self) -> bool {
        self.customer.strips || self.service.strips
    }

    /// Whether what a program sends back lacks the tag of its request. A native program has the bytes of
    /// the frame alone. In generic mode the tag stays beside the frame, and the device is left to put it in.
    #[must_use]
    pub const fn loses_on_answer(self, mode: Mode) -> bool {
        match mode {
            Mode::Native => self.strips(),
            Mode::Generic => {
                (self.customer.strips && !self.customer.inserts)
                    || (self.service.strips && !self.service.inserts)
            }
        }
    }

    /// The command that leaves tags in the frames of an interface; `None` where they are left already.
    #[must_use]
    pub fn remedy(self, interface: &str) -> Option<String> {
        let kinds = [(self.customer, CUSTOMER), (self.service, SERVICE)];
        let words: String = kinds
            .into_iter()
            .filter(|(offload, _)| offload.strips)
            .map(|(_, [name, _])| format!(" {name} off"))
            .collect();
        (!words.is_empty()).then(|| format!("ethtool -K {interface}{words}"))
    }
}

/// Asks a device of this namespace what it does with tags.
///
/// # Errors
///
/// What the kernel says: `ENODEV` where there is no such device.
pub fn tag_offload(interface: &str) -> io::Result<TagOffload> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let names = names(&socket, interface)?;
    let active = active(&socket, interface, names.len())?;
    // A kernel that does not know a feature does not do it.
    let is_active = |name: &str| {
        let place = names.iter().position(|found| found == name);
        place.is_some_and(|place| active.get(place / 32).unwrap_or(&0) >> (place % 32) & 1 != 0)
    };
    let offload = |[strips, inserts]: [&str; 2]| Offload {
        strips: is_active(strips),
        inserts: is_active(inserts),
    };
    Ok(TagOffload {
        customer: offload(CUSTOMER),
        service: offload(SERVICE),
    })
}

/// The names of all features, in the order of their bits.
fn names(socket: &OwnedFd, interface: &str) -> io::Result<Vec<String>> {
    // Command, padding, mask of the sets asked for (64 bits), and the length of that set. The kernel clears
    // the mask where it does not know the set.
    let mut info = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
    let low_word = if cfg!(target_endian = "little") { 2 } else { 3 };
    info[low_word] = 1 << ETH_SS_FEATURES;
    ethtool(socket, interface, &mut info)?;
    let count = info[4] as usize;

    // Command, set, number, names. The kernel writes as many as it has: as many as it has just said.
    const HEAD: usize = 3;
    let mut strings = vec![0; HEAD + count * NAME_BYTES / size_of::<u32>()];
    strings[0] = ETHTOOL_GSTRINGS;
    strings[1] = ETH_SS_FEATURES;
    ethtool(socket, interface, &mut strings)?;
    let bytes: Vec<u8> = strings[HEAD..]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let name = |padded: &[u8]| {
        let name = padded.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    Ok(bytes.chunks_exact(NAME_BYTES).map(name).collect())
}

/// The features that are switched on: bit `n % 32` of word `n / 32`.
fn active(socket: &OwnedFd, interface: &str, features: usize) -> io::Result<Vec<u32>> {
    // Command, number of blocks, blocks of four words: available, requested, active, never changed.
    const HEAD: usize = 2;
    const BLOCK: usize = 4;
    const ACTIVE: usize = 2;
    let blocks = features.div_ceil(32);
    let mut words = vec![0; HEAD + blocks * BLOCK];
    words[0] = ETHTOOL_GFEATURES;
    words[1] = u32::try_from(blocks).unwrap_or(0);
    ethtool(socket, interface, &mut words)?;
    let blocks = words[HEAD..].chunks_exact(BLOCK);
    Ok(blocks.map(|block| block[ACTIVE]).collect())
}

/// Hands a command to the kernel, which writes its answer over it. The buffer must be as long as the answer.
fn ethtool(socket: &OwnedFd, interface: &str, buffer: &mut [u32]) -> io::Result<()> {
    // SAFETY: a structure of integers and a union of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte stays for the NUL at the end.
    let room = request.ifr_name.len() - 1;
    if interface.len() > room {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
    // SAFETY: the descriptor is open; the request is valid for reads and writes, and so is the buffer it points
    // to, which the callers made as long as the answer.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
