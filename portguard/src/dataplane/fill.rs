//! Putting a policy's tables into the kernel.

use std::io;

use aya::maps::{Array, MapError};
use aya::{Ebpf, EbpfError, EbpfLoader};
use portguard_common::abi::{
    self, Action, Bucket, CacheLine, Cell, EVENT_COUNTS_PER_PAGE, HALVES, INTERFACES, Lengths,
    Setting, Settings, SourceBucket, TELL_DIAGNOSTICS, TELL_EVENTS, counter, credit, drops, host,
    interface_entry, local_port, slot, symbol,
};
use portguard_common::constant::Memory;
use portguard_common::last_sent::LastSent;
use portguard_common::{ban_filter, ban_table, constant, limits};
use portguard_policy::Tables;

use super::generation::{LoadError, LoadOptions};
use super::{clock, counters, kernel, memory, sections, state, sys};

/// The programs, compiled for the kernel.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portguard.o"));

/// The same without drop events and diagnostics: where they are off, a program has not one instruction of them.
pub(super) static SILENT_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portguard-silent.o"));

/// The object for these settings.
pub(super) fn object(settings: &Settings) -> &'static [u8] {
    if settings[Setting::Tell as usize] & (TELL_EVENTS | TELL_DIAGNOSTICS) == 0 {
        SILENT_OBJECT
    } else {
        OBJECT
    }
}

