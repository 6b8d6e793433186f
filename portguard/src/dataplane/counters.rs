//! Reading the counters of a generation.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Pod;
use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use portguard_common::abi::{
    Builtin, COUNTER_PAGE_LEN, Counter, CounterPage, DropPage, EventCount, counted, counter,
    dropped, drops, service, slot, symbol,
};
use portguard_common::packet::{Malformed, protocol};
use portguard_policy::Meaning;

use super::generation::LoadError;
use super::kernel;
use super::places::mapped;

/// What a rule counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets that the rule decided; of a limit, those within it.
    pub decided: Counter,
    /// Packets beyond the rule's limit.
    pub limited: Counter,
    /// Packets that the rule would have dropped, were it enforced.
    pub shadow: Counter,
}

/// A destination of dropped packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropKey {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, for TCP, UDP and SCTP; `None` for later fragments and other protocols.
    pub port: Option<u16>,
}

/// What was counted, summed over the CPUs. Every frame is in exactly one of the deciding counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By rule index; rules that counted nothing may be missing at the end.
    pub rules: Vec<RuleCount>,
    /// Outcomes that are no rule.
    pub builtin: BTreeMap<Builtin, Counter>,
    /// Malformed packets by reason.
    pub malformed: BTreeMap<Malformed, Counter>,
    /// Dropped packets by destination; only those that are not 0.
    pub drops: BTreeMap<DropKey, u64>,
    /// What became of drop events.
    pub events: EventCount,
}

impl Counts {
    /// All frames that were seen.
    #[must_use]
    pub fn frames(&self) -> Counter {
        let rules = self
            .rules
            .iter()
            .flat_map(|rule| [&rule.decided, &rule.limited]);
        rules
            .chain(self.builtin.values())
            .chain(self.malformed.values())
            .fold(Counter::default(), |sum, next| add(sum, *next))
    }

    /// What one rule counted.
    #[must_use]
    pub fn rule(&self, index: usize) -> RuleCount {
        self.rules.get(index).copied().unwrap_or_default()
    }
}

/// The sum of two counters.
#[must_use]
pub fn add(left: Counter, right: Counter) -> Counter {
    Counter {
        packets: left.packets + right.packets,
        bytes: left.bytes + right.bytes,
    }
}

/// Bytes of all slots: an offset that a program adds to an address must be below this (`BPF_MAX_VAR_OFF`).
const MOST_SLOT_BYTES: usize = 1 << 29;

/// How many slots there are for so many CPUs, with so many counters each: one for each CPU, or none where the kernel takes no map of so many.
pub(super) fn slots(cpus: u32, counters: usize) -> u32 {
    let most = kernel::largest_table().min(MOST_SLOT_BYTES);
    if slot::bytes(counters) * cpus as usize <= most {
        cpus
    } else {
        0
    }
}

/// Lower halves of drops that are read at once.
const LOWER_IN_A_WORD: usize = size_of::<u64>() / size_of::<u16>();

const _: () = assert!((drops::LEN as usize).is_multiple_of(LOWER_IN_A_WORD));

/// Drops by their halves. The upper ones are read until they are the same before and after the lower ones: what counts meanwhile takes 32,768 packets to
/// change one.
fn dropped_by(upper: &[AtomicU64; LOWER_IN_A_WORD], lower: &AtomicU64) -> [u64; LOWER_IN_A_WORD] {
    let is_zero = |own: &AtomicU64| own.load(Ordering::Acquire) == 0;
    // As of most ports. What is 0 in its upper half now was all 0 when the lower one was read.
    if is_zero(lower) && upper.iter().all(is_zero) {
        return [0; LOWER_IN_A_WORD];
    }
    let read = || upper.each_ref().map(|own| own.load(Ordering::Acquire));
    let mut before = read();
    loop {
        let lower = lower.load(Ordering::Acquire).to_ne_bytes();
        let after = read();
        if before == after {
            let (lower, _) = lower.as_chunks::<2>();
            return std::array::from_fn(|own| {
                dropped::total(after[own], u16::from_ne_bytes(lower[own]))
            });
        }
        before = after;
    }
}

/// What a cell or limit counted. Its steps are read until they are the same before and after the word, and belong to it: a CPU takes one after
/// thousands of packets, in some nanoseconds.
fn counted_by(steps: &[AtomicU64; 2], word: &AtomicU64) -> Counter {
    let read = |own: &AtomicU64| own.load(Ordering::Acquire);
    let [packets, number] = steps;
    loop {
        let before = read(number);
        let word = read(word);
        let steps = Counter {
            packets: read(packets),
            bytes: read(number),
        };
        if before == steps.bytes
            && let Some(total) = counted::total(steps, word)
        {
            return total;
        }
        std::thread::yield_now();
    }
}

