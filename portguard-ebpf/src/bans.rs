//! The bans, in maps that outlive a generation.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{BanEnd, BanKey, BanLengths, CacheLine, Setting};
use portguard_common::ban::{self, Address, Bans, is_banned, source};
use portguard_common::ban_filter;
use portguard_common::ban_table::{BanPlaces, digest};
use portguard_common::packet::OFFSET_MASK;
use portguard_common::places::LineTable;

use crate::constants::{is_set, setting};
use crate::frame::{AllBuffers, Received};
use crate::lines::{KernelLine, MMAPABLE};
use crate::seed::seed;
use crate::tables::time_of;

/// `BPF_F_NO_PREALLOC` (linux/bpf.h): a ban takes memory when it is made.
const NO_PREALLOC: u32 = 1;

// All are sized by the loader.

/// What is banned. Only the daemon reads and writes it.
#[map]
static BANS: HashMap<BanKey, BanEnd> = HashMap::with_max_entries(1, NO_PREALLOC);

/// Where that is looked up. Only the daemon writes it.
#[map]
static BAN_PLACES: Array<CacheLine> = Array::with_max_entries(1, MMAPABLE);

/// Whom there is no need to look up. Only the daemon writes it.
#[map]
static BAN_FILTER: Array<u64> = Array::with_max_entries(1, MMAPABLE);

/// In a section of its own, which the loader makes a map of that others share. It is read without a look-up.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.bans")]
static mut BAN_LENGTHS: BanLengths = BanLengths {
    v4: 0,
    v6: [0; 2],
    table: 0,
};

/// Whether any source of a family is banned.
#[inline(always)]
pub(crate) fn any(v6: bool) -> bool {
    if v6 {
        let [low, high] = lengths_v6();
        low | high != 0
    } else {
        lengths_v4() != 0
    }
}

/// Whether a source is banned.
#[inline(always)]
pub(crate) fn hold(source: Address) -> bool {
    is_banned(&KernelBans, source)
}

/// Whether a frame whose IP header begins at `network_offset` comes from a banned source.
#[inline(always)]
pub(crate) fn hold_source_of(ctx: *mut xdp_md, network_offset: u32, v6: bool) -> bool {
    portguard_is_banned(ctx, network_offset, v6.into()) != 0
}

/// A global function, which the verifier checks once and not for each way to come to its call; the source is read here, so
/// that what it learns of the frame by that makes no difference to what follows the call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_is_banned(ctx: *mut xdp_md, network_offset: u32, v6: u32) -> u32 {
    let (offset, v6) = (network_offset & OFFSET_MASK, v6 != 0);
    let first = source(&Received::new(&XdpContext::new(ctx)), offset, v6);
    let found = match first {
        None if is_set(Setting::MultiBuffer) => source(&AllBuffers::new(ctx), offset, v6),
        found => found,
    };
    found.is_some_and(hold).into()
}

#[inline(always)]
fn lengths_v4() -> u64 {
    // SAFETY: a word of this program's data, while the daemon may write to it: each bit means something by itself. Volatile, since
    // the compiler sees that nothing here writes to it.
    unsafe { (&raw const BAN_LENGTHS.v4).read_volatile() }
}

#[inline(always)]
fn lengths_v6() -> [u64; 2] {
    // SAFETY: as above, word by word.
    unsafe {
        [
            (&raw const BAN_LENGTHS.v6[0]).read_volatile(),
            (&raw const BAN_LENGTHS.v6[1]).read_volatile(),
        ]
    }
}

struct KernelPlaces;

impl LineTable for KernelPlaces {
    type Line = KernelLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<KernelLine> {
        BAN_PLACES.get_ptr_mut(index).map(KernelLine::new)
    }
}

/// Whether a digest may be that of a ban.
#[inline(always)]
fn may_be_banned(digest: u64, last_line: u32) -> bool {
    let word = ban_filter::word(digest, ban_filter::last_word(last_line));
    let Some(word) = BAN_FILTER.get_ptr(word) else {
        return false;
    };
    // SAFETY: a map element. Volatile, since the daemon may write to it.
    let word = unsafe { word.read_volatile() };
    !word & ban_filter::bits(digest) == 0
}

struct KernelBans;

impl Bans for KernelBans {
    #[inline(always)]
    fn lengths(&self) -> BanLengths {
        BanLengths {
            v4: lengths_v4(),
            v6: lengths_v6(),
            table: 0,
        }
    }

    #[inline(always)]
    fn end(&self, key: &BanKey) -> Option<BanEnd> {
        let (digest, last) = (digest(seed(), key), setting(Setting::LastBanLine));
        if !may_be_banned(digest, last) {
            return None;
        }
        BanPlaces::new(KernelPlaces, last).end(digest)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: a helper without arguments (kernel 5.8).
        time_of(|| unsafe { bpf_ktime_get_boot_ns() })
    }

    #[inline(always)]
    fn lasts(&self, address: Address, length: u64, before: u32) -> bool {
        let v6_and_before = u32::from(address.v6) << 8 | before;
        portguard_ban_lasts(address.high, address.low, length, v6_and_before) != 0
    }
}

/// A global function, so that the verifier follows a look-up once, and not for each length.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_ban_lasts(high: u64, low: u64, length: u64, v6_and_before: u32) -> u32 {
    let address = Address {
        v6: v6_and_before >> 8 != 0,
        high,
        low,
    };
    ban::lasts(&KernelBans, address, length, v6_and_before & 0xff).into()
}
