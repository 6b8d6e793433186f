//! From an address to its class.

use crate::abi::{HALVES, List, PackedNode, Trie};
use crate::classify::Tables;
use crate::constant::TrieView;

/// Levels below the first two bytes.
const LEVELS_V4: usize = 2;
const LEVELS_V6: usize = 14;

/// The bits of an address that have not been looked at, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    high: u64,
    low: u64,
}

impl Bits {
    /// An IPv4 address.
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Self {
            high: (address as u64) << 32,
            low: 0,
        }
    }

    /// An IPv6 address, by halves.
    #[inline(always)]
    pub const fn v6(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// The next `count` bits, 1 to 63, without going on.
    #[inline(always)]
    const fn peek(self, count: u32) -> u64 {
        self.high >> ((64 - count) & 63)
    }

    /// Goes on by `count` bits, 1 to 63.
    #[inline(always)]
    const fn skip(&mut self, count: u32) {
        self.high = self.high << (count & 63) | self.low >> ((64 - count) & 63);
        self.low <<= count & 63;
    }

    /// The next byte; goes on by it.
    #[inline(always)]
    pub const fn byte(&mut self) -> u32 {
        let byte = self.peek(8) as u32;
        self.skip(8);
        byte
    }
}

/// The class of an IPv4 address.
#[inline(always)]
pub fn find_v4<T: Tables>(tables: &T, trie: &impl TrieView, address: u32) -> u32 {
    let mut bits = Bits::v4(address);
    let first = bits.peek(16) as u32;
    bits.skip(16);
    let word = tables.word(trie.root() + first);
    if word >= Trie::NODE {
        return descend::<LEVELS_V4, _>(tables, trie, word - Trie::NODE, bits).into();
    }
    let list = List::of_word(word);
    match tables.window(trie.lists() + list.first) {
        Some(window) => find_in_list(window, &list, trie, bits.peek(16) as u32).into(),
        None => 0,
    }
}

/// The class of an IPv6 address, by halves.
#[inline(always)]
pub fn find_v6<T: Tables>(tables: &T, trie: &impl TrieView, high: u64, low: u64) -> u16 {
    let mut bits = Bits::v6(high, low);
    if trie.form() == Trie::FLAT {
        return find_flat(tables, trie, bits);
    }
    let first = bits.peek(16) as u32;
    bits.skip(16);
    descend::<LEVELS_V6, _>(tables, trie, tables.word(trie.root() + first), bits)
}

#[inline(always)]
fn find_flat<T: Tables>(tables: &T, trie: &impl TrieView, mut bits: Bits) -> u16 {
    let root = trie.root() * HALVES as u32;
    let mut entry = tables.half(root + bits.peek(16) as u32);
    bits.skip(16);
    for _ in 0..LEVELS_V6 {
        if entry & Trie::CHILD == 0 {
            break;
        }
        let child = u32::from(entry & !Trie::CHILD) * HALVES as u32;
        entry = tables.half(root + child + bits.byte());
    }
    entry & !Trie::CHILD
}

/// From an entry of a packed trie to a class.
#[inline(always)]
fn descend<const LEVELS: usize, T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    mut entry: u32,
    mut bits: Bits,
) -> u16 {
    for _ in 0..LEVELS {
        if entry & Trie::LEAF != 0 {
            break;
        }
        entry = tables.packed_step(trie.nodes() + entry, &mut bits);
    }
    Trie::class(entry, bits.byte())
}

/// A place among halves that lie one after another.
pub trait Window: Clone {
    /// The half at an even number of bytes from here on.
    fn at(&self, bytes: u32) -> u16;

    /// Goes on by an even number of bytes.
    fn skip(&mut self, bytes: u32);

    /// How many bytes it is from an earlier place to here.
    fn since(&self, earlier: &Self) -> u32;

    /// The same number; in the kernel one of which the compiler knows nothing, since it would make a branch of what is computed with
    /// it.
    #[inline(always)]
    fn conceal(number: u64) -> u64 {
        number
    }
}

