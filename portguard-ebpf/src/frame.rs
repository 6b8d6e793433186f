//! Reading and writing a frame in the kernel.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use portguard_common::packet::{Extension, Frame, OFFSET_MASK};
use portguard_common::plain::{Direct, View};

use crate::extension::{self, Walk};
use crate::tables::{Device, bounded};

/// The first buffer of a frame, read directly: all of it, but for the rare frame of several buffers.
pub(crate) struct FirstBuffer<D> {
    device: D,
    data: usize,
    data_end: usize,
}

/// The first buffer of a frame that arrives.
pub(crate) type Received = FirstBuffer<*mut xdp_md>;

impl Received {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            device: ctx.ctx,
            data: ctx.data(),
            data_end: ctx.data_end(),
        }
    }
}

impl FirstBuffer<*mut __sk_buff> {
    /// Of a packet that leaves.
    #[inline(always)]
    pub(crate) fn of_sent(ctx: &TcContext) -> Self {
        Self {
            device: ctx.skb.skb,
            data: ctx.data(),
            data_end: ctx.data_end(),
        }
    }
}

impl<D> FirstBuffer<D> {
    /// Writes bytes at `offset`, or `None` where the buffer ends before.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&self, offset: u32, bytes: [u8; N]) -> Option<()> {
        let start = self.start::<N>(offset)?;
        // SAFETY: `start` gave the place of `N` bytes in the buffer, which a program may write to.
        unsafe { (start as *mut [u8; N]).write(bytes) };
        Some(())
    }

    /// The address of `N` bytes at `offset`, or `None` where the buffer ends before.
    #[inline(always)]
    fn start<const N: usize>(&self, offset: u32) -> Option<usize> {
        let mut start = self.data + offset as usize;
        // The verifier knows that the bytes are there only of the very register that was compared: keep
        // the compiler from computing the address a second time.
        // SAFETY: there is no instruction.
        unsafe { asm!("/*{0}*/", inout(reg) start, options(pure, nomem, nostack)) };
        (start + N <= self.data_end).then_some(start)
    }
}

impl<D: Device + Walk> Frame for FirstBuffer<D> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = self.start::<N>(offset)?;
        // SAFETY: `start` compared, which the verifier checks too, so these bytes lie in the first
        // buffer; an array of bytes has no alignment.
        Some(unsafe { (start as *const [u8; N]).read() })
    }

    #[inline(always)]
    fn forget(&self, offset: u32) -> u32 {
        forget(self.device.ifindex(), offset)
    }

    #[inline(always)]
    fn forget_number(&self, number: u32) -> u32 {
        conceal(self.device.ifindex(), number)
    }

    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        self.device.extension(protocol, offset, end)
    }
}

/// Bytes of the first buffer that the verifier has seen to be there.
pub(crate) struct Seen(usize);

impl View for Seen {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        // SAFETY: the caller keeps to what was compared, and the verifier makes sure of it; an array of bytes has no alignment.
        unsafe { ((self.0 + offset as usize) as *const [u8; N]).read() }
    }
}

impl<D: Device + Walk> Direct for FirstBuffer<D> {
    type View = Seen;

    #[inline(always)]
    fn view<const N: usize>(&self, offset: u32) -> Option<Seen> {
        self.start::<N>(offset).map(Seen)
    }

    #[inline(always)]
    fn bounded(number: u16) -> u16 {
        bounded(number.into())
    }
}

/// A whole frame, read through the kernel: slower, but it knows all buffers.
pub(crate) struct AllBuffers {
    ctx: *mut xdp_md,
}

impl AllBuffers {
    #[inline(always)]
    pub(crate) fn new(ctx: *mut xdp_md) -> Self {
        Self { ctx }
    }
}

impl Frame for AllBuffers {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let buffer = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: the context is the one that the kernel passed in, the buffer has `N` bytes.
        let failed = unsafe { bpf_xdp_load_bytes(self.ctx, offset, buffer, N as u32) };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn forget(&self, offset: u32) -> u32 {
        forget(self.ctx.ifindex(), offset)
    }

    #[inline(always)]
    fn forget_number(&self, number: u32) -> u32 {
        conceal(self.ctx.ifindex(), number)
    }

    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        extension::in_all_buffers(self.ctx, protocol, offset, end)
    }
}

/// Mixes in and takes out again a number that the verifier does not know, and states the bound anew.
#[inline(always)]
pub(crate) fn forget(unknown: u32, offset: u32) -> u32 {
    conceal(unknown, offset) & OFFSET_MASK
}

/// The same without a bound.
#[inline(always)]
pub(crate) fn conceal(unknown: u32, number: u32) -> u32 {
    let mut value = u64::from(number);
    // SAFETY: the instructions touch a register alone. They are written out, since the compiler would see that they
    // cancel out.
    unsafe {
        let unknown = u64::from(unknown);
        asm!(
            "{value} ^= {unknown}",
            "{value} ^= {unknown}",
            value = inout(reg) value,
            unknown = in(reg) unknown,
            options(pure, nomem, nostack),
        );
    }
    value as u32
}

/// Bytes of the first buffer: the whole frame, but for the rare frame of several buffers.
#[inline(always)]
pub(crate) fn first_buffer_len(ctx: &XdpContext) -> u64 {
    (ctx.data_end() - ctx.data()) as u64
}

/// Bytes of the whole frame, asked of the kernel (5.18 and later).
#[inline(always)]
pub(crate) fn frame_len(ctx: &XdpContext) -> u64 {
    // SAFETY: the context is the one that the kernel passed in.
    unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) }
}
