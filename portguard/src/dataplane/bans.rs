//! The kernel's table of bans.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use portguard_common::abi::{BanEnd, BanKey, BanLengths, symbol};
use portguard_policy::{BanTarget, Prefix};

use super::generation::LoadError;

/// The bans that generations share. Whatever is done here is in force at once, on every interface.
pub struct BanTable {
    bans: HashMap<MapData, BanKey, BanEnd>,
    lengths: Array<MapData, BanLengths>,
    present: BanLengths,
    /// Bans by family and length.
    counts: BTreeMap<(bool, u32), u32>,
    /// The kernel's ID of the table.
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
    pub(super) fn open(bans: Option<&Map>, lengths: Option<&Map>) -> Result<Self, LoadError> {
        let bans = another(bans, symbol::BANS)?;
        let lengths = another(lengths, symbol::BAN_LENGTHS)?;
        let id = bans.info().map_err(bans_error)?.id();
        let bans = HashMap::try_from(Map::HashMap(bans)).map_err(bans_error)?;
        let lengths = Array::try_from(Map::Array(lengths)).map_err(lengths_error)?;
        let mut table = Self {
            bans,
            present: lengths.get(&0, 0).map_err(lengths_error)?,
            lengths,
            counts: BTreeMap::new(),
            id,
        };
        table.adopt()?;
        Ok(table)
    }

    /// Counts what is there by length. A daemon that was killed may have left a length marked for nothing.
    fn adopt(&mut self) -> Result<(), LoadError> {
        let mut lengths = BanLengths {
            table: self.present.table,
            ..BanLengths::default()
        };
        for key in self.bans.keys() {
            let key = key.map_err(bans_error)?;
            *self.counts.entry((key.v6 != 0, key.length)).or_default() += 1;
        }
        for (v6, length) in self.counts.keys() {
            let (word, bit) = lengths.place(*v6, *length);
            *word |= bit;
        }
        if lengths != self.present {
            self.publish(lengths)?;
        }
        Ok(())
    }

    /// The table that a map is of, as [`BanTable::id`] tells it.
    pub(super) fn id_of(bans: Option<&Map>) -> Result<u32, LoadError> {
        let Some(Map::HashMap(bans)) = bans else {
            return Err(LoadError::Missing(symbol::BANS));
        };
        Ok(bans.info().map_err(bans_error)?.id())
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
        let entries = self.bans.iter().map(|entry| {
            let (key, end) = entry.map_err(bans_error)?;
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
        let present = match self.bans.get(&key, 0) {
            Ok(present) => Some(present),
            Err(MapError::KeyNotFound) => None,
            Err(error) => return Err(bans_error(error).into()),
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
        let inserted = self.bans.insert(key, end, 0);
        if present.is_none() {
            match &inserted {
                Ok(()) => *self.counts.entry((key.v6 != 0, key.length)).or_default() += 1,
                Err(_) if self.count(&key) == 0 => self.mark(&key, false)?,
                Err(_) => {}
            }
        }
        match inserted {
            Ok(()) => Ok(banned),
            Err(error) if os_error(&error) == Some(libc::E2BIG) => Err(BanError::Full),
            Err(error) => Err(bans_error(error).into()),
        }
    }

    /// Takes a ban back; `false` if there is none.
    ///
    /// # Errors
    ///
    /// As [`BanTable::set_filled`].
    pub fn remove(&mut self, target: BanTarget) -> Result<bool, LoadError> {
        let key = target.key();
        match self.bans.remove(&key) {
            Ok(()) => {}
            Err(MapError::KeyNotFound) => return Ok(false),
            Err(error) if os_error(&error) == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(bans_error(error)),
        }
        let count = self.counts.entry((key.v6 != 0, key.length)).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.mark(&key, false)?;
        }
        Ok(true)
    }

    fn count(&self, key: &BanKey) -> u32 {
        let count = self.counts.get(&(key.v6 != 0, key.length));
        count.copied().unwrap_or(0)
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

fn bans_error(source: MapError) -> LoadError {
    let name = symbol::BANS;
    LoadError::Map { name, source }
}

fn lengths_error(source: MapError) -> LoadError {
    let name = symbol::BAN_LENGTHS;
    LoadError::Map { name, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_target() {
        for (text, high, low, length, v6) in [
            ("192.0.2.1", 0xc000_0201_0000_0000, 0, 32, 0),
            ("10.0.0.0/8", 0x0a00_0000_0000_0000, 0, 8, 0),
            ("2001:db8::/64", 0x2001_0db8_0000_0000, 0, 64, 1),
            ("2001:db8::1/128", 0x2001_0db8_0000_0000, 1, 128, 1),
        ] {
            let banned: BanTarget = text.parse().unwrap();
            let expected = BanKey {
                high,
                low,
                length,
                v6,
            };
            assert_eq!(banned.key(), expected, "{text}");
            assert_eq!(target(&expected), Some(banned), "{text}");
        }
    }
}