/// Makes the maps and fills them; no program is loaded yet.
pub(super) fn load(
    object: &[u8],
    tables: &Tables,
    settings: &Settings,
    options: &LoadOptions,
) -> Result<(Ebpf, memory::Maps), LoadError> {
    let mut settings = *settings;
    let (multiplier, interface_classes) = interfaces(tables, options)?;
    settings[Setting::InterfaceMultiplier as usize] = multiplier;
    let ban_lines = ban_table::lines_for(options.bans);
    settings[Setting::LastBanLine as usize] = ban_lines - 1;
    let mut cells = vec![Cell::NO_RULE; limits::CELLS];
    let meaning = &tables.meaning;
    cells[..meaning.cells.len()].copy_from_slice(&meaning.cells);
    settings[Setting::Shadows as usize] = cells.iter().any(|cell| cell.shadow != 0).into();
    let has_limits = settings[Setting::Limits as usize] != 0;
    let limits_sources = meaning
        .limits
        .iter()
        .any(|limit| limit.has(abi::Limit::PER_SOURCE));
    let has_replies = settings[Setting::Replies as usize] != 0;
    if has_replies || settings[Setting::CoarseClock as usize] != 0 {
        let ticks =
            clock::ticks().map_err(|error| refused(&error).unwrap_or(LoadError::Ticks(error)))?;
        settings[Setting::TickNs as usize] = ticks.tick_ns;
        settings[Setting::TicksBelow as usize] = ticks.below;
    }
    let tells_events = settings[Setting::Tell as usize] & TELL_EVENTS != 0;
    let event_groups = match tells_events {
        true => meaning.event_groups(),
        false => Vec::new(),
    };
    // An entry is one more than its group.
    let groups = event_groups.iter().copied().max().unwrap_or(0).into();
    // The kernel wants whole pages; one is the least.
    let event_ring = match tells_events {
        true => limits::EVENT_RING_BYTES,
        false => 1,
    };
    let diagnostics_ring = match options.diagnostics {
        Some(_) => limits::DIAGNOSTICS_RING_BYTES,
        None => 1,
    };
    let diagnostics_level = options.diagnostics.map_or(0, |level| level as u8);
    let seed = state::seed(options.state.as_ref())?;

    let elements = |length: usize, per_element: usize| {
        u32::try_from(length.div_ceil(per_element).max(1)).unwrap_or(u32::MAX)
    };
    let shared = [
        (symbol::HOST, host::LEN, true),
        (symbol::EVENTS, event_ring, tells_events),
    ];
    // These have a meaning only together.
    let bans = [
        (symbol::BANS, options.bans.max(1)),
        (symbol::BAN_PLACES, ban_lines),
        (symbol::BAN_FILTER, ban_filter::last_word(ban_lines - 1) + 1),
        (symbol::BAN_LENGTHS, 1),
    ];
    let bans = bans.map(|(name, entries)| (name, entries, options.bans > 0));
    kernel::find_features().map_err(LoadError::Signals)?;
    let mut loader = EbpfLoader::new();
    for maps in shared.chunks(1).chain([bans.as_slice()]) {
        // What the policy does not use is small, and nobody else's.
        let state = options.state.as_ref().filter(|_| maps[0].2);
        if let Some(state) = state {
            let shapes = maps
                .iter()
                .map(|(name, entries, _)| (*name, state::shape(name, *entries)));
            state.check(&shapes.collect::<Vec<_>>())?;
        }
        for (name, entries, _) in maps {
            loader.map_max_entries(name, *entries);
            if let Some(state) = state {
                loader.map_pin_path(name, state.path(name));
            }
        }
    }
    let counters = counter::len(meaning.counters());
    let slots = match options.count_in_pages {
        false => counters::slots(kernel::cpus().map_err(LoadError::Cpus)?, counters),
        true => 0,
    };
    let (counter_pages, drop_pages) = match slots {
        0 => (elements(counter::pages(counters), 1), drops::PAGES),
        _ => (1, 1),
    };
    let requests = Memory::ALL.map(|memory| {
        let (bytes, is_used) = match memory {
            Memory::Slots => (slots as usize * slot::bytes(counters), true),
            Memory::LastSent => (
                local_port::LEN as usize * size_of::<LastSent>(),
                has_replies,
            ),
            Memory::ClosedPorts => ((1 << 16) * size_of::<u64>(), has_replies),
            Memory::TcpFlows | Memory::OtherFlows => (
                limits::FLOW_LINES as usize * size_of::<CacheLine>(),
                has_replies,
            ),
            Memory::RuleBuckets => (limits::RULE_BUCKETS * size_of::<Bucket>(), has_limits),
            Memory::SourceBuckets => (
                limits::SOURCE_BUCKETS as usize * size_of::<SourceBucket>(),
                limits_sources,
            ),
        };
        memory::Request {
            bytes: if is_used { bytes } else { 0 },
            is_shared: memory != Memory::Slots,
        }
    });
    let memory = memory::Maps::open(&requests, options.state.as_ref())?;
    let length = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    let lengths = Lengths {
        halves: length(tables.halves.len()),
        words: length(tables.words.len()),
        rows: length(tables.rows.len()),
        nodes: length(tables.nodes.len()),
        limits: length(meaning.limits.len()),
        counters: length(counters),
        slots,
        memory: requests.map(|request| length(request.bytes)),
        cells: Action::ALL.map(|action| length(meaning.cells_up_to(action))),
    };
    let mut object = sections::replaced(
        object,
        &[
            (symbol::HALVES, sys::bytes(&tables.halves)),
            (symbol::WORDS, sys::bytes(&tables.words)),
            (symbol::ROWS, sys::bytes(&tables.rows)),
            (symbol::NODES, sys::bytes(&tables.nodes)),
            (symbol::LIMITS, sys::bytes(&meaning.limits)),
        ],
        kernel::largest_table(),
    )?;
    let constants = constant::all(&settings, &tables.stages, &tables.tries, &lengths);
    sections::set_constants(&mut object, &constants)?;
    sections::set_addresses(&mut object, &memory.descriptors()?)?;
    sections::forget_lines(&mut object)?;
    portguard_fold::fold(&mut object)?;
    let ban_lengths = state::ban_lengths(options.state.as_ref())?;
    let mut ebpf = loader
        // Nothing here needs the kernel's own types, and reading them takes longer than the rest.
        .btf(None)
        .override_global(symbol::SERVICES, tables.services.as_slice(), true)
        .override_global(symbol::CELLS, cells.as_slice(), true)
        .override_global(symbol::VLAN_CLASSES, tables.vlan_classes.as_slice(), true)
        .override_global(symbol::INTERFACE_CLASSES, &interface_classes, true)
        .override_global(symbol::SEED, &seed, true)
        .override_global(symbol::BAN_LENGTHS_VARIABLE, &ban_lengths, true)
        // The silent object has neither.
        .override_global(symbol::DIAGNOSTICS_LEVEL, &diagnostics_level, false)
        .map_max_entries(symbol::DIAGNOSTICS, diagnostics_ring)
        .map_max_entries(symbol::EVENT_GROUPS, elements(event_groups.len(), HALVES))
        .map_max_entries(
            symbol::EVENT_CREDITS,
            elements(credit::GROUPS as usize + groups, 1),
        )
        .map_max_entries(
            symbol::EVENT_COUNTS,
            elements(groups, EVENT_COUNTS_PER_PAGE),
        )
        .map_max_entries(symbol::COUNTERS, counter_pages)
        .map_max_entries(symbol::DROPS, drop_pages)
        .load(&object)
        .map_err(maps_error)?;

    fill_groups(&mut ebpf, &event_groups)?;
    state::keep_seed(&mut ebpf, seed)?;
    Ok((ebpf, memory))
}

