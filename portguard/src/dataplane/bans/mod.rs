//! The kernel's tables of bans: a record of what is banned, where the programs look that up, and whom they need not look up.

mod filter;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError};
use portguard_common::abi::{BanEnd, BanKey, BanLengths, symbol};
use portguard_common::ban_table::{BanPlaces, digest};
use portguard_common::mix::Seed;
use portguard_policy::{BanTarget, Prefix};
use tracing::error;

use self::filter::Filter;
use super::generation::LoadError;
use super::places::Table;
use super::state;

/// The bans that generations share. Whatever is done here is in force at once, on every interface.
///
/// What is in force is in the record too: that is written first where a ban is made, and last where one ends.
pub struct BanTable {
    record: BpfHashMap<MapData, BanKey, BanEnd>,
    places: Table,
    filter: Filter,
    seed: Seed,
    lengths: Array<MapData, BanLengths>,
    present: BanLengths,
    /// Bans by family and length.
    counts: BTreeMap<(bool, u32), u32>,
    /// The kernel's ID of the record.
    id: u32,
}

/// What a ban has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banned {
    /// The prefix was not banned.
    New,
    /// It was banned, but not as long.
    Prolonged,
    /// Nothing: it is banned as long or longer already.
    Longer,
}

/// Why a ban is not made.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// There is no room.
    #[error("the table of bans is full")]
    Full,
    /// The kernel refuses.
    #[error(transparent)]
    Kernel(#[from] LoadError),
}

impl BanTable {
    /// Opens the table that a generation reads.
    pub(super) fn open(ebpf: &Ebpf) -> Result<Self, LoadError> {
        let record = another(ebpf.map(symbol::BANS), symbol::BANS)?;
        let lengths = another(ebpf.map(symbol::BAN_LENGTHS), symbol::BAN_LENGTHS)?;
        let id = record.info().map_err(record_error)?.id();
        let record = BpfHashMap::try_from(Map::HashMap(record)).map_err(record_error)?;
        let lengths = Array::try_from(Map::Array(lengths)).map_err(lengths_error)?;
        let mut table = Self {
            record,
            places: Table::of(ebpf.map(symbol::BAN_PLACES), symbol::BAN_PLACES)?,
            filter: Filter::of(ebpf.map(symbol::BAN_FILTER))?,
            seed: state::kept_seed(ebpf.map(symbol::HOST))?,
            present: lengths.get(&0, 0).map_err(lengths_error)?,
            lengths,
            counts: BTreeMap::new(),
            id,
        };
        table.adopt()?;
        Ok(table)
    }

    /// Puts in force what is in the record, and nothing else, and counts it by length. A daemon that was killed may have left a ban that is not
    /// in force yet, or with its end of before, or twice, and a length for nothing. Where the random numbers are new, all places are
    /// another's.
    fn adopt(&mut self) -> Result<(), LoadError> {
        let mut missing = HashMap::new();
        for entry in self.record.iter() {
            let (key, end) = entry.map_err(record_error)?;
            missing.insert(self.digest(&key), (key, end));
            *self.counts.entry((key.v6 != 0, key.length)).or_default() += 1;
        }
        let mut lengths = BanLengths {
            table: self.present.table,
            ..BanLengths::default()
        };
        for (v6, length) in self.counts.keys() {
            let (word, bit) = lengths.place(*v6, *length);
            *word |= bit;
        }
        if lengths != self.present {
            self.publish(lengths)?;
        }
        // Before any of them is to be found.
        self.filter.set_all(missing.keys().copied());
        self.places()
            .reconcile(|digest| missing.remove(&digest).map(|(_, end)| end));
        for (digest, (key, end)) in missing {
            if !self.places().insert(digest, end) {
                error!("a ban finds no place, and is not in force any more: {key:?}");
                self.record.remove(&key).map_err(record_error)?;
                self.filter.remove(digest);
                self.discount(&key)?;
            }
        }
        Ok(())
    }

    /// The table that a map is of, as [`BanTable::id`] tells it.
    pub(super) fn id_of(bans: Option<&Map>) -> Result<u32, LoadError> {
        let Some(Map::HashMap(bans)) = bans else {
            return Err(LoadError::Missing(symbol::BANS));
        };
        Ok(bans.info().map_err(record_error)?.id())
    }

