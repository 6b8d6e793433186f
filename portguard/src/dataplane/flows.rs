//! Flows that were started before anybody watched: put into the table that the programs write to, while they do.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use portguard_common::abi::{local_port, symbol};
use portguard_common::constant::Memory;
use portguard_common::flow_table::{self, Flow, FlowKey, mix_v4, mix_v6};
use portguard_common::last_sent::LastSent;
use portguard_common::mix::Seed;
use portguard_common::places::Line as _;
use portguard_policy::Transport;

use super::generation::LoadError;
use super::memory;
use super::places::{Table, mapped};

/// A connection that this side started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedFlow {
    /// TCP or UDP.
    pub protocol: Transport,
    /// This side's address and port.
    pub ours: SocketAddr,
    /// The other side's.
    pub theirs: SocketAddr,
}

impl StartedFlow {
    /// `None` where the addresses are of two families.
    fn key(&self, seed: Seed) -> Option<FlowKey> {
        let (ours, theirs) = (
            self.ours.ip().to_canonical(),
            self.theirs.ip().to_canonical(),
        );
        let addresses = match (ours, theirs) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => mix_v4(seed, ours.octets(), theirs.octets()),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                mix_v6(seed, halves(ours.octets()), halves(theirs.octets()))
            }
            _ => return None,
        };
        let first = match self.protocol {
            Transport::Udp => local_port::UDP,
            Transport::Tcp | Transport::Sctp => local_port::TCP,
        };
        let index = first + u32::from(self.ours.port());
        Some(FlowKey::new(seed, addresses, index, self.theirs.port()))
    }
}

fn halves(address: [u8; 16]) -> ([u8; 8], [u8; 8]) {
    let number = u128::from_be_bytes(address);
    let half = |number: u128| (number as u64).to_be_bytes();
    (half(number >> 64), half(number))
}

/// Adds flows that have just sent something.
pub(super) fn add(
    memory: &memory::Maps,
    seed: Seed,
    flows: &[StartedFlow],
    now_ns: u64,
) -> Result<(), LoadError> {
    let keys: Vec<FlowKey> = flows.iter().filter_map(|flow| flow.key(seed)).collect();
    let mut not_kept = 0;
    for kind in [Memory::TcpFlows, Memory::OtherFlows] {
        let table = &Table::of(Some(memory.get(kind)), kind.name())?;
        for key in keys.iter().filter(|key| key.table() == kind) {
            match flow_table::find(&table, *key) {
                Some((line, way)) => line.set_word(way, Flow::sent_at(now_ns).word()),
                None => not_kept += usize::from(!flow_table::add(&table, *key, now_ns)),
            }
        }
    }
    let (last_sent, _) = mapped(Some(memory.get(Memory::LastSent)), symbol::LAST_SENT)?;
    for key in &keys {
        let now = LastSent::at(key.index, now_ns);
        last_sent.bytes()[key.index as usize].store(now.byte(), Ordering::Relaxed);
    }
    match not_kept {
        0 => Ok(()),
        not_kept => Err(LoadError::FlowsNotKept(not_kept)),
    }
}
