//! Tables of lines of the cache that the programs read, or write to, in the memory of this process.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{Map, MapError};
use portguard_common::abi::{CacheLine, LINE_WAYS};
use portguard_common::conceal::Conceal;
use portguard_common::places::{Line, LineTable};

use super::generation::LoadError;
use super::sys::Words;

/// The words of a map, and how many elements it has.
pub(super) fn mapped(map: Option<&Map>, name: &'static str) -> Result<(Words, u32), LoadError> {
    let Some(Map::Array(map)) = map else {
        return Err(LoadError::Missing(name));
    };
    let error = |source| LoadError::Map { name, source };
    let info = map.info().map_err(error)?;
    let elements = info.max_entries();
    let bytes = elements as usize * info.value_size() as usize;
    let words = Words::of_map(map.fd().as_fd(), bytes);
    Ok((words.map_err(|io| error(MapError::IoError(io)))?, elements))
}

/// A table.
pub(super) struct Table {
    words: Words,
    lines: u32,
}

impl Table {
    /// The table that is this map.
    pub(super) fn of(map: Option<&Map>, name: &'static str) -> Result<Self, LoadError> {
        let (words, lines) = mapped(map, name)?;
        Ok(Self { words, lines })
    }

    /// The index of the last line.
    pub(super) const fn last(&self) -> u32 {
        self.lines - 1
    }
}

impl<'t> LineTable for &'t Table {
    type Line = Places<'t>;

    fn line(&self, index: u32) -> Option<Places<'t>> {
        const WORDS: usize = size_of::<CacheLine>() / size_of::<u64>();
        let line = self
            .words
            .all()
            .as_chunks::<WORDS>()
            .0
            .get(index as usize)?;
        let (digests, words) = line.split_at(LINE_WAYS as usize);
        Some(Places { digests, words })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Places<'t> {
    digests: &'t [AtomicU64],
    words: &'t [AtomicU64],
}

impl Conceal for Places<'_> {}

impl Line for Places<'_> {
    fn digest(&self, way: u32) -> u64 {
        // What is read afterwards is not older.
        self.digests[way as usize].load(Ordering::Acquire)
    }

    fn word(&self, way: u32) -> u64 {
        self.words[way as usize].load(Ordering::Relaxed)
    }

    fn set_word(&self, way: u32, word: u64) {
        self.words[way as usize].store(word, Ordering::Relaxed);
    }

    fn replace_word(&self, way: u32, old: u64, new: u64) {
        // Where it has changed meanwhile, somebody else has written what is newer.
        let (order, place) = (Ordering::Relaxed, &self.words[way as usize]);
        let _ = place.compare_exchange(old, new, order, order);
    }

    fn replace_digest(&self, way: u32, old: u64, new: u64) -> bool {
        // The word is written before its owner is named, and the others must see it so. The programs' own instruction is a full barrier.
        self.digests[way as usize]
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
