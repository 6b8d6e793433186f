//! The bits of bans: whom the programs need not look up.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use aya::maps::Map;
use portguard_common::abi::symbol;
use portguard_common::ban_filter;

use super::super::generation::LoadError;
use super::super::places::mapped;
use super::super::sys::Words;

/// The table of bits, and how many bans each bit stands for, which the programs need not know. Nobody else writes to it.
pub(super) struct Filter {
    words: Words,
    last_word: u32,
    /// By index of the word and the bit in it; only those that stand for any.
    counts: HashMap<(u32, u32), u32>,
}

impl Filter {
    /// The table that is this map.
    pub(super) fn of(map: Option<&Map>) -> Result<Self, LoadError> {
        let (words, count) = mapped(map, symbol::BAN_FILTER)?;
        Ok(Self {
            words,
            last_word: count - 1,
            counts: HashMap::new(),
        })
    }

    /// Makes it stand for these digests, whatever it stood for before. None of them is ever missing that was there.
    pub(super) fn set_all(&mut self, digests: impl Iterator<Item = u64>) {
        self.counts.clear();
        let mut words = vec![0; self.last_word as usize + 1];
        for digest in digests {
            let (word, bits) = self.place(digest);
            words[word as usize] |= bits;
            self.count(word, bits);
        }
        for (place, word) in self.words.all().iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Makes it stand for one more, before that has a place.
    pub(super) fn add(&mut self, digest: u64) {
        let (word, bits) = self.place(digest);
        self.count(word, bits);
        // What is written afterwards is not seen before.
        self.words.all()[word as usize].fetch_or(bits, Ordering::AcqRel);
    }

    /// Makes it stand for one less, which it has stood for.
    pub(super) fn remove(&mut self, digest: u64) {
        let (word, bits) = self.place(digest);
        let mut left = bits;
        for bit in ones(bits) {
            let count = self.counts.entry((word, bit)).or_default();
            *count = count.saturating_sub(1);
            if *count > 0 {
                left &= !(1 << bit);
            } else {
                self.counts.remove(&(word, bit));
            }
        }
        self.words.all()[word as usize].fetch_and(!left, Ordering::AcqRel);
    }

    /// All words.
    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<u64> {
        let words = self.words.all().iter();
        words.map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Leaves the same in all words, as nobody does.
    #[cfg(test)]
    pub(super) fn fill(&self, word: u64) {
        for own in self.words.all() {
            own.store(word, Ordering::Relaxed);
        }
    }

    fn place(&self, digest: u64) -> (u32, u64) {
        let word = ban_filter::word(digest, self.last_word);
        (word, ban_filter::bits(digest))
    }

    fn count(&mut self, word: u32, bits: u64) {
        for bit in ones(bits) {
            *self.counts.entry((word, bit)).or_default() += 1;
        }
    }
}

/// The places of the bits that are set.
fn ones(bits: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| bits >> bit & 1 != 0)
}
