//! All kinds of packets that tables tell apart, each with an example, and what decides it: for one policy or for two
//! at once.
//!
//! Each field's values fall into few classes, which the tables combine field by field. The survey does the same with
//! pairs of classes, of the left tables and of the right ones: it keeps each pair that some packet has, with the first
//! example of it. A single policy is surveyed as a pair with itself. Like this nothing is missed and nothing invented,
//! and the work depends on the number of distinct combinations, not on that of packets.

mod changes;
mod closed;
mod columns;
mod deciders;
mod decision;
mod promises;
mod shape;
mod sources;
mod stage;

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::ops::RangeInclusive;
use std::rc::Rc;

use portguard_common::abi::{Setting, Stage, field, source_port};

use self::columns::{Columns, class_of, intervals_of, merge};
use self::shape::{Block, Group, groups};
use self::stage::{Reached, View, step};
use crate::compile::Tables;
use crate::packet::Packet;
use crate::policy::PortRange;
use crate::prefix::Prefix;
use crate::traffic::{Traffic, TrafficProtocol};

pub use self::changes::{Change, ChangeKind, changes};
pub use self::closed::{ClosedPorts, closed_udp_ports, newly_blocked_ports};
pub use self::deciders::deciders;
pub use self::decision::{Decision, Effect};
pub use self::promises::check_assertions;
pub use self::sources::{BySource, TrafficSurvey};

/// Combinations that a survey looks at before it gives up: a second or two of work.
const MOST_WORK: usize = 50_000_000;

/// Two policies, or one, combine fields in more ways than are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rules combine fields in more than {MOST_WORK} ways: too many to look at each of them")]
pub struct TooComplex;

/// Counts what is looked at.
pub(crate) struct Work {
    left: usize,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self { left: MOST_WORK }
    }

    fn take(&mut self, amount: usize) -> Result<(), TooComplex> {
        self.left = self.left.checked_sub(amount).ok_or(TooComplex)?;
        Ok(())
    }
}

/// The packets that a survey is about.
#[derive(Clone)]
pub(crate) struct Region {
    /// `None` is an interface that no policy names.
    interfaces: Vec<Option<String>>,
    vlans: RangeInclusive<u16>,
    /// By family; `None` where the region has no packets of it.
    sources: [Option<(u128, u128)>; 2],
    destinations: [Option<(u128, u128)>; 2],
    source_port: Option<u16>,
    destination_ports: Option<PortRange>,
    protocol: Option<TrafficProtocol>,
    /// Whole packets and first fragments.
    others: bool,
    /// Fragments other than the first.
    later_fragments: bool,
}

/// The highest address of each family.
const HIGHEST: [u128; 2] = [u32::MAX as u128, u128::MAX];

impl Region {
    /// All packets.
    pub(crate) fn everything(interfaces: Vec<Option<String>>) -> Self {
        let all = HIGHEST.map(|highest| Some((0, highest)));
        Self {
            interfaces,
            vlans: 0..=4095,
            sources: all,
            destinations: all,
            source_port: None,
            destination_ports: None,
            protocol: None,
            others: true,
            later_fragments: true,
        }
    }

    /// The packets that a description means, no later fragments. `interfaces` are meant where it names none.
    pub(crate) fn of(traffic: &Traffic, interfaces: Vec<Option<String>>) -> Self {
        let named = traffic.interface.clone();
        let mut sources = ranges(traffic.source);
        for (family, is_ipv4) in [(0, true), (1, false)] {
            if !traffic.is_possible(is_ipv4) {
                sources[family] = None;
            }
        }
        Self {
            interfaces: named.map_or(interfaces, |name| vec![Some(name)]),
            vlans: traffic.vlan.map_or(0..=4095, |vlan| vlan..=vlan),
            sources,
            destinations: ranges(traffic.destination),
            source_port: traffic.source_port,
            destination_ports: traffic.destination_port.map(|port| PortRange {
                low: port,
                high: port,
            }),
            protocol: traffic.protocol,
            others: true,
            later_fragments: false,
        }
    }

