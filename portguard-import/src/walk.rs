//! From chains to one list in which the first match decides.
//!
//! A packet is followed through the chains as the kernel would take it, but with all packets at once: each rule narrows
//! the region that is on its way. What a jump does not decide goes on behind it, which is what the order of the list means
//! as well. A `return`, a `goto` and the accept of a base chain that is not the last one leave the order: there, what
//! follows them is written out for their region alone.

use std::rc::Rc;

use crate::error::ImportError;
use crate::model::{Origin, Rate, RuleSet, States};
use crate::region::Region;
use crate::walker::Walker;

/// The packets that are looked at: by what portguard does not see, but rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What begins: the first packet of a connection, of TCP a SYN. Rules of portguard are written for these.
    First,
    /// An answer in a connection that this side has begun.
    Reply,
    /// What belongs to such a connection: an ICMP error.
    Related,
}

impl Class {
    pub(crate) fn state(self) -> States {
        match self {
            Self::First => States::NEW,
            Self::Reply => States::ESTABLISHED,
            Self::Related => States::RELATED,
        }
    }

    /// Flags of its packets of TCP.
    pub(crate) fn flags(self) -> u8 {
        match self {
            Self::First => 0x02,
            Self::Reply | Self::Related => 0x10,
        }
    }
}

/// What an item of the list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Pass,
    Drop,
    Reject,
    Limit(Rate),
}

impl Decided {
    pub(crate) fn lets_through(self) -> bool {
        matches!(self, Self::Pass | Self::Limit(_))
    }
}

/// One entry of the list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) region: Region,
    pub(crate) decided: Decided,
    /// The rule that says so; for the end of a base chain, its policy.
    pub(crate) origin: Rc<Origin>,
    /// Name of the chain in which it stands.
    pub(crate) chain: String,
    /// Further conditions, which portguard does not know.
    pub(crate) unknown: Vec<String>,
    pub(crate) changing: Option<String>,
    /// It counts packets of TCP that belong to connections, too, which a limit of portguard does not.
    pub(crate) counts_all: bool,
}

/// A list, and what it takes for granted.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) items: Vec<Item>,
    /// The first rule for packets that begin something, which portguard cannot tell from others that are no replies.
    pub(crate) assumed: Option<Rc<Origin>>,
}

/// The list for one class of packets that arrive in a region.
///
/// # Errors
///
/// When a chain is missing, or there are too many ways through the chains.
pub(crate) fn walk(rules: &RuleSet, class: Class, region: &Region) -> Result<Walked, ImportError> {
    let mut walker = Walker::new(rules, class);
    walker.start(region)?;
    Ok(Walked {
        items: walker.items,
        assumed: walker.assumed,
    })
}
