//! How the class of an address is found.

/// How the class of an address is found. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trie {
    /// One of the constants below.
    pub form: u32,
    /// By form: the class; the index of its first word; the index of its first half.
    pub root: u32,
    /// Of one of lists: its first node.
    pub nodes: u32,
    /// Likewise: their first half.
    pub lists: u32,
    /// Likewise: how many halves they take, or of [`Trie::NARROW_LISTS`] how many [`List::SHORT_LEN`]. From each of these on there are [`List::WINDOW`] halves.
    pub lists_len: u32,
    /// Likewise: starts in the longest of them.
    pub longest: u32,
    /// Likewise: words below it name short lists, see [`List::SHORT_LEN`]; of [`Trie::NARROW_LISTS`], halves.
    pub short: u32,
    /// Of one of lists in IPv6: the trunk, which is the first four bytes of most addresses that it tells apart. These are looked up at once by the
    /// two bytes that follow.
    pub trunk: u32,
    /// The first of 65,536 words below the trunk; 0 where there is none.
    pub trunk_words: u32,
}

impl Trie {
    /// All addresses of the family are of one class.
    pub const CONSTANT: u32 = 0;
    /// The first two bytes are resolved by 65,536 words: each names a list of the ranges into which the next two bytes divide, or with
    /// [`Trie::NODE`] a node of a packed trie, or with [`Trie::GATE`] a gate. In IPv4 all that is read for an address then mostly lies in a
    /// line or two of the cache, and which branch is taken does not depend on the address.
    pub const LISTS: u32 = 1;
    /// The same, where all lists but the short ones have [`Trie::longest`] starts, at most [`List::AT_ONCE`] or one less than a power of two, and as
    /// many classes and one more: they are looked up in fewer steps. A word is where its list begins, counted in halves from the first one.
    pub const UNIFORM_LISTS: u32 = 2;
    /// The same of an IPv4 address, where there are lists alone and 16 bits name each of them: the first two bytes are resolved by 65,536 halves, which
    /// leave more of the nearer caches to what follows. A half is where its list begins, counted in [`List::SHORT_LEN`] from the first one.
    pub const NARROW_LISTS: u32 = 3;
    /// Marks a half of a list as the number of a child, in the place of a class: the word for the bytes that follow.
    pub const CHILD: u16 = 0x8000;
    /// Most children of a trie. Their words stand behind those of the root.
    pub const CHILDREN: usize = 1 << 15;
    /// Marks a word that ends the walk: a class, or with [`Trie::ONE_PREFIX`] two.
    pub const LEAF: u32 = 0x8000_0000;
    /// Marks a leaf that looks at one more byte: one class for those that begin with certain bits, another for all
    /// others. Large sets of addresses are mostly prefixes that stand alone, and so need no node of their own.
    pub const ONE_PREFIX: u32 = 0x4000_0000;

    /// A leaf with [`Trie::ONE_PREFIX`]: a class for the bytes of which the bits above the lowest `shift` (at most 8)
    /// are `bits`, and one for all others. `None` where a class is too large for it.
    #[must_use]
    pub const fn one_prefix(shift: u32, bits: u32, inside: u16, outside: u16) -> Option<u32> {
        if inside >> Self::CLASS_BITS != 0 || outside >> Self::CLASS_BITS != 0 {
            return None;
        }
        let classes = (inside as u32) << Self::CLASS_BITS | outside as u32;
        Some(Self::LEAF | Self::ONE_PREFIX | shift << 26 | bits << 18 | classes)
    }

    /// The bits of a class in a leaf of two.
    const CLASS_BITS: u32 = 9;
    /// The highest class that fits there.
    pub const HIGHEST_OF_TWO: usize = (1 << Self::CLASS_BITS) - 1;

    /// The class that a leaf gives, and the next byte of the address. Without a branch, since which kind of leaf it is
    /// depends on the address.
    #[inline(always)]
    #[must_use]
    pub const fn class(leaf: u32, byte: u32) -> u16 {
        const MASK: u32 = (1 << Trie::CLASS_BITS) - 1;
        let (inside, outside) = (leaf >> Self::CLASS_BITS & MASK, leaf & MASK);
        let differs = byte >> (leaf >> 26 & 15) ^ leaf >> 18 & 0xff;
        // All bits, where nothing differs.
        let is_inside = (differs.wrapping_sub(1).cast_signed() >> 31).cast_unsigned();
        let of_two = outside ^ (inside ^ outside) & is_inside;
        let is_one_prefix = ((leaf << 1).cast_signed() >> 31).cast_unsigned();
        (of_two & is_one_prefix | leaf & !is_one_prefix) as u16
    }

    /// From here on a word is the number of a packed node.
    pub const NODE: u32 = 0xc000_0000;
    /// From here on it is that of a gate.
    pub const GATE: u32 = 0xe000_0000;

