//! What commands about the sockets of this host look at.

use std::collections::BTreeSet;

use anyhow::Context as _;
use portguard_policy::PortRange;

use crate::exit::{Failure, Outcome};
use crate::exposure::audit::Facts;
use crate::exposure::{self, Filter, Judge, Way};
use crate::host::published::Published;
use crate::host::sockets::{self, Owners, Selection, Socket};

/// Sockets, whose they are, and the ways in.
pub(super) struct Host {
    pub(super) sockets: Vec<Socket>,
    pub(super) owners: Owners,
    pub(super) ways: Vec<Way>,
}

impl Host {
    /// Looks at this host, where such a policy is in force.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the kernel does not tell.
    pub(super) fn look(selection: Selection, filter: Option<&Filter>) -> Outcome<Self> {
        let sockets = sockets::list(selection)
            .context("cannot list the sockets")
            .map_err(Failure::system)?;
        let none = BTreeSet::new();
        let guarded = filter.map_or(&none, |filter| &filter.guarded);
        let ways = exposure::ways(guarded)
            .context("cannot list the interfaces")
            .map_err(Failure::system)?;
        Ok(Self {
            owners: Owners::of(&sockets),
            sockets,
            ways,
        })
    }

    /// What an audit of it is made of; `why_none` where there is no policy.
    pub(super) fn facts<'f>(
        &'f self,
        judge: &'f Judge<'f>,
        why_none: Option<&'f str>,
        published: &'f [Published],
    ) -> Facts<'f> {
        Facts {
            judge,
            why_none,
            sockets: &self.sockets,
            owners: &self.owners,
            published,
            client_ports: client_ports(),
            forwards: forwards(),
        }
    }
}

/// The ports that the kernel gives to sockets which ask for none.
fn client_ports() -> PortRange {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut ends = text.split_ascii_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(low)), Some(Ok(high))) => PortRange { low, high },
        // Those of a kernel that nobody has told otherwise.
        _ => PortRange {
            low: 32_768,
            high: 60_999,
        },
    }
}

/// Whether this host forwards packets.
fn forwards() -> bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .iter()
        .any(|name| {
            let value = std::fs::read_to_string(format!("/proc/sys/net/{name}"));
            value.is_ok_and(|text| text.trim() != "0")
        })
}
