//! The folder in the BPF file system for what outlives a generation, or the daemon, and what generations share: flows,
//! closed ports, token buckets, bans and the ring of events.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aya::maps::{Array, Map, MapData, MapError};
use aya::{Ebpf, Pod};
use portguard_common::abi::{self, BanLengths, CacheLine, LAYOUT, host, symbol};
use portguard_common::mix::Seed;
use rustix::fs::{FlockOperation, StatVfsMountFlags, flock};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::generation::LoadError;
use super::places::mapped;

/// The magic number of the BPF file system (`BPF_FS_MAGIC` of linux/magic.h).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// The folder in which state is pinned, for one daemon alone.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
    /// Locked, until the last clone is gone.
    _lock: Arc<File>,
}

/// Why state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder is not in a BPF file system.
    #[error(
        "`{}` is not in a BPF file system, which keeps replies and limits over a reload: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a folder in one with `--pins`", path.display()
    )]
    NotBpf {
        /// The folder.
        path: PathBuf,
    },
    /// Another process uses the folder.
    #[error(
        "another portguard daemon keeps its replies and limits in `{}`; stop it first, or give this one another `--pins`", path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be made or used.
    #[error("cannot use `{}` for what outlives a reload: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl State {
    /// Makes the folder, or takes it as it is: what is pinned there is gone on with. A second one for the same folder is
    /// refused while this or a clone of it lives.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let error = |source| StateError::Io {
            path: path.into(),
            source,
        };
        if !is_bpf(path).map_err(error)? {
            mount_usual(path);
        }
        if !is_bpf(path).map_err(error)? {
            return Err(StateError::NotBpf { path: path.into() });
        }
        fs::create_dir_all(path).map_err(error)?;
        let lock = File::open(path).map_err(error)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StateError::InUse { path: path.into() }),
            Err(refusal) => return Err(error(refusal.into())),
        }
        let state = Self {
            root: path.into(),
            _lock: Arc::new(lock),
        };
        state.make_folders().map_err(error)?;
        Ok(state)
    }

    /// The folder of everything that is pinned.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of what only this layout understands.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(format!("v{LAYOUT}"))
    }

    /// Where a map is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        // The BPF file system takes no dots.
        self.folder().join(name.replace('.', "_"))
    }

    /// Whether pins can be made still: the file system may be unmounted, or made read-only, while we run.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn is_usable(&self) -> Result<(), StateError> {
        let error = |source| StateError::Io {
            path: self.root.clone(),
            source,
        };
        if !is_bpf(&self.root).map_err(error)? {
            return Err(StateError::NotBpf {
                path: self.root.clone(),
            });
        }
        self.make_folders().map_err(error)?;
        let flags = rustix::fs::statvfs(&self.root).map_err(|refusal| error(refusal.into()))?;
        if flags.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(error(Errno::ROFS.into()));
        }
        Ok(())
    }

    /// Takes away a map of another size or kind, which a version of another layout has left: the kernel would
    /// give it to this one as it is. With it goes what only has a meaning together with it: programs that are at work with both go on with both.
    pub(super) fn check(&self, maps: &[(&str, Shape)]) -> Result<(), LoadError> {
        let mut is_right = true;
        let mut found = Vec::new();
        for (name, expected) in maps {
            let path = self.path(name);
            let shape = path.exists().then(|| Shape::of_pin(&path)).transpose()?;
            is_right &= shape == Some(*expected);
            found.extend(shape.map(|_| path));
        }
        if is_right {
            return Ok(());
        }
        for path in found {
            tracing::warn!(
                "`{}` is of another version, and begins anew",
                path.display()
            );
            fs::remove_file(&path).map_err(|error| LoadError::State(MapError::IoError(error)))?;
        }
        Ok(())
    }

    /// The map of this name, where it is pinned.
    pub(super) fn pinned(&self, name: &str) -> Result<Option<Map>, LoadError> {
        let path = self.path(name);
        let map = path.exists().then(|| pinned(&path)).transpose();
        map.map_err(LoadError::State)
    }

    /// Forgets everything that is pinned: what still filters by a pin alone ends.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.root)
    }
}

/// Whether a folder is, or would be, in a BPF file system.
fn is_bpf(path: &Path) -> io::Result<bool> {
    let present = path.ancestors().find(|parent| parent.is_dir());
    let system = rustix::fs::statfs(present.unwrap_or(path))?;
    Ok(system.f_type.cast_unsigned() == BPF_FS_MAGIC)
}

