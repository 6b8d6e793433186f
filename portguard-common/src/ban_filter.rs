//! Which digests no ban has: a table of bits that stays in a nearer cache than the places of bans do.
//!
//! It is a Bloom filter (Communications of the ACM 13, 7, 1970) whose bits of one digest lie in one word. Where the places of bans have
//! room for all, at most half of them taken, a word has 16 bits set at most in the mean; with 100,000 bans there are six, and one of a hundred
//! sources that are not banned is looked for.

/// Lines of places for each word of bits.
const LINES_PER_WORD: u32 = 4;

/// The index of the last word, beside places whose last line has this index; one less than a power of two, as that.
#[inline(always)]
#[must_use]
pub const fn last_word(last_line: u32) -> u32 {
    last_line / LINES_PER_WORD
}

/// The index of the word of a digest.
#[inline(always)]
#[must_use]
pub const fn word(digest: u64, last_word: u32) -> u32 {
    (digest >> 40) as u32 & last_word
}

/// The bits of a digest in its word: two, or one.
#[inline(always)]
#[must_use]
pub const fn bits(digest: u64) -> u64 {
    1 << (digest >> 1 & 63) | 1 << (digest >> 24 & 63)
}
