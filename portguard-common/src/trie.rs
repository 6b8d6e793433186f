//! From an address to its class.

use crate::abi::{List, PackedNode, Trie};
use crate::classify::Tables;
use crate::conceal::Conceal;
use crate::constant::TrieView;
use crate::packet::Frame;

/// Bytes below the first two.
const BYTES_V4: usize = 2;
const BYTES_V6: usize = 14;

/// Lists and tables in a row below the first two bytes of an IPv6 address, which look at two bytes each.
const LEVELS_V6: usize = BYTES_V6 / 2;

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

    /// The next `count` bits, 1 to 64, without going on.
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

    /// The next two bytes; goes on by them.
    #[inline(always)]
    const fn half(&mut self) -> u32 {
        let half = self.peek(16) as u32;
        self.skip(16);
        half
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
pub fn find_v4<T: Tables>(tables: &T, trie: &impl TrieView, address: u32) -> u64 {
    let lower = address & 0xffff;
    if trie.form() == Trie::NARROW_LISTS {
        let number = tables.half_of_upper(trie.root(), address);
        let class = in_uniform_list::<{ List::SHORT_LEN }, _>(tables, trie, number.into(), lower);
        // Each half names a list.
        return class.unwrap_or_default().into();
    }
    let word = tables.word_of_upper(trie.root(), address);
    match in_list(tables, trie, word, lower) {
        Some(class) => class.into(),
        None => {
            let bits = Bits::v4(lower << 16);
            let class = descend::<BYTES_V4, _>(tables, trie, word & !Trie::NODE, bits);
            <T::Window<'_>>::bounded(class).into()
        }
    }
}

/// The class of the IPv6 address at an offset of a frame; `None` where the frame ends before.
#[inline(always)]
pub fn find_v6<F: Frame, T: Tables>(
    frame: &F,
    offset: u32,
    index: usize,
    tables: &T,
) -> Option<u64> {
    let trie = tables.trie(index);
    // Mostly all that is looked at is four bytes, as of an IPv4 address; the others are read only where they are needed.
    let mut four = u32::from_be_bytes(frame.load(offset)?);
    let word = if trie.has_trunk() && four == trie.trunk() {
        four = u32::from_be_bytes(frame.load(offset + 4)?);
        tables.word_of_upper(trie.trunk_words(), four)
    } else {
        tables.word_of_upper(trie.root(), four)
    };
    let (word, passed) = match below_list(tables, &trie, word, four & 0xffff) {
        Some(Ok(child)) => (child, 32),
        Some(Err(class)) => return Some(class),
        None => (word, 16),
    };
    let (high, low) = (frame.load(offset)?, frame.load(offset + 8)?);
    let (high, low) = (u64::from_be_bytes(high), u64::from_be_bytes(low));
    Some(tables.find_below(index, word, passed, high, low).into())
}

/// The class of an IPv6 address, by halves, from a word on, which stands for this many of its bits, 16 or 32, and for the trunk, where it begins with that.
#[inline(always)]
pub fn find_below<T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    mut word: u32,
    passed: u32,
    high: u64,
    low: u64,
) -> u16 {
    let mut bits = Bits::v6(high, low);
    if trie.has_trunk() && bits.peek(32) as u32 == trie.trunk() {
        bits.skip(32);
    }
    bits.skip(passed);
    for _ in 0..LEVELS_V6 {
        if word >= Trie::GATE {
            match pass_gate(tables, trie, word - Trie::GATE, &mut bits) {
                Ok(next) => word = next,
                Err(class) => return class,
            }
        }
        if word >= Trie::GATE {
            continue;
        }
        if word >= Trie::NODE {
            return descend::<BYTES_V6, _>(tables, trie, word - Trie::NODE, bits);
        }
        match below_list(tables, trie, word, bits.half()) {
            Some(Ok(child)) => word = child,
            Some(Err(class)) => return class as u16,
            None => return 0,
        }
    }
    0
}

/// The word below a list, or the class that it tells; `None` where a word names no list.
#[inline(always)]
fn below_list<T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    word: u32,
    bytes: u32,
) -> Option<Result<u32, u64>> {
    let half = in_list(tables, trie, word, bytes)?;
    // One comparison: the compiler would look for the sign of a number of 16 bits, which takes three instructions.
    let half = <T::Window<'_>>::conceal(half.into());
    let Some(child) = half.checked_sub(Trie::CHILD.into()) else {
        return Some(Err(half));
    };
    let child = child as u32;
    Some(Ok(tables.word(trie.root() + (1 << 16) + child)))
}

/// The word behind a gate; or the class, behind it or where the bits are others that it skips.
#[inline(always)]
fn pass_gate<T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    gate: u32,
    bits: &mut Bits,
) -> Result<u32, u16> {
    let Some(gate) = tables.node(trie.nodes() + gate) else {
        return Err(0);
    };
    if gate.skip != 0 {
        let is_other = bits.peek(gate.skip) != gate.path;
        if is_other || gate.miss & PackedNode::TO_CLASS != 0 {
            let class = if is_other { gate.miss } else { gate.words };
            return Err(class as u16);
        }
        bits.skip(gate.skip);
    }
    Ok(match gate.starts[0] {
        0 => gate.words,
        _ => tables.word(gate.words + bits.half()),
    })
}

/// From an entry of a packed trie to a class.
#[inline(always)]
fn descend<const BYTES: usize, T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    mut entry: u32,
    mut bits: Bits,
) -> u16 {
    for _ in 0..BYTES {
        if entry & Trie::LEAF != 0 {
            break;
        }
        let Some(node) = tables.node(trie.nodes() + entry) else {
            return 0;
        };
        entry = match step(node, &mut bits) {
            Step::Word(index) => tables.word(index),
            Step::Miss(word) => word,
        };
    }
    Trie::class(entry, bits.byte())
}