    /// The word of a list, but of a short one and of one among [`Trie::UNIFORM_LISTS`]: how many ranges begin in it after the first one, [`List::SHORTEST`] to [`List::LONGEST`]; where it begins, counted in halves from
    /// the first list, a multiple of [`List::UNIT`] below [`crate::limits::HALVES`]; and whether only two classes take turns in it.
    #[must_use]
    pub const fn list(starts: u32, first: u32, takes_turns: bool) -> u32 {
        let power = match starts.checked_ilog2() {
            Some(power) => power,
            None => 0,
        };
        let overlap = if starts == 0 {
            0
        } else {
            starts + 1 - (1 << power)
        };
        power << 29
            | overlap << 23
            | (!takes_turns as u32) << List::FIRST_BITS
            | (first / List::UNIT)
    }

    /// The trie of one address and family.
    #[inline(always)]
    pub const fn index(destination: bool, v6: bool) -> usize {
        destination as usize * 2 + v6 as usize
    }
}

/// Number of [`Trie`]s.
pub const TRIES: usize = 4;

/// A list of ranges of two bytes: a half that is nothing, where each range but the first begins, in ascending order, then their
/// classes, or only the first two where these take turns. All in bytes, but for where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Where it begins, counted in halves from the first list.
    pub first: u32,
    /// Where the last start stands of the first half: the largest power of two of them.
    pub half: u32,
    /// How far the second half begins after the first one: as long, it ends with the last start.
    pub overlap: u32,
    /// The bits of the steps that are left within a half.
    pub rest: u32,
    /// Where the classes begin.
    pub classes: u32,
    /// 0 where two classes take turns, else 1.
    pub differ: u32,
}

const _: () = assert!(crate::limits::HALVES == (List::UNIT as usize) << List::FIRST_BITS);
// The word of a short list is below that of any other one.
const _: () = assert!(crate::limits::HALVES <= Trie::list(List::SHORTEST, 0, true) as usize);

impl List {
    /// Most ranges that begin after the first one.
    pub const LONGEST: u32 = 63;
    /// Halves that may be read from the beginning of a list on, whatever its word says: so many there are behind the last.
    pub const WINDOW: u32 = 256;
    /// How many starts are looked at at once, one less than a power of two.
    pub const AT_ONCE: u32 = 7;
    /// Halves in a short list, of a range that lies in another one, as a prefix that is alone in its network: the class of the other one, its own, where it
    /// begins, and where the other one goes on. Words say where each list begins, counted in halves from the first one.
    pub const SHORT_LEN: u32 = 4;
    /// Fewest ranges that begin after the first one, but in short lists and among [`Trie::UNIFORM_LISTS`]: either half of them is as long as is looked at at once.
    pub const SHORTEST: u32 = Self::AT_ONCE + 1;
    /// Each list, but among [`Trie::UNIFORM_LISTS`], begins at a multiple of so many halves.
    pub const UNIT: u32 = 8;

    const FIRST_BITS: u32 = 22;

    /// Of a word below [`Trie::NODE`].
    #[inline(always)]
    #[must_use]
    pub const fn of_word(word: u32) -> Self {
        // All of its bits, since the kernel's verifier follows no shift by a number that it does not know.
        let half = 2 << (word >> 29) & 126;
        let overlap = word >> 22 & 126;
        Self {
            first: (word & ((1 << Self::FIRST_BITS) - 1)) * Self::UNIT,
            half,
            overlap,
            rest: half - 2,
            classes: half + overlap,
            differ: word >> Self::FIRST_BITS & 1,
        }
    }

    /// Which bits of a range's place find its class, by [`List::differ`].
    #[inline(always)]
    #[must_use]
    pub const fn mask(differ: u32) -> u32 {
        2 + 124 * differ
    }
}

/// A node of a packed trie; or a gate, which only skips: to one more word, or with [`PackedNode::WIDE`] to 65,536 of them, by the next two bytes, or with
/// [`PackedNode::TO_CLASS`] to a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PackedNode {
    /// A bit for each of 256 entries that differs from the one before it; the first is always set.
    pub starts: [u64; 4],
    /// The bits that must come before those of the node, if `skip` is not 0.
    pub path: u64,
    /// How many bits that is: a multiple of 8, at most [`PackedNode::MAX_SKIP`]; or of a gate to a class any number, at most [`PackedNode::MAX_PATH`].
    pub skip: u32,
    /// The word to go on with where other bits come; of a gate the class, in 16 bits.
    pub miss: u32,
    /// The node's first word, counted from the first of all; of a gate to one word that word, and to a class that class.
    pub words: u32,
    /// How many bits of `starts` are set before each of its members, one byte each; that before the last may be 192.
    pub before: [u8; 4],
}

const _: () = assert!(size_of::<PackedNode>() == 56);

impl PackedNode {
    /// The starts of a gate to a table.
    pub const WIDE: [u64; 4] = [1, 0, 0, 0];

    /// Marks in [`PackedNode::miss`] a gate to a class.
    pub const TO_CLASS: u32 = 0x8000_0000;

    /// Most bits that a gate to a class looks at.
    pub const MAX_PATH: u32 = u64::BITS;

    /// Most bits that a node skips.
    pub const MAX_SKIP: u32 = 48;

    /// No entries.
    pub const EMPTY: Self = Self {
        starts: [0; 4],
        path: 0,
        skip: 0,
        miss: 0,
        words: 0,
        before: [0; 4],
    };
}
