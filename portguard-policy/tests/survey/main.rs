//! What is said of all packets at once: assertions, differences of two policies, UDP ports that close.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "tests"
)]

mod closed;
#[path = "../common/mod.rs"]
mod common;
mod naive;
mod promises;
mod properties;
mod sources;
