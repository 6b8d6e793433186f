//! The bans, in maps that outlive a generation.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use portguard_common::abi::{BanEnd, BanKey, BanLengths, Setting};
use portguard_common::ban::{Address, Bans, is_banned};

use crate::tables::{TRACE, setting};

/// `BPF_F_NO_PREALLOC` (linux/bpf.h): a ban takes memory when it is made.
const NO_PREALLOC: u32 = 1;

/// Sized by the loader.
#[map]
static BANS: HashMap<BanKey, BanEnd> = HashMap::with_max_entries(1, NO_PREALLOC);

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
    let lengths = lengths();
    if v6 {
        lengths.v6[0] | lengths.v6[1] != 0
    } else {
        lengths.v4 != 0
    }
}

/// Whether a source is banned.
#[inline(always)]
pub(crate) fn hold(source: Address) -> bool {
    portguard_is_banned(source.v6.into(), source.high, source.low) != 0
}

/// A global function, which the verifier checks once and not for each way to come to its call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_is_banned(v6: u32, high: u64, low: u64) -> u32 {
    let v6 = v6 != 0;
    is_banned(&KernelBans, Address { v6, high, low }).into()
}

#[inline(always)]
fn lengths() -> BanLengths {
    let lengths = &raw const BAN_LENGTHS;
    // SAFETY: words of this program's data, read one by one, while the daemon may write to them: each bit means something
    // by itself. Volatile, since the compiler sees that nothing here writes to them.
    unsafe {
        BanLengths {
            v4: (&raw const (*lengths).v4).read_volatile(),
            v6: [
                (&raw const (*lengths).v6[0]).read_volatile(),
                (&raw const (*lengths).v6[1]).read_volatile(),
            ],
            table: 0,
        }
    }
}

struct KernelBans;

impl Bans for KernelBans {
    #[inline(always)]
    fn lengths(&self) -> BanLengths {
        lengths()
    }

    #[inline(always)]
    fn end(&self, key: &BanKey) -> Option<BanEnd> {
        // SAFETY: the value is one word, read at once. The daemon may replace it meanwhile: both are right.
        unsafe { BANS.get(key).copied() }
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        if setting(Setting::Trace) != 0
            && let Some(trace) = TRACE.get(0)
            && trace.now_ns != 0
        {
            return trace.now_ns;
        }
        // SAFETY: a helper without arguments (kernel 5.8).
        unsafe { bpf_ktime_get_boot_ns() }
    }
}
