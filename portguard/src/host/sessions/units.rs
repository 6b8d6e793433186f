//! The sockets of the SSH services of systemd, by their control group. Where systemd listens itself (`ssh.socket`), there
//! may be no process that serves SSH before somebody connects, and no configuration of sshd that says where.

use std::collections::HashSet;
use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

/// Where control groups are, of version 2, and beside those of version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The units under their names in the distributions. systemd makes the socket of a unit in the unit's own group, and
/// a socket that a connection is accepted from hands its group on.
const UNITS: [&str; 6] = [
    "ssh.service",
    "ssh.socket",
    "sshd.service",
    "sshd.socket",
    "dropbear.service",
    "dropbear.socket",
];

/// The IDs of their control groups.
pub(super) fn groups() -> HashSet<u64> {
    groups_in(&ROOTS.map(Path::new))
}

fn groups_in(roots: &[&Path]) -> HashSet<u64> {
    let folders = roots.iter().flat_map(|root| {
        let slice = root.join("system.slice");
        UNITS.map(|unit| slice.join(unit))
    });
    // The ID of a group is the inode of its folder (Linux 5.5).
    folders
        .filter_map(|folder| fs::metadata(folder).ok())
        .map(|metadata| metadata.st_ino())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::sockets;
    use super::*;

    #[test]
    fn the_units_groups_are_found_by_their_folders() {
        let root = tempfile::tempdir().expect("a folder");
        let unit = root.path().join("system.slice/ssh.socket");
        fs::create_dir_all(&unit).expect("makes");
        fs::create_dir_all(root.path().join("system.slice/other.socket")).expect("makes");
        let inode = fs::metadata(&unit).expect("exists").st_ino();
        let none = root.path().join("none");
        assert_eq!(groups_in(&[&none, root.path()]), HashSet::from([inode]));
    }

    #[test]
    fn the_group_of_a_socket_is_the_inode_of_its_folder() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let local = listener.local_addr().expect("an address");
        let own = fs::read_to_string("/proc/self/cgroup").expect("groups");
        let path = own
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .expect("version 2");
        let inodes: HashSet<u64> = ROOTS
            .iter()
            .filter_map(|root| fs::metadata(Path::new(root).join(path)).ok())
            .map(|metadata| metadata.st_ino())
            .collect();
        let sockets = sockets::listening().expect("the table");
        let found = sockets
            .iter()
            .find(|socket| socket.local == local)
            .expect("the socket");
        assert!(
            inodes.contains(&found.cgroup.expect("a group")),
            "{found:?} {inodes:?}"
        );
    }
}
