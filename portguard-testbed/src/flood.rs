//! Floods: frames as fast as the kernel can make them.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use anyhow::Context as _;

use crate::namespace::Namespace;

/// A program that sends each frame out through one device, run by the kernel on frames of its own making ("live frames",
/// `BPF_F_TEST_XDP_LIVE_FRAMES` of linux/bpf.h, kernel 5.18).
#[derive(Debug)]
pub struct Flood<'a> {
    host: &'a Namespace,
    program: OwnedFd,
}

impl<'a> Flood<'a> {
    /// Makes one that sends out through a device of a host. Whatever is at its other end must have an XDP program.
    ///
    /// # Errors
    ///
    /// When the device does not exist, or the kernel refuses.
    pub fn new(host: &'a Namespace, device: &str) -> anyhow::Result<Self> {
        let index = i32::try_from(host.index_of(device)?)?;
        let program = load(index).context("cannot load a program that sends")?;
        Ok(Self { host, program })
    }

    /// Sends a frame so many times. What the other end has no room for is lost on the way.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send(&self, frame: &[u8], times: u32) -> anyhow::Result<()> {
        let run = TestRun {
            program: self.program.as_raw_fd().cast_unsigned(),
            data_in: frame.as_ptr() as u64,
            data_size_in: u32::try_from(frame.len())?,
            repeat: times,
            flags: LIVE_FRAMES,
            ..TestRun::default()
        };
        // The kernel takes the index of the device for one of the namespace in which the frames are made.
        self.host.enter(|| bpf(PROGRAM_TEST_RUN, &run))??;
        Ok(())
    }
}

const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_TEST_RUN: libc::c_long = 10;
const TYPE_XDP: u32 = 6;
const LIVE_FRAMES: u32 = 1 << 1;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// `BPF_ALU64 | BPF_MOV | BPF_K`.
    const fn set(register: u8, immediate: i32) -> Self {
        Self {
            code: 0xb7,
            registers: register,
            offset: 0,
            immediate,
        }
    }

    /// `BPF_JMP | BPF_CALL` of a helper.
    const fn call(helper: i32) -> Self {
        Self {
            code: 0x85,
            registers: 0,
            offset: 0,
            immediate: helper,
        }
    }

    /// `BPF_JMP | BPF_EXIT`.
    const EXIT: Self = Self {
        code: 0x95,
        registers: 0,
        offset: 0,
        immediate: 0,
    };
}

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest for zero.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// Those for `BPF_PROG_TEST_RUN`.
#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

fn load(ifindex: i32) -> io::Result<OwnedFd> {
    const REDIRECT: i32 = 23;
    let program = [
        Instruction::set(1, ifindex),
        Instruction::set(2, 0),
        Instruction::call(REDIRECT),
        Instruction::EXIT,
    ];
    let load = Load {
        kind: TYPE_XDP,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    let descriptor = RawFd::try_from(bpf(PROGRAM_LOAD, &load)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` begins as `union bpf_attr` does for this command, all that it points to outlives the call, and
    // the kernel is told its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
