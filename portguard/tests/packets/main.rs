//! Frames through the real kernel program: each test says what happens to a frame, what decided, and what
//! was counted.
//!
//! A [`filter::Filter`] is a policy in the kernel; [`frames`] builds what is sent through it. The files are
//! named after what they are about, [`cases`] after what went wrong in other packet filters.
//!
//! The kernel must be able to run the program: a kernel that refuses fails the tests.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../../../portguard-common/tests/frames/mod.rs"]
mod frames;

mod addresses;
mod agreement;
mod bans;
mod buffers;
mod cases;
mod corpus;
mod counters;
mod enforcement;
mod essential;
mod events;
mod everything;
mod extensions;
mod filter;
mod fragments;
mod ipv4;
mod limits;
mod link;
mod malformed;
mod non_ip;
mod ports;
mod pressure;
mod protocols;
mod reject;
mod replies;
mod truncation;
mod types;
