//! What this kernel can do.

use std::{fs, io};

use aya::util::KernelVersion;

use super::sys;

/// Whether the running kernel has at least this version. A kernel that does not tell counts as old, for
/// which everything is done the older way.
pub(super) fn at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}

/// Has aya find out what the running kernel can do, which it does once. A signal that came meanwhile would interrupt the verifier (EAGAIN), and aya
/// would take it for good that the kernel can not.
pub(super) fn find_features() -> io::Result<()> {
    sys::without_signals(|| {
        aya::features();
    })
}

/// Whether XDP programs may see frames of several buffers (kernel 5.18).
pub(super) fn has_multi_buffer() -> bool {
    at_least(5, 18)
}

/// Bytes of the largest table that the running kernel takes: before 6.0 what it has in one piece (`KMALLOC_MAX_SIZE`).
pub(super) fn largest_table() -> usize {
    if at_least(6, 0) {
        i32::MAX as usize
    } else {
        4 << 20
    }
}

/// How many CPUs there can ever be, of which none has a higher number.
pub(super) fn cpus() -> io::Result<u32> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let text = fs::read_to_string(POSSIBLE)?;
    // Ranges of numbers, in order.
    let last = text.trim().rsplit([',', '-']).next();
    let last: Option<u32> = last.and_then(|last| last.parse().ok());
    let count = last.and_then(|last| last.checked_add(1));
    count.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, POSSIBLE))
}

/// Whether the running kernel has the system call `bpf`, and nothing takes it away.
#[must_use]
pub fn has_bpf() -> bool {
    sys::has_bpf()
}
