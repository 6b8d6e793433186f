//! Intervals of addresses, and their parts within prefixes.

/// The bits of an address that one list or one table resolves, and of which a root is made.
pub(super) const LEVEL_BITS: u32 = u16::BITS;

/// An address that intervals can be made of.
pub(in super::super) trait Address: Copy {
    const BITS: u32;
    fn widen(self) -> u128;
    /// The address of such a number.
    fn narrow(number: u128) -> Self;
}

impl Address for u32 {
    const BITS: u32 = 32;
    fn widen(self) -> u128 {
        self.into()
    }
    fn narrow(number: u128) -> Self {
        number as Self
    }
}

impl Address for u128 {
    const BITS: u32 = 128;
    fn widen(self) -> u128 {
        self
    }
    fn narrow(number: u128) -> Self {
        number
    }
}

/// The intervals of one family, on addresses as 128 bits from the top.
pub(super) struct Space<'i, T> {
    pub(super) intervals: &'i [(T, u16)],
    /// How many bits an address has.
    pub(super) bits: u32,
}

impl<'i, T: Address> Space<'i, T> {
    pub(super) fn new(intervals: &'i [(T, u16)]) -> Self {
        Self {
            intervals,
            bits: T::BITS,
        }
    }

    /// Goes through prefixes that follow one another, within a range that begins with an interval that covers the first
    /// address of the first.
    pub(super) fn sweep(&self, range: &'i [(T, u16)]) -> Sweep<'i, T> {
        Sweep {
            rest: range,
            bits: self.bits,
        }
    }
}

/// Goes through intervals once for all prefixes in ascending order.
pub(super) struct Sweep<'i, T> {
    rest: &'i [(T, u16)],
    bits: u32,
}

impl<'i, T: Address> Sweep<'i, T> {
    /// The intervals that begin within a prefix, with the one that covers its first address.
    pub(super) fn within(&mut self, prefix: Prefix) -> Part<'i, T> {
        let before = self.begun_by(prefix.low);
        self.rest = &self.rest[before..];
        let within = self.begun_by(prefix.high(self.bits));
        Part {
            first: self.rest[0].1,
            range: &self.rest[..=within],
        }
    }

    /// How many intervals after the first one begin up to an address.
    fn begun_by(&self, address: u128) -> usize {
        let starts = self.rest[1..].iter().map(|(start, _)| start.widen());
        starts.take_while(|start| *start <= address).count()
    }
}

/// The intervals of a prefix; the first covers its first address.
pub(super) struct Part<'i, T> {
    pub(super) first: u16,
    pub(super) range: &'i [(T, u16)],
}

impl<T> Part<'_, T> {
    pub(super) fn class(&self) -> Option<u16> {
        (self.range.len() == 1).then_some(self.first)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) low: u128,
    pub(super) len: u32,
}

impl Prefix {
    pub(super) fn high(self, bits: u32) -> u128 {
        let rest = bits - self.len;
        if rest >= 128 {
            u128::MAX
        } else {
            self.low | ((1 << rest) - 1)
        }
    }

    /// The child of this number among those that `bits_more` bits tell apart.
    pub(super) fn child(self, number: usize, bits_more: u32, bits: u32) -> Self {
        let len = self.len + bits_more;
        Self {
            low: self.low | (number as u128) << (bits - len),
            len,
        }
    }
}
