//! Computing without branches, where a branch would be guessed wrongly, or followed by the verifier both ways.

/// Numbers that must not become branches.
pub trait Conceal {
    /// The same number; in the kernel one of which neither the compiler nor the verifier knows what it is: these would make branches of what
    /// is computed with it, and follow each by itself.
    #[inline(always)]
    #[must_use]
    fn conceal(number: u64) -> u64 {
        number
    }
}

/// All bits, where a number is negative.
#[inline(always)]
pub(crate) const fn sign(number: u64) -> u64 {
    (number.cast_signed() >> 63).cast_unsigned()
}
