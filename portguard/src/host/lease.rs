//! Whether somebody is writing a file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::fstatfs;

/// What is known about writers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nobody has the file open for writing, and who wants to waits until the file that was asked about is closed.
    None,
    /// Somebody has it open for writing.
    Present,
    /// This file system cannot tell, or not to us.
    Unknown,
}

/// From `asm-generic/fcntl.h`, as all processors have it that eBPF runs on but PA-RISC.
const F_SETSIG: libc::c_int = 10;

/// File systems of `statfs(2)` that refuse a lease also where there is no writer: NFS, CIFS, SMB2.
const OF_THE_NETWORK: [u32; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// Finds out whether a file that is open for reading is open for writing elsewhere, by a read lease (`fcntl(2)`, "Leases"),
/// which ends when the file is closed. Meanwhile the kernel holds up who would write, so it is not to be kept for long.
#[must_use]
pub fn writer_of(file: &File) -> Writer {
    // The kernel tells us by a signal that somebody waits for the end of the lease. SIGIO would end this process;
    // SIGURG is ignored by default.
    let result = control(file, F_SETSIG, libc::SIGURG)
        .and_then(|()| control(file, libc::F_SETLEASE, libc::F_RDLCK));
    match result {
        Ok(()) => Writer::None,
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && !is_of_the_network(file) => {
            Writer::Present
        }
        // Not our file and no CAP_LEASE, or a file system without leases.
        Err(_) => Writer::Unknown,
    }
}

fn is_of_the_network(file: &File) -> bool {
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a magic number of 32 bits, whatever type a platform gives it"
    )]
    fstatfs(file).map_or(true, |found| {
        OF_THE_NETWORK.contains(&(found.f_type as u32))
    })
}

fn control(file: &File, command: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take an integer and no pointer, and the descriptor is open as long as `file`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_writer_is_seen_as_long_as_it_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let open = || File::open(&path).unwrap();
        assert_eq!(writer_of(&open()), Writer::None);
        let writer = File::options().append(true).open(&path).unwrap();
        assert_eq!(writer_of(&open()), Writer::Present);
        drop(writer);
        assert_eq!(writer_of(&open()), Writer::None);
    }

    #[test]
    fn who_wants_to_write_waits_and_we_live() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(writer_of(&reader), Writer::None);
        let begin = std::time::Instant::now();
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || fs::write(path, "y"))
        };
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        drop(reader);
        writer.join().unwrap().unwrap();
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
        assert_eq!(fs::read(&path).unwrap(), b"y");
    }
}
