//! The layout of what is shared with the kernel: map elements, table indices, outcome numbers.
//!
//! Every type here has a size assertion, since both sides are compiled separately.

mod cells;
pub mod counted;
mod counting;
mod events;
mod fields;
mod settings;
mod stages;
mod state;
pub mod symbol;
mod tries;

pub use self::cells::{Action, Cell, Limit};
pub use self::counting::{
    Builtin, COUNTER_PAGE_LEN, Counter, CounterPage, DropPage, counter, dropped, drops, slot,
};
pub use self::events::{
    EVENT_COUNTS_PER_PAGE, EventCount, EventCountPage, EventHeader, EventRecord, HALVES, Trace,
    credit, event_group,
};
pub use self::fields::{INTERFACES, VLANS, field, interface_entry, service, source_port};
pub use self::settings::{
    FRAGMENTS_DROP, FRAGMENTS_PASS, FRAGMENTS_RATE, Lengths, SETTINGS, Setting, Settings,
    TELL_DIAGNOSTICS, TELL_EVENTS, TELL_TRACE,
};
pub use self::stages::{Row, Stage, exception};
pub use self::state::{
    BanEnd, BanKey, BanLengths, Bucket, CacheLine, FOREVER, LINE_WAYS, SourceBucket, host,
    local_port, trial,
};
pub use self::tries::{List, PackedNode, TRIES, Trie};

/// Version of this layout: one more whenever what is pinned changes its meaning, though not its size. What another version
/// pinned is not read, but replaced.
pub const LAYOUT: u32 = 6;

#[cfg(feature = "user")]
mod pod {
    //! Permission for aya to move these types in and out of maps.
    #![expect(unsafe_code, reason = "`aya::Pod` is an unsafe marker trait")]

    // SAFETY: each type is `repr(C)`, made of integers alone, without padding (its size is asserted
    // where it stands), so any bytes are a value and all its bytes are initialised.
    unsafe impl aya::Pod for super::Cell {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::EventCount {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Limit {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BanKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BanLengths {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::SourceBucket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Stage {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Row {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Lengths {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Trie {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::PackedNode {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Trace {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::draw::Draw {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::draw::Stretch {}
}
