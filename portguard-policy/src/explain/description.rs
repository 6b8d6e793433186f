//! The packet that a user asks about, as it was written.

use crate::policy::Policy;
use crate::problem::{one_of, quoted};
use crate::protocols::WALKED_IN_IPV6;
use crate::traffic::text::{self, Purpose, Read};
use crate::traffic::{Traffic, TrafficError, TrafficProtocol};

/// A packet in the language of assertions. What it does not state is assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub(super) traffic: Traffic,
    pub(super) later_fragment: bool,
    pub(super) hop_limit: Option<u8>,
}

impl Description {
    /// Reads `[PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT] [via INTERFACE] [vlan N] [fragment] [ttl N]`. Services
    /// may be the policy's own. Beyond what an assertion can say, `fragment` means a later fragment, `ttl` (or
    /// `hop-limit`) the TTL or hop limit, and a port may be 0.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it; also a packet that there cannot be, or that the policy never sees.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, TrafficError> {
        let read = text::read(text, &policy.services, Purpose::Question)?;
        if let Some((span, prefix)) = read.masked.first() {
            let written = text.get(span.start..span.end).unwrap_or_default();
            let address = written.split('/').next().unwrap_or_default();
            return Err(TrafficError {
                span: *span,
                message: format!("{} has bits set behind its prefix", quoted(written)),
                hint: format!("write the address alone, `{address}`, or the prefix `{prefix}`"),
            });
        }
        refuse_unguarded(policy, &read)?;
        refuse_walked(&read)?;
        Ok(Self {
            traffic: read.traffic,
            later_fragment: read.later_fragment,
            hop_limit: read.hop_limit,
        })
    }

    /// The interface that it names.
    pub fn interface(&self) -> Option<&str> {
        self.traffic.interface.as_deref()
    }
}

fn refuse_unguarded(policy: &Policy, read: &Read) -> Result<(), TrafficError> {
    let (Some(name), Some(span)) = (&read.traffic.interface, read.interface) else {
        return Ok(());
    };
    if policy.guards(name) {
        return Ok(());
    }
    let guarded: Vec<String> = policy.interfaces.iter().map(ToString::to_string).collect();
    Err(TrafficError {
        span,
        message: format!("the policy does not guard interface {}", quoted(name)),
        hint: format!(
            "all that arrives there passes unseen; guarded is {}",
            one_of(guarded.iter().map(String::as_str))
        ),
    })
}

/// In IPv6 some protocols are headers that are walked, so that no whole packet has them.
fn refuse_walked(read: &Read) -> Result<(), TrafficError> {
    let Some(TrafficProtocol::Number(number)) = read.traffic.protocol else {
        return Ok(());
    };
    let may_be = read.later_fragment || read.traffic.is_possible(true);
    if may_be || !WALKED_IN_IPV6.contains(&number) {
        return Ok(());
    }
    Err(TrafficError {
        span: read.whole,
        message: format!("no packet of IPv6 has protocol {number}"),
        hint: "this header is walked, and what follows it counts: name that protocol".to_owned(),
    })
}