    /// The kernel's number of the table.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether a daemon has put all of its bans into this very table, and not into another that was here.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.present.table == u64::from(self.id)
    }

    /// Puts down that all bans are in it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses; so with all that follow.
    pub fn set_filled(&mut self) -> Result<(), LoadError> {
        self.publish(BanLengths {
            table: self.id.into(),
            ..self.present
        })
    }

    /// Puts down that there may be others than those in it.
    ///
    /// # Errors
    ///
    /// As [`BanTable::set_filled`].
    pub fn set_outdated(&mut self) -> Result<(), LoadError> {
        self.publish(BanLengths {
            table: 0,
            ..self.present
        })
    }

    /// All bans with their ends, in any order.
    ///
    /// # Errors
    ///
    /// As [`BanTable::set_filled`].
    pub fn entries(&self) -> Result<Vec<(BanTarget, BanEnd)>, LoadError> {
        let entries = self.record.iter().map(|entry| {
            let (key, end) = entry.map_err(record_error)?;
            let target = target(&key).ok_or(LoadError::Missing("prefix of a ban"))?;
            Ok((target, end))
        });
        entries.collect()
    }

    /// Bans a prefix until that time. A ban that lasts longer already stays as it is.
    ///
    /// # Errors
    ///
    /// [`BanError`]; nothing has changed then.
    pub fn ban(&mut self, target: BanTarget, end: BanEnd, now_ns: u64) -> Result<Banned, BanError> {
        let key = target.key();
        let present = match self.record.get(&key, 0) {
            Ok(present) => Some(present),
            Err(MapError::KeyNotFound) => None,
            Err(error) => return Err(record_error(error).into()),
        };
        let banned = match present {
            Some(present) if present >= end => return Ok(Banned::Longer),
            Some(present) if present > now_ns => Banned::Prolonged,
            _ => Banned::New,
        };
        if present.is_none() && self.count(&key) == 0 {
            // First, so that there is no ban that nobody looks for.
            self.mark(&key, true)?;
        }
        let made = self.make(&key, present, end);
        if present.is_none() {
            match &made {
                Ok(()) => *self.counts.entry((key.v6 != 0, key.length)).or_default() += 1,
                Err(_) if self.count(&key) == 0 => self.mark(&key, false)?,
                Err(_) => {}
            }
        }
        made.map(|()| banned)
    }

    /// Writes a ban down and puts it in force. Where it finds no place, the record says again what it said.
    fn make(&mut self, key: &BanKey, present: Option<BanEnd>, end: BanEnd) -> Result<(), BanError> {
        let digest = self.digest(key);
        match self.record.insert(key, end, 0) {
            Ok(()) => {}
            Err(error) if os_error(&error) == Some(libc::E2BIG) => return Err(BanError::Full),
            Err(error) => return Err(record_error(error).into()),
        }
        if present.is_none() {
            self.filter.add(digest);
        }
        if self.places().insert(digest, end) {
            return Ok(());
        }
        let undone = match present {
            Some(present) => self.record.insert(key, present, 0),
            None => {
                self.filter.remove(digest);
                self.record.remove(key)
            }
        };
        undone.map_err(record_error)?;
        Err(BanError::Full)
    }

    /// Takes a ban back; `false` if there is none.
    ///
    /// # Errors
    ///
    /// As [`BanTable::set_filled`]; the ban goes on then.
    pub fn remove(&mut self, target: BanTarget) -> Result<bool, LoadError> {
        let key = target.key();
        let digest = self.digest(&key);
        let end = self.places().remove(digest);
        match self.record.remove(&key) {
            Ok(()) => {}
            Err(MapError::KeyNotFound) => return Ok(false),
            Err(error) if os_error(&error) == Some(libc::ENOENT) => return Ok(false),
            Err(error) => {
                let is_back = end.is_none_or(|end| self.places().insert(digest, end));
                debug_assert!(is_back, "nobody else has taken its place");
                return Err(record_error(error));
            }
        }
        self.filter.remove(digest);
        self.discount(&key)?;
        Ok(true)
    }

    const fn places(&self) -> BanPlaces<&Table> {
        BanPlaces::new(&self.places, self.places.last())
    }

    const fn digest(&self, key: &BanKey) -> u64 {
        digest(self.seed, key)
    }

    /// How many bans have the length of this one.
    fn count(&self, key: &BanKey) -> u32 {
        let count = self.counts.get(&(key.v6 != 0, key.length));
        count.copied().unwrap_or(0)
    }

    /// There is one less.
    fn discount(&mut self, key: &BanKey) -> Result<(), LoadError> {
        let count = self.counts.entry((key.v6 != 0, key.length)).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.mark(key, false)?;
        }
        Ok(())
    }

    /// Marks a length as one that is banned, or as none.
    fn mark(&mut self, key: &BanKey, is_banned: bool) -> Result<(), LoadError> {
        let mut lengths = self.present;
        let (word, bit) = lengths.place(key.v6 != 0, key.length);
        *word = if is_banned { *word | bit } else { *word & !bit };
        self.publish(lengths)
    }

    fn publish(&mut self, lengths: BanLengths) -> Result<(), LoadError> {
        self.lengths.set(0, lengths, 0).map_err(lengths_error)?;
        self.present = lengths;
        Ok(())
    }
}

impl fmt::Debug for BanTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BanTable")
            .field("present", &self.present)
            .finish_non_exhaustive()
    }
}

/// What a key bans; `None` where that is nothing.
fn target(key: &BanKey) -> Option<BanTarget> {
    let first = if key.v6 == 0 {
        IpAddr::V4(((key.high >> 32) as u32).into())
    } else {
        IpAddr::V6((u128::from(key.high) << 64 | u128::from(key.low)).into())
    };
    let prefix = Prefix::new(first, u8::try_from(key.length).ok()?)?;
    BanTarget::new(prefix)
}

/// A second descriptor of a map.
fn another(map: Option<&Map>, name: &'static str) -> Result<MapData, LoadError> {
    let error = |source| LoadError::Map { name, source };
    let Some(Map::HashMap(data) | Map::Array(data)) = map else {
        return Err(LoadError::Missing(name));
    };
    let fd = data.fd().as_fd().try_clone_to_owned();
    MapData::from_fd(fd.map_err(|io| error(MapError::IoError(io)))?).map_err(error)
}

fn os_error(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn record_error(source: MapError) -> LoadError {
    let name = symbol::BANS;
    LoadError::Map { name, source }
}

fn lengths_error(source: MapError) -> LoadError {
    let name = symbol::BAN_LENGTHS;
    LoadError::Map { name, source }
}