/// A place among the halves of a slice, in halves.
#[derive(Clone, Copy, Debug)]
pub struct SliceWindow<'t> {
    halves: &'t [u16],
    place: usize,
}

impl<'t> SliceWindow<'t> {
    /// Where a slice begins.
    #[must_use]
    pub const fn new(halves: &'t [u16]) -> Self {
        Self { halves, place: 0 }
    }
}

impl Window for SliceWindow<'_> {
    fn at(&self, bytes: u32) -> u16 {
        let half = self.halves.get(self.place + bytes as usize / 2);
        half.copied().unwrap_or_default()
    }

    fn skip(&mut self, bytes: u32) {
        self.place += bytes as usize / 2;
    }

    fn since(&self, earlier: &Self) -> u32 {
        ((self.place - earlier.place) * 2) as u32
    }
}

/// The class of two bytes by a list of a trie. Without a branch that depends on either: it would be guessed
/// wrongly every other time, and nothing of what follows could be done meanwhile.
///
/// It is L. E. Shar's search (Knuth, The Art of Computer Programming 3, 6.2.1): a first step divides any number of starts into two parts that
/// overlap, each one less than a power of two long, and the others halve it.
#[inline(always)]
fn find_in_list<W: Window>(window: W, list: &List, trie: &impl TrieView, bytes: u32) -> u16 {
    const STEPS: [u32; 5] = [16, 8, 4, 2, 1];
    let next = i64::from(bytes) + 1;
    // How far to go on: not at all where a range begins after these bytes.
    let step = |start: u16, bytes: u32| {
        let ahead = W::conceal((i64::from(start) - next).cast_unsigned());
        bytes & (ahead.cast_signed() >> 63) as u32
    };
    let mut place = window.clone();
    place.skip(step(window.at(list.half), list.overlap));
    for starts in STEPS {
        if trie.is_longer(2 * starts - 1) {
            let bytes = 2 * starts;
            place.skip(step(place.at(bytes), bytes & list.rest));
        }
    }
    let mask = List::mask(W::conceal(list.differ.into()) as u32);
    window.at(list.classes + (place.since(&window) & mask))
}

/// Goes on from a packed node: the index of the word for these bits, or the word itself where the bits that the
/// node skips are others.
#[inline(always)]
pub fn step(node: &PackedNode, bits: &mut Bits) -> Step {
    if node.skip != 0 {
        if bits.peek(node.skip) != node.path {
            return Step::Miss(node.miss);
        }
        bits.skip(node.skip);
    }
    let byte = bits.byte();
    let member = (byte >> 6) as usize & 3;
    let up_to = node.starts[member] & (u64::MAX >> (63 - (byte & 63)));
    let rank = u32::from(node.before[member]) + ones(up_to) - 1;
    Step::Word(node.words + rank)
}

/// What follows a packed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The word at this index.
    Word(u32),
    /// This word.
    Miss(u32),
}

/// The number of bits set. The kernel's instruction set has none for it.
#[inline(always)]
const fn ones(word: u64) -> u32 {
    let word = word - (word >> 1 & 0x5555_5555_5555_5555);
    let word = (word & 0x3333_3333_3333_3333) + (word >> 2 & 0x3333_3333_3333_3333);
    let word = (word + (word >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (word.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_are_counted() {
        for word in [0, 1, u64::MAX, 0x8000_0000_0000_0001, 0x1234_5678_9abc_def0] {
            assert_eq!(ones(word), word.count_ones(), "{word:#x}");
        }
    }

    #[test]
    fn bits_come_from_the_top() {
        let mut bits = Bits::v6(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff);
        assert_eq!(bits.byte(), 0);
        bits.skip(48);
        assert_eq!(bits.byte(), 0x77);
        assert_eq!(bits.peek(16), 0x8899);
        let mut bits = Bits::v4(0xc000_0201);
        assert_eq!(bits.peek(16), 0xc000);
        bits.skip(16);
        assert_eq!((bits.byte(), bits.byte(), bits.byte()), (2, 1, 0));
    }
}
