//! Ports that close when one policy takes the place of another.

use std::collections::HashMap;

use portguard_common::abi::field;

use super::columns::Columns;
use super::shape::{Kind, groups};
use super::stage::{Base, View, by_base, touched};
use super::{Decision, Pair, Region, TooComplex, Work, interfaces_of, rows};
use crate::compile::Tables;
use crate::policy::Transport;
use crate::traffic::TrafficProtocol;

/// A set of ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPorts {
    words: Vec<u64>,
}

impl ClosedPorts {
    const WORDS: usize = 65_536 / 64;

    fn none() -> Self {
        Self {
            words: vec![0; Self::WORDS],
        }
    }

    fn all() -> Self {
        Self {
            words: vec![u64::MAX; Self::WORDS],
        }
    }

    fn insert(&mut self, port: u16) {
        self.words[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Whether a port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.words[usize::from(port / 64)] >> (port % 64) & 1 == 1
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        let ones = self.words.iter().map(|word| word.count_ones() as usize);
        ones.sum()
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..=u16::MAX).filter(|port| self.contains(*port))
    }
}

/// The UDP destination ports of which some packet passed under `old` (by a rule, within a limit, by default, as
/// essential or from a trusted source) and is dropped or rejected under `new`. Whole packets count; what is not enforced
/// counts as if it were.
///
/// Interfaces are those that either was compiled for; one that the other was not compiled for is there an interface
/// that no rule names.
///
/// The answer is exact, unless the two combine fields in more ways than a survey looks at: it then has each port that
/// `old` passes of somebody and `new` drops of somebody, and maybe not of the same; beyond that, every port.
pub fn closed_udp_ports(old: &Tables, new: &Tables) -> ClosedPorts {
    let udp = Transport::Udp;
    newly_blocked_ports(old, new, udp).unwrap_or_else(|_too_complex| {
        let passed = ports_where(&Pair::new(old, old), udp, &|old, _| old);
        let dropped = ports_where(&Pair::new(new, new), udp, &|new, _| !new);
        let mut ports = ClosedPorts::all();
        for own in [passed, dropped].into_iter().flatten() {
            for (word, own) in ports.words.iter_mut().zip(own.words) {
                *word &= own;
            }
        }
        ports
    })
}

/// The same of any protocol with ports, where it can be told exactly. A TCP packet may be of a connection that is open
/// already.
///
/// # Errors
///
/// [`TooComplex`] where the two combine fields in more ways than a survey looks at.
pub fn newly_blocked_ports(
    old: &Tables,
    new: &Tables,
    transport: Transport,
) -> Result<ClosedPorts, TooComplex> {
    ports_where(&Pair::new(old, new), transport, &|old, new| old && !new)
}

/// The ports of which some packet passes or not on either side as is asked for.
fn ports_where(
    pair: &Pair<'_>,
    transport: Transport,
    wanted: &dyn Fn(bool, bool) -> bool,
) -> Result<ClosedPorts, TooComplex> {
    let mut work = Work::new();
    let mut region = Region::everything(interfaces_of(&pair.tables));
    region.protocol = Some(TrafficProtocol::Transport(transport));
    region.later_fragments = false;
    // Which cells pass, by side and by whether the packet is essential.
    let passes = pair.tables.map(|tables| {
        [false, true].map(|essential| {
            let cells = 0..tables.meaning.cells.len();
            let passes = |cell| {
                Decision::new(tables, cell as u16, essential, false)
                    .effect
                    .passes()
            };
            cells.map(passes).collect::<Vec<bool>>()
        })
    });
    let holds = |cells: [u16; 2], tag: u8| {
        let [left, right] = [0, 1].map(|side: usize| {
            let own = &passes[side][usize::from(tag >> side & 1)];
            own.get(usize::from(cells[side])).copied().unwrap_or(true)
        });
        wanted(left, right)
    };
    let mut ports = ClosedPorts::none();
    for v6 in [false, true] {
        let Some(mut levels) = pair.addresses(&region, v6, &mut work)? else {
            continue;
        };
        for group in groups(&region, v6, pair.essential()) {
            levels.truncate(field::SOURCE_PORT);
            pair.source_ports(&mut levels, &group, &mut work)?;
            let (columns, spans) = pair.services(&group.blocks);
            let views = pair.views(field::SERVICE);
            let found = columns_where(views, &rows(&levels), &columns, &holds, &mut work)?;
            for (column, block, offsets) in spans {
                if let Kind::Ports(_, first) = group.blocks[block].kind
                    && found[column as usize]
                {
                    for offset in offsets {
                        ports.insert(first.wrapping_add(offset as u16));
                    }
                }
            }
        }
    }
    Ok(ports)
}

/// By column: some row gives cells as they are wanted.
fn columns_where(
    views: [&View<'_>; 2],
    rows: &[[u16; 2]],
    columns: &Columns,
    holds: &dyn Fn([u16; 2], u8) -> bool,
    work: &mut Work,
) -> Result<Vec<bool>, TooComplex> {
    let mut found = vec![false; columns.all.len()];
    for group in by_base(views, rows) {
        // How many rows say something else of a column than the base.
        let mut others: HashMap<u32, usize> = HashMap::new();
        for number in &group.rows {
            let row = rows[*number as usize];
            let touched = touched(views, row, columns);
            work.take(touched.len() + 1)?;
            for place in touched {
                *others.entry(place).or_default() += 1;
                let column = &columns.all[place as usize];
                let [left, right] = column.classes;
                let cells = [views[0].value(row[0], left), views[1].value(row[1], right)];
                found[place as usize] |= holds(cells, column.tag);
            }
        }
        if let [Base::Constant(left), Base::Constant(right)] = group.bases {
            let mut tags = columns.by_tag.keys();
            if !tags.any(|tag| holds([left, right], *tag)) {
                continue;
            }
        }
        work.take(columns.all.len())?;
        for (place, column) in (0..).zip(&columns.all) {
            let all_say_else = || others.get(&place) == Some(&group.rows.len());
            if found[place as usize] || all_say_else() {
                continue;
            }
            let [left, right] = column.classes;
            let cells = [
                views[0].value_of(group.bases[0], left),
                views[1].value_of(group.bases[1], right),
            ];
            found[place as usize] = holds(cells, column.tag);
        }
    }
    Ok(found)
}