/// What all CPUs counted together.
struct Sums {
    counters: Vec<Counter>,
    drops: Vec<u64>,
}

impl Sums {
    /// So many counters that counted nothing.
    fn new(counters: usize) -> Self {
        Self {
            counters: vec![Counter::default(); counters],
            drops: vec![0; drops::LEN as usize],
        }
    }

    /// By the slots of CPUs.
    fn add_slots(&mut self, slots: &[AtomicU64]) {
        const DROPS: usize = slot::DROPS / size_of::<u64>();
        const UPPER_DROPS: usize = slot::UPPER_DROPS / size_of::<u64>();
        const CELLS: usize = slot::CELLS / size_of::<u64>();
        let steps = slot::steps(self.counters.len()) / size_of::<u64>();
        let slot_words = slot::bytes(self.counters.len()) / size_of::<u64>();
        // All that were counted before are there, though not at one instant.
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        for slot in slots.chunks_exact(slot_words) {
            let (rest, steps) = slot.split_at(steps);
            let (rest, cells) = rest.split_at(CELLS);
            let (rest, upper) = rest.split_at(UPPER_DROPS);
            let (builtins, lower) = rest.split_at(DROPS);
            let (sums, _) = self.drops.as_chunks_mut::<LOWER_IN_A_WORD>();
            let (upper, _) = upper.as_chunks::<LOWER_IN_A_WORD>();
            for ((sums, upper), lower) in sums.iter_mut().zip(upper).zip(lower) {
                for (sum, own) in sums.iter_mut().zip(dropped_by(upper, lower)) {
                    *sum += own;
                }
            }
            let of_any = builtins.as_chunks().0.iter().map(|own| {
                let [packets, bytes] = own.each_ref().map(word);
                Counter { packets, bytes }
            });
            let cells = steps.as_chunks().0.iter().zip(cells);
            let of_cells = cells.map(|(steps, word)| counted_by(steps, word));
            for (sum, own) in self.counters.iter_mut().zip(of_any.chain(of_cells)) {
                *sum = add(*sum, own);
            }
        }
    }

    /// By the pages of CPUs.
    fn add_pages(
        &mut self,
        counters: &PerCpuArray<&MapData, CounterPage>,
        drops: &PerCpuArray<&MapData, DropPage>,
    ) -> Result<(), LoadError> {
        for (page, sums) in (0..).zip(self.counters.chunks_mut(COUNTER_PAGE_LEN)) {
            for cpu in page_of(counters, page, symbol::COUNTERS)?.iter() {
                for (sum, own) in sums.iter_mut().zip(cpu) {
                    *sum = add(*sum, *own);
                }
            }
        }
        for (page, sums) in (0..).zip(
            self.drops
                .chunks_mut(size_of::<DropPage>() / size_of::<u64>()),
        ) {
            for cpu in page_of(drops, page, symbol::DROPS)?.iter() {
                for (sum, own) in sums.iter_mut().zip(cpu) {
                    *sum += own;
                }
            }
        }
        Ok(())
    }
}

fn page_of<T: Pod>(
    map: &PerCpuArray<&MapData, T>,
    page: u32,
    name: &'static str,
) -> Result<PerCpuValues<T>, LoadError> {
    map.get(&page, 0)
        .map_err(|source| LoadError::Map { name, source })
}

/// Reads the counters, which are in maps of these names, and attributes each cell to its rules.
pub(super) fn read<M: Borrow<Map>>(
    map: impl Fn(&'static str) -> Result<M, LoadError>,
    meaning: &Meaning,
) -> Result<Counts, LoadError> {
    let mut sums = Sums::new(counter::len(meaning.counters()));
    let slots = map(symbol::SLOTS)?;
    let (slots, _) = mapped(Some(slots.borrow()), symbol::SLOTS)?;
    // A word stands for none.
    if slots.all().len() > 1 {
        sums.add_slots(slots.all());
    } else {
        let (counters, drops) = (map(symbol::COUNTERS)?, map(symbol::DROPS)?);
        sums.add_pages(
            &pages(counters.borrow(), symbol::COUNTERS)?,
            &pages(drops.borrow(), symbol::DROPS)?,
        )?;
    }
    let mut counts = Counts::default();
    for (index, sum) in sums.counters.into_iter().enumerate() {
        attribute(&mut counts, index, sum, meaning);
    }
    let drops = (0..).zip(sums.drops).filter(|(_, packets)| *packets > 0);
    for (index, packets) in drops {
        *counts.drops.entry(drop_key(index)).or_default() += packets;
    }
    Ok(counts)
}

/// A map of pages that each CPU has its own of.
pub(super) fn pages<'m, T: Pod>(
    map: &'m Map,
    name: &'static str,
) -> Result<PerCpuArray<&'m MapData, T>, LoadError> {
    PerCpuArray::try_from(map).map_err(|source| LoadError::Map { name, source })
}

