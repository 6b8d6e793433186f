//! Questions to a network device. They read, and need no capability.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Commands of `SIOCETHTOOL` (`linux/ethtool.h`).
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// The set of strings that names the features of devices (kernel 3.3).
const ETH_SS_FEATURES: u32 = 4;

/// Bytes of one such name, and of a driver's, padded with NUL.
const NAME_BYTES: usize = 32;

/// Words of `struct ethtool_drvinfo`.
const DRIVER_INFO_WORDS: usize = 49;

/// A device of this namespace.
pub(super) struct Device<'n> {
    name: &'n str,
    socket: OwnedFd,
}

/// The pairs of queues of a device, or its receive queues where they come without a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Queues that receive.
    pub receiving: u32,
    /// As many as the device can have.
    pub most: u32,
    /// Whether they come in pairs with queues that send.
    pub combined: bool,
}

impl<'n> Device<'n> {
    /// A device by its name. That there is one, the first question finds out.
    pub(super) fn new(name: &'n str) -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self { name, socket })
    }

    /// The name of its driver.
    pub(super) fn driver(&self) -> io::Result<String> {
        let mut words = [0; DRIVER_INFO_WORDS];
        words[0] = ETHTOOL_GDRVINFO;
        self.ask(&mut words)?;
        Ok(name(&bytes(&words[1..])[..NAME_BYTES]))
    }

    /// Its queues; `None` where the driver does not tell.
    pub(super) fn channels(&self) -> io::Result<Option<Channels>> {
        // Command; most of receiving, sending, other, combined; as many as there are, in the same order.
        let mut words = [0; 9];
        words[0] = ETHTOOL_GCHANNELS;
        match self.ask(&mut words) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(None),
            asked => asked?,
        }
        let [
            _,
            most_receiving,
            _,
            _,
            most_combined,
            receiving,
            _,
            _,
            combined,
        ] = words;
        Ok(Some(Channels {
            receiving: receiving.saturating_add(combined),
            most: most_receiving.saturating_add(most_combined),
            combined: most_combined > 0,
        }))
    }

    /// The features that are switched on, by their names.
    pub(super) fn active_features(&self) -> io::Result<Vec<String>> {
        let names = self.feature_names()?;
        // Command, number of blocks, blocks of four words: available, requested, active, never changed.
        const HEAD: usize = 2;
        const BLOCK: usize = 4;
        const ACTIVE: usize = 2;
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; HEAD + blocks * BLOCK];
        words[0] = ETHTOOL_GFEATURES;
        words[1] = u32::try_from(blocks).unwrap_or(0);
        self.ask(&mut words)?;
        let active: Vec<u32> = words[HEAD..]
            .chunks_exact(BLOCK)
            .map(|block| block[ACTIVE])
            .collect();
        // Bit `n % 32` of word `n / 32`.
        let is_active = |place: usize| active.get(place / 32).unwrap_or(&0) >> (place % 32) & 1;
        Ok(names
            .into_iter()
            .enumerate()
            .filter(|(place, _)| is_active(*place) != 0)
            .map(|(_, name)| name)
            .collect())
    }

    /// The names of all features, in the order of their bits.
    fn feature_names(&self) -> io::Result<Vec<String>> {
        // Command, padding, mask of the sets asked for (64 bits), and the length of that set. The kernel clears
        // the mask where it does not know the set.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        let low_word = if cfg!(target_endian = "little") { 2 } else { 3 };
        info[low_word] = 1 << ETH_SS_FEATURES;
        self.ask(&mut info)?;
        let count = info[4] as usize;

        // Command, set, number, names. The kernel writes as many as it has: as many as it has just said.
        const HEAD: usize = 3;
        let mut strings = vec![0; HEAD + count * NAME_BYTES / size_of::<u32>()];
        strings[0] = ETHTOOL_GSTRINGS;
        strings[1] = ETH_SS_FEATURES;
        self.ask(&mut strings)?;
        let names = bytes(&strings[HEAD..]);
        Ok(names.chunks_exact(NAME_BYTES).map(name).collect())
    }

    /// Hands a command to the kernel, which writes its answer over it. The buffer must be as long as the answer.
    fn ask(&self, buffer: &mut [u32]) -> io::Result<()> {
        // SAFETY: a structure of integers and a union of them, for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // One byte stays for the NUL at the end.
        let room = request.ifr_name.len() - 1;
        if self.name.len() > room {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (place, byte) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *place = byte.cast_signed();
        }
        request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
        let socket = self.socket.as_raw_fd();
        // SAFETY: the descriptor is open; the request is valid for reads and writes, and so is the buffer it points
        // to, which the callers made as long as the answer.
        let result = unsafe { libc::ioctl(socket, libc::SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A name that is padded with NUL.
fn name(padded: &[u8]) -> String {
    let name = padded.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
