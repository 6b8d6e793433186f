//! What outlives a generation.

/// A token bucket in one word, so that one instruction changes it: the time at which it will be full again,
/// in nanoseconds of the kernel's monotonic clock (the generic cell rate algorithm, ITU-T I.371).
pub type Bucket = u64;

/// The bucket of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SourceBucket {
    /// A digest of rule and source; 0 where nobody is.
    pub key: u64,
    /// Its bucket.
    pub bucket: Bucket,
}

const _: () = assert!(size_of::<SourceBucket>() == 16);

/// Places in one line of the cache.
pub const LINE_WAYS: u32 = 4;

/// A map element that is one line of the cache: see [`crate::places`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheLine {
    /// Whose each place is; 0 where nobody is.
    pub digests: [u64; LINE_WAYS as usize],
    /// What each says.
    pub words: [u64; LINE_WAYS as usize],
}

const _: () = assert!(size_of::<CacheLine>() == 64);

/// What is banned: all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct BanKey {
    /// The upper half of the lowest address as a number; an IPv4 address is the upper half of this.
    pub high: u64,
    /// The lower half of an IPv6 address.
    pub low: u64,
    /// How many bits the addresses have in common; never 0.
    pub length: u32,
    /// 1 for IPv6.
    pub v6: u32,
}

const _: () = assert!(size_of::<BanKey>() == 24);

/// When a ban ends: a time of the kernel's boot-time clock, which goes on while the host is suspended, in nanoseconds;
/// [`FOREVER`] for never.
pub type BanEnd = u64;

/// The [`BanEnd`] of a ban without one.
pub const FOREVER: BanEnd = u64::MAX;

/// Which lengths of prefixes are banned, by family: bit `n - 1` for a length of `n`. Each bit stands for itself, so that
/// it does not matter how many of them a reader sees change at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BanLengths {
    /// Of IPv4.
    pub v4: u64,
    /// Of IPv6: up to 64, then up to 128.
    pub v6: [u64; 2],
    /// For the daemon alone: the kernel's ID of the table that it has put all of its bans into, so that a daemon after
    /// it can go on with them; 0 before.
    pub table: u64,
}

const _: () = assert!(size_of::<BanLengths>() == 32);

impl BanLengths {
    /// The word and the bit in it of a length, which is not 0.
    #[must_use]
    pub const fn place(&mut self, v6: bool, length: u32) -> (&mut u64, u64) {
        let bit = 1 << ((length - 1) % 64);
        let word = match (v6, length) {
            (false, _) => &mut self.v4,
            (true, ..=64) => &mut self.v6[0],
            (true, _) => &mut self.v6[1],
        };
        (word, bit)
    }
}

/// What there is one of for the whole host.
pub mod host {
    /// The [`crate::abi::Bucket`] of later fragments.
    pub const FRAGMENTS: u32 = 0;
    /// The [`crate::abi::Bucket`] of answers to rejected packets.
    pub const ANSWERS: u32 = 1;
    /// Two random numbers, from which [`crate::abi::symbol::SEED`] is frozen.
    pub const SEED: u32 = 2;
    /// All of them.
    pub const LEN: u32 = 4;
}

/// What a policy on trial is kept by.
pub mod trial {
    /// When the trial ends, in nanoseconds of the boot-time clock, which goes on while the host sleeps.
    pub const DEADLINE: u32 = 0;
    /// 1 once it is confirmed.
    pub const CONFIRMED: u32 = 1;
    /// 1 once a packet, or the daemon, has found the deadline passed before it was confirmed: the policy before is in
    /// force from then on, whatever else is written.
    pub const EXPIRED: u32 = 2;
    /// All words.
    pub const WORDS: u32 = 3;

    /// The place of the policy before among the programs.
    pub const BEFORE: u32 = 0;
    /// The place of the policy on trial.
    pub const ON_TRIAL: u32 = 1;
    /// All places.
    pub const CHOICES: u32 = 2;

    /// Most interfaces that the policy before may guard.
    pub const INTERFACES: u32 = 4096;
}

/// Indices of the table that tells when a packet last left, by its own port.
pub mod local_port {
    /// TCP by source port.
    pub const TCP: u32 = 0;
    /// UDP by source port.
    pub const UDP: u32 = 1 << 16;
    /// Echo requests of ICMP and ICMPv6 by identifier.
    pub const ECHO: u32 = 2 << 16;
    /// All indices.
    pub const LEN: u32 = 3 << 16;
}
