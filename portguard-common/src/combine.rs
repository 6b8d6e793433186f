//! From the headers of a packet to its cell: the class of each field that some rule has a condition on, combined
//! one after another by flat tables, so that a packet costs the same however many rules there are.

use crate::abi::{Row, Stage, Trie, exception, field, source_port};
use crate::classify::{Service, Tables};
use crate::constant::{StageView, TrieView};
use crate::packet::{Family, Frame, Headers, Transport, protocol};
use crate::trie;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It arrives, and is judged as it is.
    Arriving,
    /// It leaves, and its answer is judged: addresses change places. Its ports have changed places already.
    Leaving,
}

/// The cell of a packet.
#[inline(always)]
pub fn find_cell<F: Frame, T: Tables>(
    frame: &F,
    headers: &Headers,
    service: Service,
    direction: Direction,
    tables: &T,
) -> u16 {
    // As the kernel's registers hold them: what is narrower would be masked again and again.
    let mut class: u64 = 0;
    if tables.is_narrowed() {
        class = narrow(frame, headers, direction, tables);
    }
    let stage = tables.stage(field::SERVICE);
    let service = tables.service_class(service.index);
    combine(tables, &stage, class, service.into()) as u16
}

/// The class of all fields but the service.
#[inline(always)]
fn narrow<F: Frame, T: Tables>(
    frame: &F,
    headers: &Headers,
    direction: Direction,
    tables: &T,
) -> u64 {
    let mut class = 0;
    let stage = tables.stage(field::INTERFACE);
    if stage.form() != Stage::UNUSED {
        class = tables.interface_class().into();
    }
    let stage = tables.stage(field::VLAN);
    if stage.form() != Stage::UNUSED {
        class = combine(
            tables,
            &stage,
            class,
            tables.vlan_class(headers.vlan).into(),
        );
    }
    let stage = tables.stage(field::SOURCE);
    if stage.form() != Stage::UNUSED {
        let address = address(
            frame,
            headers,
            direction == Direction::Leaving,
            false,
            tables,
        );
        class = combine(tables, &stage, class, address);
    }
    let stage = tables.stage(field::DESTINATION);
    if stage.form() != Stage::UNUSED {
        let address = address(
            frame,
            headers,
            direction == Direction::Arriving,
            true,
            tables,
        );
        class = combine(tables, &stage, class, address);
    }
    let stage = tables.stage(field::SOURCE_PORT);
    if stage.form() != Stage::UNUSED {
        let port = tables.source_port_class(source_port(headers));
        class = combine(tables, &stage, class, port.into());
    }
    class
}

/// Combines what the fields before gave with the class of one more.
#[inline(always)]
fn combine<T: Tables>(tables: &T, stage: &impl StageView, row: u64, column: u64) -> u64 {
    match stage.form() {
        Stage::DENSE => {
            let half = tables.half(stage.halves() + row as u32 * stage.columns() + column as u32);
            half.into()
        }
        Stage::IDENTITY if column == 0 => row,
        Stage::NEAR | Stage::IDENTITY => tables.near_half(stage.halves(), row, column).into(),
        Stage::SPARSE => {
            let place = tables.row(stage.rows() + row as u32);
            let word = tables.word(stage.words() + place.exceptions + column as u32);
            let value = word as u16;
            if word == exception(row as u16, value) {
                value.into()
            } else if place.dense & Row::CONSTANT != 0 {
                u64::from(place.dense as u16)
            } else {
                tables
                    .half(stage.halves() + place.dense + column as u32)
                    .into()
            }
        }
        _ => column,
    }
}

/// The class of an address: the one that stands first in the header, or the second.
#[inline(always)]
fn address<F: Frame, T: Tables>(
    frame: &F,
    headers: &Headers,
    second: bool,
    destination: bool,
    tables: &T,
) -> u64 {
    match headers.family {
        Family::V4 => {
            let trie = tables.trie(Trie::index(destination, false));
            if trie.form() == Trie::CONSTANT {
                return constant_class(&trie);
            }
            let offset = headers.network_offset + if second { 16 } else { 12 };
            match frame.load::<4>(offset) {
                Some(bytes) => trie::find_v4(tables, &trie, u32::from_be_bytes(bytes)),
                // The parser has seen these bytes.
                None => 0,
            }
        }
        Family::V6 => {
            let trie = tables.trie(Trie::index(destination, true));
            if trie.form() == Trie::CONSTANT {
                return constant_class(&trie);
            }
            let offset = headers.network_offset + if second { 24 } else { 8 };
            // The parser has seen these bytes.
            trie::find_v6(frame, offset, Trie::index(destination, true), tables).unwrap_or(0)
        }
    }
}

/// The class of all addresses. It has 16 bits, which the compiler is to know: otherwise whatever comes of it would be masked.
#[inline(always)]
fn constant_class(trie: &impl TrieView) -> u64 {
    u64::from(trie.root() as u16)
}

/// Where a packet stands in the table of source ports.
#[inline(always)]
pub fn source_port(headers: &Headers) -> u32 {
    let place = match headers.protocol {
        protocol::TCP => 0,
        protocol::UDP => 1,
        protocol::SCTP => 2,
        _ => return source_port::OTHER,
    };
    match headers.transport() {
        Transport::Ports { src, .. } => source_port::PORTS + (place << 16) + u32::from(src),
        _ => source_port::FRAGMENTS + place,
    }
}
