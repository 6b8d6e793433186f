//! What to do first, for whoever types `portguard` alone.

use std::io::{self, Write as _};

const FIRST_STEPS: &str = "\
portguard closes ports before the network stack sees a packet. What to do first:
  portguard listen                 which ports are open on this host, and who listens there
  portguard audit                  which of them should not be, why, and what to do about it
  portguard suggest > mine.yaml    a policy for what this host does; look at it before you use it
  portguard check mine.yaml        what is wrong with a policy, line by line
  portguard run --policy FILE      the daemon; `systemctl enable --now portguard` where it is installed
  portguard status                 whether it filters, on which interfaces, and whether all is well
  portguard block 25/tcp           closes a port at once and for good; `portguard open 25/tcp` opens it
  portguard rules                  what is in force, from which file, and how often it was hit
`portguard help` lists all commands, and `portguard help COMMAND` explains one.
";

/// Says what to do first.
pub fn first_steps() {
    // Nobody is left to tell when standard error is closed.
    let _closed = io::stderr().write_all(FIRST_STEPS.as_bytes());
}
