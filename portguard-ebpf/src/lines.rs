//! Map elements that are lines of the cache.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use portguard_common::abi::{CacheLine, LINE_WAYS};
use portguard_common::conceal::Conceal;
use portguard_common::places::Line;

use crate::atomic::compare_exchange;
use crate::tables::opaque;

/// `BPF_F_MMAPABLE` (linux/bpf.h, kernel 5.5): the daemon writes to the elements like the programs do; and they begin with a page, so that each is
/// one line of the cache.
pub(crate) const MMAPABLE: u32 = BPF_F_MMAPABLE;

/// The words of an element: the digests, then what they say.
#[derive(Clone, Copy)]
pub(crate) struct KernelLine(*mut u64);

impl KernelLine {
    /// The line of an element.
    #[inline(always)]
    pub(crate) const fn new(element: *mut CacheLine) -> Self {
        Self(element.cast())
    }

    /// Where a word lies.
    #[inline(always)]
    fn at(self, way: u32, first: usize) -> *mut u64 {
        // SAFETY: below the element's length by the remainder.
        unsafe { self.0.add((way % LINE_WAYS) as usize + first) }
    }

    #[inline(always)]
    fn digest_at(self, way: u32) -> *mut u64 {
        self.at(way, 0)
    }

    #[inline(always)]
    fn word_at(self, way: u32) -> *mut u64 {
        self.at(way, LINE_WAYS as usize)
    }
}

impl Conceal for KernelLine {
    #[inline(always)]
    fn conceal(number: u64) -> u64 {
        opaque(number)
    }
}

impl Line for KernelLine {
    #[inline(always)]
    fn digest(&self, way: u32) -> u64 {
        // SAFETY: a word of a map element; so with all that follow.
        unsafe { self.digest_at(way).read_volatile() }
    }

    #[inline(always)]
    fn word(&self, way: u32) -> u64 {
        // SAFETY: as above.
        unsafe { self.word_at(way).read_volatile() }
    }

    #[inline(always)]
    fn set_word(&self, way: u32, word: u64) {
        // SAFETY: as above.
        unsafe { self.word_at(way).write_volatile(word) };
    }

    #[inline(always)]
    fn replace_word(&self, way: u32, old: u64, new: u64) {
        // SAFETY: as above.
        unsafe { compare_exchange(self.word_at(way), old, new) };
    }

    #[inline(always)]
    fn replace_digest(&self, way: u32, old: u64, new: u64) -> bool {
        // SAFETY: as above.
        unsafe { compare_exchange(self.digest_at(way), old, new) == old }
    }
}
