//! What is pinned beside the state that generations share: links, so that filtering goes on without the daemon, and what
//! a later daemon must know to go on counting.
//!
//! ```text
//! links/xdp-IFINDEX, links/egress-IFINDEX     understood by every version
//! v4/TCP_FLOWS, …                             shared by generations
//! v4/generation-ID/{SLOTS, …, about}          one that counts, or has counted and is not in the totals yet
//! v4/totals-SEQUENCE                          what generations before have counted
//! ```
//!
//! Names have no dots, which the BPF file system keeps for itself.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData};

use super::egress::Egress;
use super::state::{State, pinned};
use super::sys::{self, Hook};

/// The folder of links, which every version knows by this name.
const LINKS: &str = "links";

/// Bytes in one map element of a note.
const NOTE_PAGE: usize = 4096;

/// Longest note in bytes: the totals of all ports and of the largest policy are a tenth of it.
const MAX_NOTE_BYTES: u64 = 256 << 20;

/// A link that a daemon before this one pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedLink {
    /// The index of its interface when it was pinned.
    pub ifindex: u32,
    /// Whether the interface is gone since.
    pub is_dead: bool,
}

impl State {
    pub(super) fn make_folders(&self) -> io::Result<()> {
        fs::create_dir_all(self.links_folder())?;
        fs::create_dir_all(self.folder())
    }

    /// Where the link to an interface is pinned.
    pub(super) fn link(&self, hook: Hook, ifindex: u32) -> PathBuf {
        link_path(&self.links_folder(), hook, ifindex)
    }

