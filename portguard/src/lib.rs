//! portguard: a packet filter daemon for Linux.
//!
//! `docs/architecture.md` has the map. In short: [`policy_file`] reads a policy, [`dataplane`] carries
//! it into the kernel, [`daemon`] keeps it there, [`commands`] are the verbs of the command line,
//! [`observe`] has what is counted over time, and [`output`] turns what they return into text.

pub mod capture;
pub mod cli;
pub mod commands;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod exit;
pub mod exposure;
pub mod host;
pub mod observe;
pub mod output;
pub mod policy_file;
mod utc;
