//! What the tests of several models count.

use crate::control::{Count, RuleCount};

pub(super) fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * 100,
    }
}

pub(super) fn rule(name: &str, packets: u64) -> RuleCount {
    RuleCount {
        name: name.into(),
        action: Some("drop".into()),
        count: count(packets),
        limited: count(0),
        shadow: count(0),
    }
}
