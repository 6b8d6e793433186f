//! Flows that were started before anybody watched: put into the table that the programs write to, while they do.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Ebpf;
use aya::maps::{Map, MapError};
use portguard_common::abi::{FLOW_WAYS, FlowLine, local_port, symbol};
use portguard_common::flow_table::{self, Flow, FlowKey, FlowTable, Line, mix_v4, mix_v6};
use portguard_common::mix::Seed;
use portguard_policy::Transport;

use super::generation::LoadError;
use super::state;
use super::sys::Words;

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
pub(super) fn add(ebpf: &mut Ebpf, flows: &[StartedFlow], now_ns: u64) -> Result<(), LoadError> {
    let seed = state::seed_of(&state::array(ebpf, symbol::HOST)?)?;
    let table = Table::of(ebpf)?;
    let keys: Vec<FlowKey> = flows.iter().filter_map(|flow| flow.key(seed)).collect();
    let mut not_kept = 0;
    for key in &keys {
        match flow_table::find(&&table, *key) {
            Some((line, way)) => line.set_word(way, Flow::sent_at(now_ns).word()),
            None => not_kept += usize::from(!flow_table::add(&&table, *key, now_ns)),
        }
    }
    let mut last_sent = state::array::<u64>(ebpf, symbol::LAST_SENT)?;
    for key in &keys {
        last_sent
            .set(key.index, now_ns, 0)
            .map_err(LoadError::State)?;
    }
    match not_kept {
        0 => Ok(()),
        not_kept => Err(LoadError::FlowsNotKept(not_kept)),
    }
}

/// The table, in the memory of this process.
struct Table(Words);

impl Table {
    fn of(ebpf: &Ebpf) -> Result<Self, LoadError> {
        const NAME: &str = symbol::FLOWS;
        let Some(Map::Array(map)) = ebpf.map(NAME) else {
            return Err(LoadError::Missing(NAME));
        };
        let length = flow_table::LINES as usize * size_of::<FlowLine>();
        let words = Words::of_map(map.fd().as_fd(), length)
            .map_err(|error| LoadError::State(MapError::IoError(error)))?;
        Ok(Self(words))
    }
}

impl<'t> FlowTable for &'t Table {
    type Line = Places<'t>;

    fn line(&self, index: u32) -> Option<Places<'t>> {
        const WORDS: usize = size_of::<FlowLine>() / size_of::<u64>();
        let line = self.0.all().as_chunks::<WORDS>().0.get(index as usize)?;
        let (digests, words) = line.split_at(FLOW_WAYS as usize);
        Some(Places { digests, words })
    }
}

#[derive(Clone, Copy)]
struct Places<'t> {
    digests: &'t [AtomicU64],
    words: &'t [AtomicU64],
}

impl Line for Places<'_> {
    fn digest(&self, way: u32) -> u64 {
        // What is read afterwards is not older.
        self.digests[way as usize].load(Ordering::Acquire)
    }

    fn word(&self, way: u32) -> u64 {
        self.words[way as usize].load(Ordering::Relaxed)
    }

    fn set_word(&self, way: u32, word: u64) {
        self.words[way as usize].store(word, Ordering::Relaxed);
    }

    fn replace_word(&self, way: u32, old: u64, new: u64) {
        // Where it has changed meanwhile, somebody else has written what is newer.
        let (order, place) = (Ordering::Relaxed, &self.words[way as usize]);
        let _ = place.compare_exchange(old, new, order, order);
    }

    fn replace_digest(&self, way: u32, old: u64, new: u64) -> bool {
        // Between claiming a place and naming its owner the word is written, and the others must see it so. The programs' own instruction
        // is a full barrier.
        self.digests[way as usize]
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
