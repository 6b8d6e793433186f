//! System calls that aya does not offer, or offers without what safe change needs: a link that is lost
//! when its update fails, and an attachment that falls back to another kind in silence.

use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU64};

use aya_obj::generated::{
    BPF_F_MMAPABLE, bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_link_info, bpf_map_type,
    bpf_prog_type,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `MEMBARRIER_CMD_GLOBAL` (kernel 4.3).
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// What a program is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// What arrives, before the network stack (kernel 5.9).
    Xdp,
    /// What leaves (TCX, kernel 6.6).
    Egress,
}

/// Creates a link of a program to an interface. It lasts while its descriptor is open.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    hook: Hook,
    ifindex: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
    attr.link_create.attach_type = match hook {
        Hook::Xdp => bpf_attach_type::BPF_XDP as u32,
        Hook::Egress => bpf_attach_type::BPF_TCX_EGRESS as u32,
    };
    attr.link_create.flags = flags;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Replaces the program of a link in one step (kernel 5.9).
pub(super) fn link_update(link: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_update.link_fd = link.as_raw_fd().cast_unsigned();
    attr.link_update.__bindgen_anon_1.new_prog_fd = new.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Ends a link at once, whoever holds it (kernel 5.9). Closing the last descriptor does the same, but some time later.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
    match bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) {
        // The interface is gone.
        Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => Err(error),
        _ => Ok(()),
    }
}

/// What the kernel says of a link to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// The ID of its program.
    pub(super) program_id: u32,
    /// The index of its interface; 0 once that was deleted.
    pub(super) ifindex: u32,
}

/// Asks the kernel what a link of this hook links (kernel 5.9).
pub(super) fn link_info(link: BorrowedFd<'_>, hook: Hook) -> io::Result<LinkInfo> {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    attr.info.bpf_fd = link.as_raw_fd().cast_unsigned();
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = (&raw mut info) as u64;
    // The kernel writes at most `info_len` bytes to `info`, which lives until the call is over.
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: of such a link the kernel fills this member; until it does, it is zero.
    let ifindex = unsafe {
        match hook {
            Hook::Xdp => info.__bindgen_anon_1.xdp.ifindex,
            Hook::Egress => info.__bindgen_anon_1.tcx.ifindex,
        }
    };
    Ok(LinkInfo {
        program_id: info.prog_id,
        ifindex,
    })
}

/// Pins a link in a BPF file system: it then lasts until the file is removed, too.
pub(super) fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = link.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens a link that is pinned.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr)
}

/// Creates a map of one element of so many bytes, which programs reach by its address and processes by their memory
/// (`BPF_F_MMAPABLE`, kernel 5.5). The kernel shows the first 15 characters of its name.
pub(super) fn create_memory(name: &str, bytes: usize) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: a member of integers, which are zero.
    let map = unsafe { &mut attr.__bindgen_anon_1 };
    map.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    map.key_size = size_of::<u32>() as u32;
    map.value_size = u32::try_from(bytes).map_err(|_overflow| io::ErrorKind::OutOfMemory)?;
    map.max_entries = 1;
    map.map_flags = BPF_F_MMAPABLE;
    let places = map.map_name.iter_mut().rev().skip(1).rev();
    for (place, byte) in places.zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// What an XDP program of these instructions returns for a frame of zeros. A signal would end the verifier's work (`EAGAIN`), so none reaches
/// this thread meanwhile.
pub(super) fn run_once(instructions: &[bpf_insn]) -> io::Result<u32> {
    without_signals(|| load_and_run(instructions))?
}

fn load_and_run(instructions: &[bpf_insn]) -> io::Result<u32> {
    let mut attr = zeroed();
    attr.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
    attr.__bindgen_anon_3.insns = instructions.as_ptr() as u64;
    attr.__bindgen_anon_3.insn_cnt = instructions.len() as u32;
    attr.__bindgen_anon_3.license = c"Dual MIT/GPL".as_ptr() as u64;
    let program = bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr)?;
    let frame = [0_u8; 64];
    let mut attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.repeat = 1;
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: a number, which the kernel has written.
    Ok(unsafe { attr.test.retval })
}

/// Waits until every program that was running when this was called has ended: an RCU grace period.
pub(super) fn wait_for_running_programs() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether the kernel knows the system call. What it says to a question that it refuses does not matter.
pub(super) fn has_bpf() -> bool {
    // Asked for with an ID that no program has, it changes nothing.
    let mut attr = zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = u32::MAX;
    let asked = bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr);
    asked.err().and_then(|error| error.raw_os_error()) != Some(libc::ENOSYS)
}

/// Does something while no signal reaches this thread.
pub(super) fn without_signals<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    let mask = |how, set: *const libc::sigset_t, before: *mut libc::sigset_t| {
        // SAFETY: both are null or a set of signals of this function, valid until this returns.
        match unsafe { libc::pthread_sigmask(how, set, before) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    };
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: it writes to the set, all of which it initialises.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    mask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr())?;
    let result = act();
    mask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut())?;
    Ok(result)
}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of structures of integers, for which zero is a value; the kernel wants every
    // field that a command does not use to be zero.
    unsafe { std::mem::zeroed() }
}

fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    let fd = i32::try_from(fd).map_err(|_overflow| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just created this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    let size = size_of_val(attr);
    // SAFETY: `attr` is valid for reads and writes of `size` bytes, and every pointer in it is null or valid for what the
    // command does with it, until this returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The bytes of a table.
pub(super) fn bytes<T: aya::Pod>(entries: &[T]) -> &[u8] {
    // SAFETY: what is `Pod` is made of integers without padding, so that all its bytes are initialised; the slice covers just them, and
    // lives as long as they are borrowed.
    unsafe { std::slice::from_raw_parts(entries.as_ptr().cast(), size_of_val(entries)) }
}

/// The elements of a map, in the memory of this process: programs and other processes write to them, too.
pub(super) struct Words {
    first: NonNull<AtomicU64>,
    bytes: usize,
}

impl Words {
    /// Of an array of at least so many bytes that was made for it (`BPF_F_MMAPABLE`, kernel 5.5).
    pub(super) fn of_map(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses where, so nothing else of this process is there.
        let first = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, map, 0) }?;
        let first = NonNull::new(first.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { first, bytes })
    }

    /// All words.
    pub(super) fn all(&self) -> &[AtomicU64] {
        // SAFETY: the kernel mapped that many bytes there, from the beginning of a page on, and they stay until this is dropped. Any bits
        // are a number. Whoever else writes to them does it outside of this program, so that only the processor has a say in what is read
        // meanwhile: a word at a time, or a part of one that lies in it.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.bytes / size_of::<u64>()) }
    }

    /// All bytes, of what is written to byte by byte.
    pub(super) fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts(self.first.as_ptr().cast(), self.bytes) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: nothing borrows it any more. It cannot fail: it was mapped just so.
        let unmapped = unsafe { munmap(self.first.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
