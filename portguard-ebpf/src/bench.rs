//! Programs for measuring: the floor that every figure is compared with, and one that draws packets.

#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, LpmTrie, ProgramArray};
use aya_ebpf::programs::XdpContext;
use portguard_common::draw::{
    Draw, Ports, Stretch, Tuple, destination_v4, destination_v6, source_v4, source_v6,
};

/// Overwritten by the loader and frozen.
#[unsafe(no_mangle)]
static DRAW: Draw = Draw {
    sources: 0,
    destinations: 0,
    source_ports: Ports { first: 0, count: 0 },
    ports: Ports { first: 0, count: 0 },
    paired: 0,
    v6: 0,
};

/// How many packets were drawn.
static mut DRAWN: u64 = 0;

/// Since the loader last set it to zero.
#[map]
static STRETCH: Array<Stretch> = Array::with_max_entries(1, 0);

/// The program under test.
#[map]
static UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Sized by the loader. The flag is `BPF_F_NO_PREALLOC`, without which the kernel makes none.
#[map]
static PREFIXES: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 1);

/// Drops every frame unseen.
#[xdp(frags)]
fn empty_drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Draws a packet and hands it to the program under test. A frame that is too short is aborted, and so is one where
/// there is no such program.
#[xdp(frags)]
fn drawn(ctx: XdpContext) -> u32 {
    // SAFETY: only one program at a time is measured, and the frozen value is of this type. Volatile, since the
    // compiler sees only the zeros.
    let (draw, index) = unsafe {
        let drawn = &raw mut DRAWN;
        let index = drawn.read_volatile();
        drawn.write_volatile(index + 1);
        ((&raw const DRAW).read_volatile(), index)
    };
    if index % Stretch::TIMED == 0 {
        time(index);
    }
    let tuple = draw.tuple(index);
    let written = if draw.v6 == 0 {
        write_v4(&ctx, &tuple)
    } else {
        write_v6(&ctx, &tuple)
    };
    if written.is_some() {
        // SAFETY: the context is the one that the kernel passed in; nothing here needs dropping. A constant index, so
        // that the kernel makes a jump of it.
        unsafe { UNDER_TEST.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

/// Notes the time of a packet. Never inlined, so that the way of all others needs no register for it.
#[inline(never)]
fn time(index: u64) {
    let Some(stretch) = STRETCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the helper has no preconditions; the pointer is that of a map element, which only one program at a time uses.
    unsafe {
        let now_ns = bpf_ktime_get_ns();
        if (*stretch).first_ns == 0 {
            (*stretch).first_ns = now_ns;
            (*stretch).first = index;
        }
        (*stretch).last_ns = now_ns;
        (*stretch).last = index;
    }
}

/// Looks the source of an IPv4 packet up in the kernel's own table of prefixes.
#[xdp(frags)]
fn kernel_trie(ctx: XdpContext) -> u32 {
    let Some(source) = place::<[u8; 4]>(&ctx, SOURCE_V4) else {
        return XDP_ABORTED;
    };
    // SAFETY: `place` compared; an array of bytes has no alignment.
    let key = Key::new(32, unsafe { source.read() });
    if PREFIXES.get(key).is_some() {
        XDP_DROP
    } else {
        XDP_PASS
    }
}

/// Offsets in an Ethernet frame without tags, of headers without options.
const SOURCE_V4: usize = 14 + 12;
const SOURCE_V6: usize = 14 + 8;

/// Source and destination, then the ports with the four bytes behind them: words as the filter reads them. A processor
/// that finds only a part of what it reads among its last writes waits until these are through, and no packet that
/// comes from a device was written just before.
type V4 = [u64; 2];
type V6 = [u64; 5];

#[inline(always)]
fn write_v4(ctx: &XdpContext, tuple: &Tuple) -> Option<()> {
    let fields = place::<V4>(ctx, SOURCE_V4)?;
    let source = u64::from(source_v4(tuple.source));
    let addresses = source << 32 | u64::from(destination_v4(tuple.destination));
    // SAFETY: `place` compared. Packets need no alignment here.
    unsafe {
        let [_, transport] = fields.read_unaligned();
        fields.write_unaligned([addresses.to_be(), with_ports(transport, tuple)]);
    }
    Some(())
}

#[inline(always)]
fn write_v6(ctx: &XdpContext, tuple: &Tuple) -> Option<()> {
    let fields = place::<V6>(ctx, SOURCE_V6)?;
    let source = source_v6(tuple.source).map(u64::to_be);
    let destination = destination_v6(tuple.destination).map(u64::to_be);
    // SAFETY: as above.
    unsafe {
        let [.., transport] = fields.read_unaligned();
        fields.write_unaligned([
            source[0],
            source[1],
            destination[0],
            destination[1],
            with_ports(transport, tuple),
        ]);
    }
    Some(())
}

/// The first eight bytes of a transport header, with other ports.
#[inline(always)]
fn with_ports(transport: u64, tuple: &Tuple) -> u64 {
    let ports = u64::from(tuple.source_port) << 16 | u64::from(tuple.port);
    (u64::from_be(transport) & 0xffff_ffff | ports << 32).to_be()
}

/// Where a `T` lies at an offset; `None` where the frame ends before.
#[inline(always)]
fn place<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data() + offset;
    (start + size_of::<T>() <= ctx.data_end()).then_some(start as *mut T)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier accepts no program in which this could be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
