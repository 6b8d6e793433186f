//! What decides the packets to some ports.

use std::ops::ControlFlow;

use super::{Decision, Pair, Region, TooComplex, Work, interfaces_of};
use crate::compile::Tables;
use crate::packet::Packet;
use crate::policy::{PortRange, Transport};
use crate::prefix::Prefix;
use crate::traffic::{Traffic, TrafficProtocol};

/// Everything that decides packets to these ports, from these sources or from all, each once and with an example. TCP
/// means a new connection; state and bans are left aside.
///
/// # Errors
///
/// [`TooComplex`], and then nothing is known.
pub fn deciders(
    tables: &Tables,
    transport: Transport,
    ports: PortRange,
    from: Option<Prefix>,
) -> Result<Vec<(Decision, Packet)>, TooComplex> {
    let traffic = Traffic {
        protocol: Some(TrafficProtocol::Transport(transport)),
        source: from,
        ..Traffic::default()
    };
    let mut region = Region::of(&traffic, interfaces_of(&[tables]));
    region.destination_ports = Some(ports);
    let mut deciders: Vec<(Decision, Packet)> = Vec::new();
    Pair::new(tables, tables).survey(&region, &mut Work::new(), |found| {
        let [decision, _] = found.decisions;
        if deciders.iter().all(|(known, _)| *known != decision) {
            deciders.push((decision, found.packet()));
        }
        ControlFlow::Continue(())
    })?;
    Ok(deciders)
}
