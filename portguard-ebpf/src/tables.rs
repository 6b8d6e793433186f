//! The maps of one generation and how the classifier reads them.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use portguard_common::abi::{
    Bucket, Cell, CounterPage, DropPage, SETTINGS as SETTING_COUNT, Setting, Settings, Trace,
    drops, service,
};
use portguard_common::classify::Tables;
use portguard_common::limits::CELLS as CELL_COUNT;

use crate::atomic;

/// Overwritten by the loader and frozen, so that the verifier knows every value.
#[unsafe(no_mangle)]
static SETTINGS: Settings = [0; SETTING_COUNT];

/// Overwritten and frozen likewise: a table in the program's own data needs no look-up call.
#[unsafe(no_mangle)]
static SERVICES: [u16; service::LEN as usize] = [0; service::LEN as usize];

#[unsafe(no_mangle)]
static CELLS: [u8; CELL_COUNT] = [0; CELL_COUNT];

/// Sized by the loader.
#[map]
pub(crate) static COUNTERS: PerCpuArray<CounterPage> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static DROPS: PerCpuArray<DropPage> = PerCpuArray::with_max_entries(drops::PAGES, 0);

#[map]
static FRAGMENT_BUCKET: Array<Bucket> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static TRACE: Array<Trace> = Array::with_max_entries(1, 0);

pub(crate) struct KernelTables;

impl Tables for KernelTables {
    #[inline(always)]
    fn setting(&self, setting: Setting) -> u32 {
        // SAFETY: the index is in range, being a `Setting`. Volatile, since the compiler sees only the
        // zeros above; the verifier still folds the load, since the map is frozen.
        unsafe {
            (&raw const SETTINGS)
                .cast::<u32>()
                .add(setting as usize)
                .read_volatile()
        }
    }

    #[inline(always)]
    fn service_cell(&self, index: u32) -> u16 {
        let mut index = u64::from(index);
        // The classifier's indices are below `service::LEN`. The compiler knows that and would leave
        // the comparison out, but the verifier does not always.
        // SAFETY: the instruction moves a register onto itself.
        unsafe { asm!("{0} = {0}", inout(reg) index, options(pure, nomem, nostack)) };
        if index >= u64::from(service::LEN) {
            return 0;
        }
        // SAFETY: in range by the comparison. Volatile for the same reason as the settings.
        unsafe {
            (&raw const SERVICES)
                .cast::<u16>()
                .add(index as usize)
                .read_volatile()
        }
    }

    #[inline(always)]
    fn cell(&self, cell: u16) -> Cell {
        // SAFETY: there is a cell for every `u16`, and `Cell` is one transparent byte of any value.
        unsafe {
            (&raw const CELLS)
                .cast::<Cell>()
                .add(usize::from(cell))
                .read_volatile()
        }
    }

    #[inline(always)]
    fn take_fragment_token(&self) -> bool {
        match FRAGMENT_BUCKET.get_ptr_mut(0) {
            // SAFETY: a helper without arguments, in every kernel since 4.1.
            Some(bucket) => atomic::take_token(bucket, unsafe { bpf_ktime_get_ns() }),
            None => false,
        }
    }
}
