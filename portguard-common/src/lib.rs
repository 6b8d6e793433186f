//! What the kernel side and the daemon must agree on.
//!
//! The crate has neither `std` nor an allocator, since the kernel program is built from it: the layout
//! of every map ([`abi`]), the capacities ([`limits`]), the parser ([`packet`]) and the classifier
//! ([`classify`], with [`combine`], [`trie`], [`bucket`], [`bucket_table`], [`flow`], [`ban`], and [`flow_table`], [`ban_filter`] and [`ban_table`] with their
//! [`places`], by the clock of [`ticks`]), the answers to what is rejected ([`answer`]), and the packets that are drawn to measure all this ([`draw`]). They
//! read through traits, so the same source runs in the kernel and on the host.

#![no_std]
#![deny(unsafe_code)]

pub mod abi;
pub mod answer;
pub mod ban;
pub mod ban_filter;
pub mod ban_table;
pub mod bucket;
pub mod bucket_table;
pub mod classify;
pub mod combine;
pub mod conceal;
pub mod constant;
pub mod draw;
pub mod flow;
pub mod flow_table;
pub mod last_sent;
pub mod limiter;
pub mod limits;
pub mod mix;
pub mod packet;
pub mod places;
pub mod plain;
pub mod ticks;
pub mod trie;
pub mod word;