/// Mounts the BPF file system in its usual place, where the folder is to be there and nobody else has mounted it:
/// systemd does so on every boot, others do not.
fn mount_usual(folder: &Path) {
    const USUAL: &str = "/sys/fs/bpf";
    if !folder.starts_with(USUAL) {
        return;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match rustix::mount::mount("bpf", USUAL, "bpf", flags, Some(c"mode=0700")) {
        Ok(()) => tracing::info!("mounted the BPF file system on `{USUAL}`"),
        // The caller finds that it is not there, and says so.
        Err(error) => tracing::debug!("cannot mount `{USUAL}`: {error}"),
    }
}

/// The map that is pinned there.
pub(super) fn pinned(path: &Path) -> Result<Map, MapError> {
    MapData::from_pin(path).and_then(Map::from_map_data)
}

/// What a map looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) entries: u32,
}

impl Shape {
    /// Of an array of one element.
    pub(super) fn of_one(bytes: usize) -> Self {
        Self {
            key: size(size_of::<u32>()),
            value: size(bytes),
            entries: 1,
        }
    }

    fn of_pin(path: &Path) -> Result<Self, LoadError> {
        let found = MapData::from_pin(path)
            .map_err(LoadError::State)?
            .info()
            .map_err(LoadError::State)?;
        Ok(Self {
            key: found.key_size(),
            value: found.value_size(),
            entries: found.max_entries(),
        })
    }
}

/// The random numbers that spread sources over buckets, and flows and bans over lines: those that the state has, or new ones.
pub(super) fn seed(state: Option<&State>) -> Result<Seed, LoadError> {
    let mut seed = [0; 2];
    if let Some(state) = state
        && let Some(map) = state.pinned(symbol::HOST)?
    {
        seed = kept_seed(Some(&map))?;
    }
    if seed == [0; 2] {
        for word in &mut seed {
            let mut bytes = [0; 8];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| LoadError::Random(error.into()))?;
            *word = u64::from_ne_bytes(bytes);
        }
    }
    Ok(seed)
}

/// The random numbers that [`keep_seed`] has put down; 0 where it has not yet.
pub(super) fn kept_seed(map: Option<&Map>) -> Result<Seed, LoadError> {
    let map = map.ok_or(LoadError::Missing(symbol::HOST))?;
    let map: Array<_, u64> = Array::try_from(map).map_err(LoadError::State)?;
    let word = |index| map.get(&index, 0).map_err(LoadError::State);
    Ok([word(host::SEED)?, word(host::SEED + 1)?])
}

/// The lengths of prefixes that are banned. aya writes the content of such a map whenever it loads a program that shares it:
/// it must be what is there already, since programs at work are reading it.
pub(super) fn ban_lengths(state: Option<&State>) -> Result<BanLengths, LoadError> {
    let map = match state {
        Some(state) => state.pinned(symbol::BAN_LENGTHS)?,
        None => None,
    };
    let Some(map) = map else {
        return Ok(BanLengths::default());
    };
    let map: Array<_, BanLengths> = Array::try_from(map).map_err(LoadError::State)?;
    map.get(&0, 0).map_err(LoadError::State)
}

/// Puts the seed where the next generation finds it.
pub(super) fn keep_seed(ebpf: &mut Ebpf, seed: Seed) -> Result<(), LoadError> {
    let mut map = array::<u64>(ebpf, symbol::HOST)?;
    for (index, word) in (host::SEED..).zip(seed) {
        map.set(index, word, 0).map_err(LoadError::State)?;
    }
    Ok(())
}

/// Puts down that UDP ports closed: their flows end, and none is started for a while.
pub(super) fn close_ports(
    closed_ports: &Map,
    ports: impl Iterator<Item = u16>,
    now_ns: u64,
) -> Result<(), LoadError> {
    let (words, _) = mapped(Some(closed_ports), symbol::CLOSED_PORTS)?;
    for port in ports {
        words.all()[usize::from(port)].store(now_ns, Ordering::Relaxed);
    }
    Ok(())
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(super) fn array<'e, T: Pod>(
    ebpf: &'e mut Ebpf,
    name: &'static str,
) -> Result<Array<&'e mut MapData, T>, LoadError> {
    let map = ebpf.map_mut(name).ok_or(LoadError::Missing(name))?;
    Array::try_from(map).map_err(LoadError::State)
}

/// The sizes of maps, for [`State::check`].
pub(super) fn shape(name: &str, entries: u32) -> Shape {
    let (key, value) = match name {
        symbol::BAN_PLACES => (size_of::<u32>(), size_of::<CacheLine>()),
        // A ring has neither.
        symbol::EVENTS => (0, 0),
        symbol::BANS => (size_of::<abi::BanKey>(), size_of::<abi::BanEnd>()),
        symbol::BAN_LENGTHS => (size_of::<u32>(), size_of::<abi::BanLengths>()),
        _ => (size_of::<u32>(), size_of::<u64>()),
    };
    Shape {
        key: size(key),
        value: size(value),
        entries,
    }
}