    /// The links to what arrives that are pinned.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn links(&self) -> io::Result<Vec<PinnedLink>> {
        let indices: Vec<u32> = numbered(&self.links_folder(), prefix(Hook::Xdp))?;
        indices
            .into_iter()
            .map(|ifindex| {
                let link = sys::open_pinned(&self.link(Hook::Xdp, ifindex))?;
                let info = sys::link_info(link.as_fd(), Hook::Xdp)?;
                Ok(PinnedLink {
                    ifindex,
                    is_dead: info.ifindex == 0,
                })
            })
            .collect()
    }

    /// Removes the pins of the links to an interface: they end, unless somebody holds them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn unpin_links(&self, ifindex: u32) -> io::Result<()> {
        self.unpin_link(Hook::Xdp, ifindex)?;
        self.unpin_link(Hook::Egress, ifindex)
    }

    /// Takes off an interface what a daemon that is gone left at work there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take_off(&self, ifindex: u32) -> io::Result<()> {
        sys::link_detach(sys::open_pinned(&self.link(Hook::Xdp, ifindex))?.as_fd())?;
        let egress = Egress::open(&self.link(Hook::Egress, ifindex), ifindex);
        self.unpin_links(ifindex)?;
        match egress {
            Ok(egress) => egress.detach(),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Pins a link unless it is pinned. A pin of an interface that had this index before is replaced.
    pub(super) fn pin_link(
        &self,
        hook: Hook,
        ifindex: u32,
        pin: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.link(hook, ifindex);
        match sys::open_pinned(&path) {
            Ok(present) => {
                let info = sys::link_info(present.as_fd(), hook)?;
                if info.ifindex == ifindex {
                    return Ok(());
                }
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_folders()?,
            Err(error) => return Err(error),
        }
        pin(&path)
    }

    pub(super) fn unpin_link(&self, hook: Hook, ifindex: u32) -> io::Result<()> {
        remove_file(&self.link(hook, ifindex))
    }

    /// The folder of a generation.
    pub(super) fn generation(&self, id: u64) -> PathBuf {
        self.path(&format!("generation-{id}"))
    }

    /// An empty folder in which a generation is put together.
    pub(super) fn unfinished_generation(&self) -> io::Result<PathBuf> {
        let folder = self.path("unfinished-generation");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// The generations that have counters here, in the order in which they were loaded.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn generations(&self) -> io::Result<Vec<u64>> {
        numbered(&self.folder(), "generation-")
    }

    /// Forgets a generation. One that is at work goes on, but counts for nobody after this process.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn forget_generation(&self, id: u64) -> io::Result<()> {
        match fs::remove_dir_all(self.generation(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The last totals that were kept, with their number; `None` before the first.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn totals(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(sequence) = numbered(&self.folder(), "totals-")?.pop() else {
            return Ok(None);
        };
        let note = read_note(&self.path(&format!("totals-{sequence}")))?;
        Ok(Some((sequence, note)))
    }

    /// Keeps totals in the place of those before: whatever happens meanwhile, either are there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_totals(&self, sequence: u64, note: &[u8]) -> io::Result<()> {
        let unfinished = self.path("unfinished");
        remove_file(&unfinished)?;
        write_note(&unfinished, note)?;
        fs::rename(&unfinished, self.path(&format!("totals-{sequence}")))?;
        for other in numbered::<u64>(&self.folder(), "totals-")? {
            if other != sequence {
                remove_file(&self.path(&format!("totals-{other}")))?;
            }
        }
        Ok(())
    }

    /// Removes what other versions have pinned, but for links.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn forget_other_layouts(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root())? {
            let path = entry?.path();
            if path == self.folder() || path == self.links_folder() {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
            tracing::info!(
                "`{}` is of another version of portguard: removed",
                path.display()
            );
        }
        Ok(())
    }

    fn links_folder(&self) -> PathBuf {
        self.root().join(LINKS)
    }
}

/// Whether the program on an interface is kept there by a link that is pinned below a folder: a daemon that is gone left it,
/// and the next one takes it over. What cannot be looked at is not.
#[must_use]
pub fn keeps_program(folder: &Path, ifindex: u32, program_id: u32) -> bool {
    let link = sys::open_pinned(&link_path(&folder.join(LINKS), Hook::Xdp, ifindex));
    let info = link.and_then(|link| sys::link_info(std::os::fd::AsFd::as_fd(&link), Hook::Xdp));
    info.is_ok_and(|info| info.ifindex == ifindex && info.program_id == program_id)
}

/// Pins a text as a map. The first eight bytes are its length.
pub(super) fn write_note(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut bytes = (text.len() as u64).to_ne_bytes().to_vec();
    bytes.extend_from_slice(text);
    let pages = bytes.chunks(NOTE_PAGE);
    let count = u32::try_from(pages.len()).map_err(io::Error::other)?;
    let mut map = Array::<MapData, [u8; NOTE_PAGE]>::create(count, 0).map_err(io::Error::other)?;
    for (index, chunk) in (0..).zip(pages) {
        let mut page = [0; NOTE_PAGE];
        page[..chunk.len()].copy_from_slice(chunk);
        map.set(index, page, 0).map_err(io::Error::other)?;
    }
    map.pin(path).map_err(io::Error::other)
}

/// Reads a text that is pinned as a map.
pub(super) fn read_note(path: &Path) -> io::Result<Vec<u8>> {
    let map = pinned(path).map_err(io::Error::other)?;
    let map: Array<_, [u8; NOTE_PAGE]> = Array::try_from(map).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    for index in 0..map.len() {
        bytes.extend_from_slice(&map.get(&index, 0).map_err(io::Error::other)?);
    }
    let broken = || io::Error::other(format!("`{}` is no note of portguard", path.display()));
    let length = bytes
        .first_chunk()
        .map(|length| u64::from_ne_bytes(*length))
        .filter(|length| *length <= MAX_NOTE_BYTES)
        .ok_or_else(broken)?;
    let text = bytes.get(8..8 + length as usize).ok_or_else(broken)?;
    Ok(text.to_vec())
}

fn link_path(links: &Path, hook: Hook, ifindex: u32) -> PathBuf {
    links.join(format!("{}{ifindex}", prefix(hook)))
}

fn prefix(hook: Hook) -> &'static str {
    match hook {
        Hook::Xdp => "xdp-",
        Hook::Egress => "egress-",
    }
}

/// The numbers behind a prefix among the names in a folder, in order.
fn numbered<T: std::str::FromStr + Ord>(folder: &Path, prefix: &str) -> io::Result<Vec<T>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
            .and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    numbers.sort();
    Ok(numbers)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