    /// The same of later fragments alone. The description states no port and no type.
    pub(crate) fn of_later_fragments(traffic: &Traffic, interfaces: Vec<Option<String>>) -> Self {
        Self {
            others: false,
            later_fragments: true,
            ..Self::of(traffic, interfaces)
        }
    }
}

fn ranges(prefix: Option<Prefix>) -> [Option<(u128, u128)>; 2] {
    match prefix {
        None => HIGHEST.map(|highest| Some((0, highest))),
        Some(prefix) => {
            let range = Some((bits(prefix.first()), bits(prefix.last())));
            if prefix.is_ipv4() {
                [range, None]
            } else {
                [None, range]
            }
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The interfaces that a survey of a policy looks at: those that its tables were compiled for, which are examples of
/// all that rules tell apart.
pub(crate) fn interfaces_of(tables: &[&Tables]) -> Vec<Option<String>> {
    let mut names: Vec<Option<String>> = Vec::new();
    for tables in tables {
        let own = &tables.interface_classes;
        names.extend(own.iter().map(|(name, _)| Some(name.clone())));
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        names.push(None);
    }
    names
}

/// Addresses for documentation (RFC 5737, RFC 3849), which make the better examples; by destination and family.
const PREFERRED: [[u128; 2]; 2] = [
    [0xcb00_7107, 0x2001_0db8_0000_0000_0000_0000_0000_0007],
    [0xc000_0201, 0x2001_0db8_0000_0000_0000_0000_0000_0001],
];

/// A source port as a client's kernel chooses it.
const PREFERRED_SOURCE_PORT: u32 = 40_000;

/// The tables of two policies, seen together.
pub(crate) struct Pair<'t> {
    tables: [&'t Tables; 2],
    views: [Vec<View<'t>>; 2],
    vlans: [Vec<(u32, u16)>; 2],
    source_ports: [Vec<(u32, u16)>; 2],
    services: [Vec<(u32, u16)>; 2],
    /// By destination and family: the columns of all addresses.
    all_addresses: [[RefCell<Option<Rc<Columns>>>; 2]; 2],
}

/// The combinations of all fields up to one, with where they come from.
struct Level {
    columns: Rc<Columns>,
    reached: Vec<Reached>,
}

/// A kind of packet.
pub(crate) struct Found<'s> {
    /// What decides it on each side.
    pub(crate) decisions: [Decision; 2],
    /// It is a fragment other than the first.
    pub(crate) later_fragment: bool,
    region: &'s Region,
    v6: bool,
    levels: &'s [Level],
    last: Reached,
    services: &'s Columns,
    blocks: &'s [Block],
}

impl<'t> Pair<'t> {
    pub(crate) fn new(left: &'t Tables, right: &'t Tables) -> Self {
        let tables = [left, right];
        let constant = || vec![(0, 0)];
        let used = |tables: &Tables, number: usize| tables.stages[number].form != Stage::UNUSED;
        Self {
            tables,
            views: tables.map(|own| {
                (0..field::COUNT)
                    .map(|number| View::new(own, number))
                    .collect()
            }),
            vlans: tables.map(|own| {
                if used(own, field::VLAN) {
                    intervals_of(&own.vlan_classes)
                } else {
                    constant()
                }
            }),
            source_ports: tables.map(|own| match own.halves.get(..source_port::LEN as usize) {
                Some(table) if used(own, field::SOURCE_PORT) => intervals_of(table),
                _ => constant(),
            }),
            services: tables.map(|own| intervals_of(&own.services)),
            all_addresses: Default::default(),
        }
    }

    /// Every kind of packet in a region, until `each` breaks off.
    pub(crate) fn survey(
        &self,
        region: &Region,
        work: &mut Work,
        mut each: impl FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> Result<(), TooComplex> {
        for v6 in [false, true] {
            let Some(mut levels) = self.addresses(region, v6, work)? else {
                continue;
            };
            for group in groups(region, v6, self.essential()) {
                levels.truncate(field::SOURCE_PORT);
                self.source_ports(&mut levels, &group, work)?;
                let (columns, _) = self.services(&group.blocks);
                let rows = rows(&levels);
                let views = self.views(field::SERVICE);
                for last in step(views, &rows, &columns, work)? {
                    let later_fragment = last.tag & 4 != 0;
                    let decisions = [0, 1].map(|side: usize| {
                        let essential = last.tag >> side & 1 == 1;
                        let cell = last.classes[side];
                        let tables = self.tables[side];
                        let decision = Decision::new(tables, cell, essential, later_fragment);
                        if group.is_of_no_attempts() {
                            decision.of_no_attempt()
                        } else {
                            decision
                        }
                    });
                    let found = Found {
                        decisions,
                        later_fragment,
                        region,
                        v6,
                        levels: &levels,
                        last,
                        services: &columns,
                        blocks: &group.blocks,
                    };
                    if each(&found).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn views(&self, number: usize) -> [&View<'t>; 2] {
        [&self.views[0][number], &self.views[1][number]]
    }

    /// Which sides set essential traffic apart.
    fn essential(&self) -> [bool; 2] {
        self.tables
            .map(|tables| tables.settings[Setting::Essential as usize] != 0)
    }

    /// The combinations of interface, VLAN and addresses of a family; `None` if the region has no such packets.
    fn addresses(
        &self,
        region: &Region,
        v6: bool,
        work: &mut Work,
    ) -> Result<Option<Vec<Level>>, TooComplex> {
        let family = usize::from(v6);
        let (Some(source), Some(destination)) =
            (region.sources[family], region.destinations[family])
        else {
            return Ok(None);
        };
        let mut levels = Vec::with_capacity(field::COUNT);
        self.extend(&mut levels, self.interfaces(region).into(), work)?;
        self.extend(&mut levels, self.vlans(region).into(), work)?;
        self.extend(&mut levels, self.address(false, v6, source), work)?;
        self.extend(&mut levels, self.address(true, v6, destination), work)?;
        Ok(Some(levels))
    }

    /// Combines one field more.
    fn extend(
        &self,
        levels: &mut Vec<Level>,
        columns: Rc<Columns>,
        work: &mut Work,
    ) -> Result<(), TooComplex> {
        let rows = rows(levels);
        let reached = step(self.views(levels.len()), &rows, &columns, work)?;
        levels.push(Level { columns, reached });
        Ok(())
    }

    fn source_ports(
        &self,
        levels: &mut Vec<Level>,
        group: &Group,
        work: &mut Work,
    ) -> Result<(), TooComplex> {
        let mut columns = Columns::default();
        let sides = [&self.source_ports[0][..], &self.source_ports[1][..]];
        for range in &group.source_ports {
            let (first, last) = (*range.start(), *range.end());
            let start = u128::from(first);
            merge(
                sides,
                [start; 2],
                (last - first).into(),
                |low, high, own| {
                    // Port 0 is legal and a poor example.
                    let low = if (start + low) % 65_536 == 0 && low < high {
                        low + 1
                    } else {
                        low
                    };
                    columns.add(own, 0, start + low);
                },
            );
        }
        for range in &group.source_ports {
            let port = range.start() / 65_536 * 65_536 + PREFERRED_SOURCE_PORT;
            if *range.start() < source_port::FRAGMENTS && range.contains(&port) {
                let port = u128::from(port);
                columns.prefer(sides.map(|own| class_of(own, port)), 0, port);
            }
        }
        self.extend(levels, columns.into(), work)
    }

    fn interfaces(&self, region: &Region) -> Columns {
        let mut columns = Columns::default();
        for (place, name) in (0..).zip(&region.interfaces) {
            let classes = self.tables.map(|tables| {
                let known = &tables.interface_classes;
                let own = known.iter().find(|(own, _)| Some(own) == name.as_ref());
                own.map_or(0, |(_, class)| *class)
            });
            columns.add(classes, 0, place);
        }
        columns
    }

    fn vlans(&self, region: &Region) -> Columns {
        let mut columns = Columns::default();
        let start = u128::from(*region.vlans.start());
        let last = u128::from(*region.vlans.end()) - start;
        let sides = [&self.vlans[0][..], &self.vlans[1][..]];
        merge(sides, [start; 2], last, |low, _, classes| {
            columns.add(classes, 0, start + low);
        });
        columns
    }

    fn address(&self, destination: bool, v6: bool, range: (u128, u128)) -> Rc<Columns> {
        let (side, family) = (usize::from(destination), usize::from(v6));
        if range != (0, HIGHEST[family]) {
            return self.address_columns(side, v6, range).into();
        }
        let mut known = self.all_addresses[side][family].borrow_mut();
        let columns = known.get_or_insert_with(|| self.address_columns(side, v6, range).into());
        Rc::clone(columns)
    }

    fn address_columns(&self, destination: usize, v6: bool, range: (u128, u128)) -> Columns {
        let classes = self.tables.map(|own| own.addresses[destination].as_deref());
        let preferred = PREFERRED[destination][usize::from(v6)];
        if v6 {
            let own = classes.map(|own| own.map_or(&[(0, 0)][..], |own| &own.v6));
            address_columns(own, range, preferred)
        } else {
            let own = classes.map(|own| own.map_or(&[(0, 0)][..], |own| &own.v4));
            address_columns(own, range, preferred)
        }
    }

    /// The columns of services, and where each is found: its number, the block, and offsets in it.
    fn services(&self, blocks: &[Block]) -> (Columns, Vec<(u32, usize, RangeInclusive<u32>)>) {
        let mut columns = Columns::default();
        let mut spans = Vec::new();
        let sides = [&self.services[0][..], &self.services[1][..]];
        for (place, block) in blocks.iter().enumerate() {
            let starts = block.starts.map(u128::from);
            merge(sides, starts, block.last.into(), |low, high, classes| {
                let is_port_0 = matches!(block.kind, shape::Kind::Ports(_, 0)) && low == 0;
                let witness = if is_port_0 { high.min(1) } else { low };
                let number = columns.add(classes, block.tag(), (place as u128) << 32 | witness);
                spans.push((number, place, low as u32..=high as u32));
            });
        }
        (columns, spans)
    }
}

fn address_columns<T: Copy + Into<u128>>(
    sides: [&[(T, u16)]; 2],
    (first, last): (u128, u128),
    preferred: u128,
) -> Columns {
    let mut columns = Columns::default();
    merge(sides, [first; 2], last - first, |low, high, classes| {
        // The lowest address of a prefix is that of the network itself.
        let witness = if low < high { low + 1 } else { low };
        columns.add(classes, 0, first + witness);
    });
    if (first..=last).contains(&preferred) {
        columns.prefer(sides.map(|own| class_of(own, preferred)), 0, preferred);
    }
    columns
}

/// The combinations that the next field is combined with.
fn rows(levels: &[Level]) -> Vec<[u16; 2]> {
    match levels.last() {
        None => vec![[0, 0]],
        Some(level) => level.reached.iter().map(|own| own.classes).collect(),
    }
}

impl Found<'_> {
    /// One such packet: the fields from the last to the first, as they were found.
    pub(crate) fn packet(&self) -> Packet {
        let mut values = [0; field::COUNT];
        let mut row = self.last.row;
        for (number, level) in self.levels.iter().enumerate().rev() {
            let reached = &level.reached[row as usize];
            values[number] = level.columns.all[reached.column as usize].witness;
            row = reached.row;
        }
        let address = |value: u128| {
            if self.v6 {
                IpAddr::V6(value.into())
            } else {
                IpAddr::V4((value as u32).into())
            }
        };
        let service = self.services.all[self.last.column as usize].witness;
        let block = &self.blocks[(service >> 32) as usize];
        let interface = &self.region.interfaces[values[field::INTERFACE] as usize];
        Packet {
            source: address(values[field::SOURCE]),
            destination: address(values[field::DESTINATION]),
            payload: block.payload(service as u32, values[field::SOURCE_PORT] as u16),
            hop_limit: block.hop_limit,
            interface: interface.clone(),
            vlan: values[field::VLAN] as u16,
        }
    }
}