/// Fills the table of groups of events, of which one map element holds many.
fn fill_groups(ebpf: &mut Ebpf, groups: &[u16]) -> Result<(), LoadError> {
    const NAME: &str = symbol::EVENT_GROUPS;
    let error = |source| LoadError::Map { name: NAME, source };
    let map = ebpf.map_mut(NAME).ok_or(LoadError::Missing(NAME))?;
    let mut map = Array::<_, [u16; HALVES]>::try_from(map).map_err(error)?;
    for (index, chunk) in (0..).zip(groups.chunks(HALVES)) {
        let mut element = [0; HALVES];
        element[..chunk.len()].copy_from_slice(chunk);
        map.set(index, element, 0).map_err(error)?;
    }
    Ok(())
}

/// The table of interfaces with a multiplier by which no two of different classes share an entry.
fn interfaces(
    tables: &Tables,
    options: &LoadOptions,
) -> Result<(u32, [u16; INTERFACES]), LoadError> {
    /// Each try fails by chance, so with up to some hundred interfaces a few do.
    const TRIES: u32 = 100_000;
    let classes: Vec<(u32, u16)> = options
        .interfaces
        .iter()
        .filter_map(|(ifindex, name)| {
            let class = tables.interface_classes.iter().find(|(own, _)| own == name);
            class.map(|(_, class)| (*ifindex, *class))
        })
        .collect();
    for number in 0..TRIES {
        // Odd multiples of the golden ratio's fraction (Knuth, The Art of Computer Programming 3, 6.4).
        let multiplier = 0x9e37_79b1_u32.wrapping_mul(2 * number + 1);
        let mut table = [None; INTERFACES];
        let fits = classes.iter().all(|(ifindex, class)| {
            let entry = &mut table[interface_entry(*ifindex, multiplier) as usize];
            *entry.get_or_insert(*class) == *class
        });
        if fits {
            return Ok((multiplier, table.map(Option::unwrap_or_default)));
        }
    }
    Err(LoadError::TooManyInterfaces(classes.len()))
}

fn maps_error(error: EbpfError) -> LoadError {
    match error {
        EbpfError::MapError(MapError::CreateError { ref io_error, .. }) => {
            refused(io_error).unwrap_or(LoadError::Maps(error))
        }
        error => LoadError::Maps(error),
    }
}

/// What it means that the kernel makes no map or program, where that is known.
pub(super) fn refused(error: &io::Error) -> Option<LoadError> {
    match error.raw_os_error()? {
        libc::EPERM | libc::EACCES => Some(LoadError::Permission),
        libc::ENOSYS => Some(LoadError::NoBpf),
        code @ (libc::ENOMEM | libc::E2BIG) => {
            Some(LoadError::Memory(io::Error::from_raw_os_error(code)))
        }
        _ => None,
    }
}
