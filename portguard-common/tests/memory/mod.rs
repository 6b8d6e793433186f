//! Lines of the cache in memory of the host.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use portguard_common::abi::LINE_WAYS;
use portguard_common::conceal::Conceal;
use portguard_common::places::{Line, LineTable};

/// Digests, then words, of each line.
pub(crate) struct Memory(Vec<[[AtomicU64; LINE_WAYS as usize]; 2]>);

impl Memory {
    /// So many lines in which nobody is.
    pub(crate) fn new(lines: u32) -> Self {
        Self((0..lines).map(|_| Default::default()).collect())
    }

    /// Whether nobody is in any line.
    pub(crate) fn is_empty(&self) -> bool {
        let digests = self.0.iter().flat_map(|[digests, _]| digests);
        digests.into_iter().all(|digest| digest.load(SeqCst) == 0)
    }
}

impl<'m> LineTable for &'m Memory {
    type Line = Places<'m>;

    fn line(&self, index: u32) -> Option<Places<'m>> {
        self.0.get(index as usize).map(Places)
    }
}

/// A line.
#[derive(Clone, Copy)]
pub(crate) struct Places<'m>(&'m [[AtomicU64; LINE_WAYS as usize]; 2]);

impl Conceal for Places<'_> {}

impl Line for Places<'_> {
    fn digest(&self, way: u32) -> u64 {
        self.0[0][way as usize].load(SeqCst)
    }

    fn word(&self, way: u32) -> u64 {
        self.0[1][way as usize].load(SeqCst)
    }

    fn set_word(&self, way: u32, word: u64) {
        self.0[1][way as usize].store(word, SeqCst);
    }

    fn replace_word(&self, way: u32, old: u64, new: u64) {
        let _ = self.0[1][way as usize].compare_exchange(old, new, SeqCst, SeqCst);
    }

    fn replace_digest(&self, way: u32, old: u64, new: u64) -> bool {
        self.0[0][way as usize]
            .compare_exchange(old, new, SeqCst, SeqCst)
            .is_ok()
    }
}