fn attribute(counts: &mut Counts, index: usize, sum: Counter, meaning: &Meaning) {
    let Some(cell) = index.checked_sub(counter::CELL as usize) else {
        attribute_builtin(counts, index, sum);
        return;
    };
    let Some(attribution) = meaning.attributions.get(cell) else {
        if let Some(beyond) = meaning.limited.get(cell - meaning.attributions.len()) {
            let count = rule_mut(&mut counts.rules, beyond.rule);
            let own = if beyond.enforce {
                &mut count.limited
            } else {
                &mut count.shadow
            };
            *own = add(*own, sum);
        }
        return;
    };
    if let Some(rule) = attribution.decider {
        let count = rule_mut(&mut counts.rules, rule);
        count.decided = add(count.decided, sum);
    }
    for rule in &attribution.shadows {
        let count = rule_mut(&mut counts.rules, *rule);
        count.shadow = add(count.shadow, sum);
    }
}

fn attribute_builtin(counts: &mut Counts, index: usize, sum: Counter) {
    if let Some(builtin) = Builtin::ALL.get(index) {
        counts.builtin.insert(*builtin, sum);
    }
    let reason = index
        .checked_sub(counter::MALFORMED as usize)
        .and_then(|place| Malformed::ALL.get(place));
    if let Some(reason) = reason {
        counts.malformed.insert(*reason, sum);
    }
}

fn rule_mut(rules: &mut Vec<RuleCount>, index: usize) -> &mut RuleCount {
    if rules.len() <= index {
        rules.resize(index + 1, RuleCount::default());
    }
    &mut rules[index]
}

fn drop_key(index: u32) -> DropKey {
    let with_port = |protocol| DropKey {
        protocol,
        port: Some(index as u16),
    };
    match index {
        drops::PORTLESS.. => DropKey {
            protocol: (index - drops::PORTLESS) as u8,
            port: None,
        },
        service::SCTP.. => with_port(protocol::SCTP),
        service::UDP.. => with_port(protocol::UDP),
        _ => with_port(protocol::TCP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_a_slot_where_the_kernel_takes_so_many() {
        let most = kernel::largest_table().min(MOST_SLOT_BYTES);
        assert_eq!(slots(1, 1), 1);
        let fitting = u32::try_from(most / slot::bytes(1000)).unwrap();
        assert_eq!(slots(fitting, 1000), fitting);
        assert_eq!(slots(fitting + 1, 1000), 0);
        assert_eq!(slots(u32::MAX, 1 << 16), 0);
    }

    #[test]
    fn what_all_slots_counted_is_added() {
        let mut sums = Sums::new(70);
        let words = slot::bytes(70) / size_of::<u64>();
        let slots: Vec<AtomicU64> = (0..2 * words).map(|_| AtomicU64::new(0)).collect();
        let set = |cpu: usize, bytes: usize, number| {
            slots[cpu * words + bytes / 8].store(number, Ordering::Relaxed);
        };
        for cpu in 0..2 {
            // The second of four ports has 3 and then 6, and the last of all 32,768 more each time.
            set(cpu, 64 * 16 + 52 * 2, 3 << (16 + cpu));
            set(
                cpu,
                slot::UPPER_DROPS + (drops::LEN as usize - 1) * 8,
                2 << cpu,
            );
            set(cpu, 0, 16 << cpu);
            set(cpu, 63 * 16, 256 << cpu);
            set(cpu, slot::CELLS, 1024 << cpu);
            // The last of six has taken two steps, and then four.
            set(cpu, slot::steps(70) + 5 * 16, 7);
            set(cpu, slot::steps(70) + 5 * 16 + 8, 2 << cpu);
            set(cpu, slot::CELLS + 5 * 8, counted::add(0, 64));
        }
        sums.add_slots(&slots);
        assert_eq!(sums.drops[53], 9);
        assert_eq!(sums.drops.last(), Some(&(6 * 32_768)));
        assert_eq!(sums.drops.iter().sum::<u64>(), 9 + 6 * 32_768);
        let first = Counter {
            packets: 48,
            bytes: 0,
        };
        let last = Counter {
            packets: 16,
            bytes: 6 * counted::STEP + 128,
        };
        assert_eq!((sums.counters[0], sums.counters[69]), (first, last));
        let [last_of_any, first_of_a_cell] = [63, 64].map(|own: usize| sums.counters[own].packets);
        assert_eq!((last_of_any, first_of_a_cell), (768, 3072));
    }
}
