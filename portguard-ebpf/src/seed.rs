//! Random numbers of this host's state: who does not know them cannot choose what shares a place in a table.

use portguard_common::mix::Seed;

/// The loader puts them in the place of these zeros.
#[unsafe(no_mangle)]
static SEED: Seed = [0; 2];

#[inline(always)]
pub(crate) fn seed() -> Seed {
    // SAFETY: `u64`s of this program's data, which the loader overwrites and freezes; volatile, since the compiler
    // sees only the zeros.
    unsafe {
        let seed = (&raw const SEED).cast::<u64>();
        [seed.read_volatile(), seed.add(1).read_volatile()]
    }
}
