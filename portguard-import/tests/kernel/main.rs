//! A policy that was imported against its original: the same packets, judged by the kernel and by the tables of the
//! policy. It takes root, and the tools whose rule sets are read.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod compare;
mod firewalld;
mod host;
mod iptables;
mod nft;
mod packets;
mod ufw;
