//! A VLAN device, in user space: not every kernel was built with its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use crate::namespace::Namespace;
use crate::raw::{self, RawSocket};

/// How often its threads look whether they shall end.
const TICK: Duration = Duration::from_millis(20);

/// EtherType of a customer's tag (IEEE 802.1Q).
const CUSTOMER_TAG: u16 = 0x8100;

/// A device whose frames leave through another one with a tag, and which gets the tagged frames that arrive there;
/// until dropped. The other device must carry nothing else, since a packet socket does not show the tag.
#[derive(Debug)]
pub struct VlanDevice {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl VlanDevice {
    /// Makes the device `name` for this VLAN ID on `below`, up and with the same hardware address.
    ///
    /// # Errors
    ///
    /// When the name is taken, or `below` does not exist.
    pub fn new(host: &Namespace, below: &str, id: u16, name: &str) -> anyhow::Result<Self> {
        let tap = host
            .enter(|| open_tap(name))?
            .with_context(|| format!("cannot make the device `{name}`"))?;
        let [a, b, c, d, e, f] = raw::hardware_address(host, below)?;
        host.ip(&format!(
            "link set dev {name} address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
        ))?;
        host.ip(&format!("link set dev {name} up"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let leaving = {
            let (stop, mut tap) = (Arc::clone(&stop), tap.try_clone()?);
            let socket = RawSocket::open(host, below)?;
            move || tag(&mut tap, &socket, id, &stop)
        };
        let arriving = {
            let (stop, mut tap) = (Arc::clone(&stop), tap);
            let socket = RawSocket::open(host, below)?;
            move || untag(&socket, &mut tap, &stop)
        };
        Ok(Self {
            stop,
            threads: vec![thread::spawn(leaving), thread::spawn(arriving)],
        })
    }
}

impl Drop for VlanDevice {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What failed has shown by the traffic that did not go through.
            let _ended = thread.join();
        }
    }
}

/// A device whose other side is a file of frames.
fn open_tap(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: a structure of integers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is valid for reads and writes of its size.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn tag(tap: &mut File, socket: &RawSocket, id: u16, stop: &AtomicBool) -> io::Result<()> {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        if raw::wait(tap, TICK)? {
            let length = tap.read(&mut buffer)?;
            let mut frame = buffer[..length].to_vec();
            raw::insert_tags(&mut frame, &[(CUSTOMER_TAG, id)]);
            socket.send(&frame)?;
        }
    }
    Ok(())
}

fn untag(socket: &RawSocket, tap: &mut File, stop: &AtomicBool) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        for frame in socket.receive(TICK, 1)? {
            tap.write_all(&frame)?;
        }
    }
    Ok(())
}