/// The half of two bytes by the list of a word; `None` where it names none. Where one comparison tells that, and that the list is there,
/// no second one is made.
#[inline(always)]
fn in_list<T: Tables>(tables: &T, trie: &impl TrieView, word: u32, bytes: u32) -> Option<u16> {
    if trie.form() == Trie::UNIFORM_LISTS {
        return in_uniform_list::<1, _>(tables, trie, word, bytes);
    }
    let word = <T::Window<'_>>::conceal(word.into());
    if let Some(window) = short_list::<1, _>(tables, trie, word) {
        return Some(find_in_short_list(window, bytes));
    }
    if word >= Trie::NODE.into() {
        return None;
    }
    let list = List::of_word(word as u32);
    let first = <T::Window<'_>>::conceal(list.first.into());
    let window = tables.window::<1>(trie.lists(), first, trie.lists_len())?;
    Some(find_in_list(window, &list, trie, bytes))
}

/// The same where all lists are of one length, or short, by where the list begins in so many halves.
#[inline(always)]
fn in_uniform_list<const UNIT: u32, T: Tables>(
    tables: &T,
    trie: &impl TrieView,
    index: u32,
    bytes: u32,
) -> Option<u16> {
    let index = <T::Window<'_>>::conceal(index.into());
    if let Some(window) = short_list::<UNIT, _>(tables, trie, index) {
        return Some(find_in_short_list(window, bytes));
    }
    let window = tables.window::<UNIT>(trie.lists(), index, trie.lists_len())?;
    Some(find_in_uniform_list(window, trie, bytes))
}

/// The short list that an index names, if it names one. The index went through [`Conceal`].
#[inline(always)]
fn short_list<'t, const UNIT: u32, T: Tables>(
    tables: &'t T,
    trie: &impl TrieView,
    index: u64,
) -> Option<T::Window<'t>> {
    if !trie.has_short() {
        return None;
    }
    tables.window::<UNIT>(trie.lists(), index, trie.short())
}

/// A place among halves that lie one after another.
pub trait Window: Clone + Conceal {
    /// The half at an even number of bytes from here on.
    fn at(&self, bytes: u32) -> u16;

    /// Goes on by an even number of bytes.
    fn skip(&mut self, bytes: u32);

    /// How many bytes it is from an earlier place to here.
    fn since(&self, earlier: &Self) -> u32;

    /// The same number; in the kernel one of which the verifier knows, too, how many bits it has.
    #[inline(always)]
    fn bounded(number: u16) -> u16 {
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

impl Conceal for SliceWindow<'_> {}

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
    let mut place = window.clone();
    place.skip(advance(&place, list.half, bytes, list.overlap));
    for starts in STEPS {
        if trie.is_longer(2 * starts - 1) {
            let far = 2 * starts;
            place.skip(advance(&place, far, bytes, far & list.rest));
        }
    }
    // The half before the first start.
    place.skip(2);
    place.skip(begun(&place, |starts| trie.is_longer(starts), bytes));
    let mask = List::mask(W::conceal(list.differ.into()) as u32);
    window.at(list.classes + ((place.since(&window) - 2) & mask))
}

/// The same by a list that is as long as all others of its trie.
#[inline(always)]
fn find_in_uniform_list<W: Window>(window: W, trie: &impl TrieView, bytes: u32) -> u16 {
    let mut place = window;
    for starts in STEPS {
        if trie.is_longer(2 * starts - 2) {
            let far = 2 * starts;
            place.skip(advance(&place, far - 2, bytes, far));
        }
    }
    place.skip(begun(&place, |starts| trie.is_longer(starts), bytes));
    // As many ranges from the first class on as have begun.
    place.skip(2 * trie.longest());
    place.at(0)
}

/// The same by a short list.
#[inline(always)]
fn find_in_short_list<W: Window>(window: W, bytes: u32) -> u16 {
    let mut place = window;
    // Only one of both has the sign of a negative number where the range has begun and not ended.
    let has_begun = ahead(&place, 4, bytes);
    let is_inside = W::conceal(has_begun ^ ahead(&place, 6, bytes)) >> 63;
    place.skip(2 * is_inside as u32);
    place.at(0)
}

/// The steps of a search, in starts, until no more than [`List::AT_ONCE`] are left.
const STEPS: [u32; 2] = [16, 8];

/// How many of the starts that are left have begun, in bytes, where it is known whether there are more than a number of them. All are looked at
/// at once: each step of a search would wait for the one before.
#[inline(always)]
fn begun<W: Window>(place: &W, are_more: impl Fn(u32) -> bool, bytes: u32) -> u32 {
    let mut begun = 0;
    for number in 0..List::AT_ONCE {
        if are_more(number) {
            begun += W::conceal(ahead(place, 2 * number, bytes)) >> 63;
        }
    }
    2 * begun as u32
}

/// How far to go on by the start at so many bytes from here on: not at all where it is beyond the two bytes that are looked for.
#[inline(always)]
fn advance<W: Window>(place: &W, start: u32, bytes: u32, far: u32) -> u32 {
    far & (W::conceal(ahead(place, start, bytes)).cast_signed() >> 63) as u32
}

/// How far the start at so many bytes from here on is beyond two bytes; with the sign of a negative number where it is not.
#[inline(always)]
fn ahead<W: Window>(place: &W, start: u32, bytes: u32) -> u64 {
    (i64::from(place.at(start)) - (i64::from(bytes) + 1)).cast_unsigned()
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
