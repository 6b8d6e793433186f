//! Places in lines of the cache: where what is looked up for each packet lies.
//!
//! Everybody has four places each in two lines, which a keyed digest of who it is chooses. A place has that digest, and a word. So a
//! look-up waits for one line, seldom for two.

use crate::abi::LINE_WAYS;
use crate::conceal::Conceal;

/// A table of lines, whose words are read and written one by one, by all CPUs at the same time.
pub trait LineTable {
    /// A line.
    type Line: Line;
    /// The line of this index.
    fn line(&self, index: u32) -> Option<Self::Line>;
}

/// The places of a line, by their number below [`LINE_WAYS`].
pub trait Line: Copy + Conceal {
    /// The digest of whom a place is; 0 where nobody is.
    fn digest(&self, way: u32) -> u64;
    /// What it says of them.
    fn word(&self, way: u32) -> u64;
    /// Writes that.
    fn set_word(&self, way: u32, word: u64);
    /// Writes it if it is `old` still.
    fn replace_word(&self, way: u32, old: u64, new: u64);
    /// Gives a place to somebody else, or to nobody, if it is still that of `old`.
    fn replace_digest(&self, way: u32, old: u64, new: u64) -> bool;
}

/// By which numbers a digest chooses its two lines: bits of it that are not set for certain.
#[inline(always)]
#[must_use]
pub const fn choices(digest: u64) -> [u32; 2] {
    [(digest >> 32) as u32, (digest >> 8) as u32]
}

/// The place of whom a digest is, in one of these two lines.
#[inline(always)]
pub fn find<T: LineTable>(table: &T, digest: u64, lines: [u32; 2]) -> Option<(T::Line, u32)> {
    for index in lines {
        let line = table.line(index)?;
        for way in 0..LINE_WAYS {
            if line.digest(way) == digest {
                return Some((line, T::Line::conceal(way.into()) as u32));
            }
        }
    }
    None
}

/// What the place of a digest says, which is not 0, in one of these two lines: that of [`find`].
#[inline(always)]
pub fn word<T: LineTable>(table: &T, digest: u64, lines: [u32; 2]) -> Option<u64> {
    for index in lines {
        let line = table.line(index)?;
        // One branch for each line: the processor cannot know which place it will be, but mostly whether it is one of the first
        // line. Where it takes it to be none of it, it does not wait for that line before it asks for the second one.
        let mut found = 0;
        for way in (0..LINE_WAYS).rev() {
            found ^= (found ^ line.word(way)) & if_equal::<T::Line>(line.digest(way), digest);
        }
        if found != 0 {
            return Some(found);
        }
    }
    None
}

/// All bits where two numbers are equal, otherwise none; without a branch.
#[inline(always)]
fn if_equal<L: Line>(one: u64, other: u64) -> u64 {
    let difference = one ^ other;
    let sign = L::conceal(difference | difference.wrapping_neg());
    L::conceal((sign >> 63).wrapping_sub(1))
}
