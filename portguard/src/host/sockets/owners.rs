//! The processes that hold sockets, as far as they may be looked into.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Socket;
use super::cgroup::{self, Container, Group};

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its ID.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its command line.
    pub command: Vec<String>,
    /// The unit of systemd in which it runs.
    pub unit: Option<String>,
    /// The container in which it runs.
    pub container: Option<Container>,
}

/// Whose sockets are.
#[derive(Debug, Default)]
pub struct Owners {
    processes: BTreeMap<u32, Process>,
    /// IDs of processes by the inodes of the sockets that they hold.
    holders: HashMap<u64, Vec<u32>>,
    /// Paths of control groups, where some process could not be looked into.
    groups: HashMap<u64, String>,
    unseen: usize,
}

impl Owners {
    /// Looks which processes hold these sockets.
    #[must_use]
    pub fn of(sockets: &[Socket]) -> Self {
        let mut owners = Self::default();
        let wanted: HashMap<u64, ()> = sockets.iter().map(|own| (own.inode, ())).collect();
        // One that ends meanwhile holds nothing any more.
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let folder = entry.path();
            match held(&folder) {
                Ok(inodes) => {
                    let inodes: Vec<u64> = inodes
                        .into_iter()
                        .filter(|inode| wanted.contains_key(inode))
                        .collect();
                    if !inodes.is_empty() {
                        owners.add(id, &folder, &inodes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    owners.unseen += 1;
                }
                Err(_) => {}
            }
        }
        if owners.unseen > 0 {
            owners.groups = cgroup::by_id();
        }
        owners
    }

    fn add(&mut self, id: u32, folder: &Path, inodes: &[u64]) {
        for inode in inodes {
            let holders = self.holders.entry(*inode).or_default();
            // Several descriptors may be of one socket.
            if !holders.contains(&id) {
                holders.push(id);
            }
        }
        let Group { unit, container } = fs::read_to_string(folder.join("cgroup"))
            .ok()
            .and_then(|text| cgroup::path(&text).map(cgroup::of_path))
            .unwrap_or_default();
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        self.processes.insert(
            id,
            Process {
                id,
                name: name.trim_end().to_owned(),
                command: command.split_terminator('\0').map(str::to_owned).collect(),
                unit,
                container,
            },
        );
    }

    /// The processes that hold a socket, by their IDs.
    #[must_use]
    pub fn processes(&self, socket: &Socket) -> Vec<&Process> {
        let holders = self.holders.get(&socket.inode);
        let mut ids: Vec<u32> = holders.cloned().unwrap_or_default();
        ids.sort_unstable();
        ids.iter().filter_map(|id| self.processes.get(id)).collect()
    }

    /// The unit of a socket: of the processes that hold it, or, where they cannot be seen, the one in which it was made.
    #[must_use]
    pub fn unit(&self, socket: &Socket) -> Option<String> {
        let processes = self.processes(socket);
        let of_process = processes.iter().find_map(|process| process.unit.clone());
        of_process.or_else(|| self.group(socket).unit)
    }

    /// The container of a socket, in the same way.
    #[must_use]
    pub fn container(&self, socket: &Socket) -> Option<Container> {
        let processes = self.processes(socket);
        let of_process = processes
            .iter()
            .find_map(|process| process.container.clone());
        of_process.or_else(|| self.group(socket).container)
    }

    fn group(&self, socket: &Socket) -> Group {
        let path = socket.cgroup.and_then(|id| self.groups.get(&id));
        path.map(|path| cgroup::of_path(path)).unwrap_or_default()
    }

    /// How many processes could not be looked into.
    #[must_use]
    pub const fn unseen(&self) -> usize {
        self.unseen
    }
}

/// The inodes of the sockets that a process holds.
fn held(folder: &Path) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for link in fs::read_dir(folder.join("fd"))? {
        let link: PathBuf = link?.path();
        match fs::read_link(&link) {
            Ok(target) => inodes.extend(target.to_str().and_then(inode)),
            // Then none of them may be read.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // It was closed meanwhile.
            Err(_) => {}
        }
    }
    Ok(inodes)
}

/// The inode of a socket, by what a link to it says.
fn inode(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}
