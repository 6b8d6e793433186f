//! Where the programs find bans: each has a place in one of two lines of the cache (see [`crate::places`]).
//!
//! Programs read, and one writer writes while they do. A look-up that goes on while a ban is made, taken back or moved finds it as it was
//! or as it will be; only a processor that reads the second line before the first may miss, once, a ban that moves just then. One that is held
//! up between two instructions, while a ban is taken back and another one gets its place, may take the end of that for its own: it began
//! when its source was banned.

use crate::abi::{BanEnd, BanKey, LINE_WAYS};
use crate::limits::BAN_LINES;
use crate::mix::{Seed, mix};
use crate::places::{self, Line, LineTable};

/// How many lines there are for so many bans, a power of two: where there is room for all, at most half of the places are taken.
#[must_use]
pub const fn lines_for(bans: u32) -> u32 {
    if bans == 0 {
        return 1;
    }
    // Places for twice as many.
    let lines = (bans.div_ceil(LINE_WAYS / 2)).next_power_of_two();
    if lines < BAN_LINES { BAN_LINES } else { lines }
}

/// A digest of a prefix, odd and so never 0. That of an address that somebody else chose is that of one among `n` bans with a chance of `n`
/// to 2⁶³ for each length in use, and two of `n` bans share one with a chance of `n²` to 2⁶⁴.
#[inline(always)]
#[must_use]
pub const fn digest(seed: Seed, key: &BanKey) -> u64 {
    let length = key.length as u64;
    let number = if key.v6 == 0 {
        // Bits that no address of IPv4 has.
        key.high ^ length ^ seed[0]
    } else {
        mix(key.high ^ seed[0]).wrapping_add(mix(key.low ^ seed[1])) ^ length
    };
    mix(number) | 1
}

/// A table of bans.
#[derive(Clone, Copy, Debug)]
pub struct BanPlaces<T> {
    lines: T,
    last: u32,
}

impl<T: LineTable> BanPlaces<T> {
    /// Of these lines, the last of which has this index: one less than a power of two.
    #[inline(always)]
    pub const fn new(lines: T, last: u32) -> Self {
        Self { lines, last }
    }

    /// The two lines of a digest.
    #[inline(always)]
    const fn lines(&self, digest: u64) -> [u32; 2] {
        let [high, low] = places::choices(digest);
        [high & self.last, low & self.last]
    }

    /// When the ban of a digest ends, if there is one. An end of 0 is none.
    #[inline(always)]
    pub fn end(&self, digest: u64) -> Option<BanEnd> {
        places::word(&self.lines, digest, self.lines(digest))
    }

    /// Makes a ban, or changes when it ends; `false` where there is no room for it, and nothing has changed.
    #[must_use]
    pub fn insert(&self, digest: u64, end: BanEnd) -> bool {
        let lines = self.lines(digest);
        if let Some((line, way)) = places::find(&self.lines, digest, lines) {
            line.set_word(way, end);
            return true;
        }
        let Some((line, way)) = self.vacant(lines).or_else(|| self.vacate(lines)) else {
            return false;
        };
        put(line, way, digest, end);
        true
    }

    /// Takes a ban back. When it would have ended, if there was one.
    pub fn remove(&self, digest: u64) -> Option<BanEnd> {
        let (line, way) = places::find(&self.lines, digest, self.lines(digest))?;
        let end = line.word(way);
        line.replace_digest(way, digest, 0);
        Some(end)
    }

    /// Goes through all places: sets each end to what `end_of` says of its digest, and takes back what it says nothing of. It is asked once
    /// for each place; somebody who is there twice is to stay in one of them only.
    pub fn reconcile(&self, mut end_of: impl FnMut(u64) -> Option<BanEnd>) {
        for index in 0..=self.last {
            let Some(line) = self.lines.line(index) else {
                return;
            };
            for way in 0..LINE_WAYS {
                let digest = line.digest(way);
                if digest == 0 {
                    continue;
                }
                // In another line nobody looks for it.
                let is_here = self.lines(digest).contains(&index);
                match is_here.then(|| end_of(digest)).flatten() {
                    Some(end) => line.set_word(way, end),
                    None => {
                        line.replace_digest(way, digest, 0);
                    }
                }
            }
        }
    }

    /// A free place in one of two lines. A look-up begins with the first one, so a ban goes there unless it is nearly full; beyond that both
    /// fill up alike.
    fn vacant(&self, lines: [u32; 2]) -> Option<(T::Line, u32)> {
        let [first, second] = lines;
        let (first, second) = (self.lines.line(first)?, self.lines.line(second)?);
        let taken = |line| LINE_WAYS - free(line).count() as u32;
        let line = if taken(first) < LINE_WAYS - 1 || taken(first) <= taken(second) {
            first
        } else {
            second
        };
        Some((line, free(line).next()?))
    }

    /// Frees a place in one of two full lines: somebody whose first line this is goes to the second one. A look-up asks the first one first,
    /// and so finds them at any moment; in the other direction it would not.
    fn vacate(&self, lines: [u32; 2]) -> Option<(T::Line, u32)> {
        for index in lines {
            let line = self.lines.line(index)?;
            for way in 0..LINE_WAYS {
                let digest = line.digest(way);
                let [first, second] = self.lines(digest);
                if first != index {
                    continue;
                }
                let other = self.lines.line(second)?;
                let Some(free) = free(other).next() else {
                    continue;
                };
                put(other, free, digest, line.word(way));
                line.replace_digest(way, digest, 0);
                return Some((line, way));
            }
        }
        None
    }
}

/// Gives a free place to a ban: nobody finds it before it says when that ends.
fn put<L: Line>(line: L, way: u32, digest: u64, end: BanEnd) {
    line.set_word(way, end);
    line.replace_digest(way, 0, digest);
}

/// The free places of a line.
fn free<L: Line>(line: L) -> impl Iterator<Item = u32> {
    (0..LINE_WAYS).filter(move |way| line.digest(*way) == 0)
}
