//! What the path of a control group tells: the unit of systemd, and the container.

use std::collections::HashMap;
use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

/// Where control groups are, of version 2, and beside those of version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Folders below these are how deep groups are looked for.
const MAX_DEPTH: usize = 12;

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// Kubernetes, by containerd or CRI-O.
    Kubernetes,
    /// LXC and LXD.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}

impl Engine {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
        }
    }
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// What runs it.
    pub engine: Engine,
    /// Its ID, or its name where it has one.
    pub id: String,
}

/// What a control group belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) unit: Option<String>,
    pub(super) container: Option<Container>,
}

/// The path in the text of `/proc/PID/cgroup`: that of version 2, or of the hierarchy of systemd.
pub(super) fn path(text: &str) -> Option<&str> {
    let of = |wanted: &str| {
        text.lines().find_map(|line| {
            let (_number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers == wanted).then_some(path)
        })
    };
    of("")
        .filter(|path| *path != "/")
        .or_else(|| of("name=systemd"))
}

/// What a path tells.
pub(super) fn of_path(path: &str) -> Group {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let is_unit = |part: &&&str| {
        [".service", ".scope", ".socket"]
            .iter()
            .any(|kind| part.ends_with(kind))
    };
    let unit = parts.iter().rev().find(is_unit).map(|part| unescaped(part));
    let in_pods = parts.iter().any(|part| part.starts_with("kubepods"));
    let container = parts.iter().enumerate().rev().find_map(|(place, part)| {
        let above = place.checked_sub(1).and_then(|place| parts.get(place));
        container(part, above.copied(), in_pods)
    });
    Group { unit, container }
}

fn container(part: &str, above: Option<&str>, in_pods: bool) -> Option<Container> {
    let scope = part.strip_suffix(".scope").unwrap_or(part);
    let named = |engine, id: &str| {
        Some(Container {
            engine,
            id: id.to_owned(),
        })
    };
    for (prefix, engine) in [
        ("docker-", Engine::Docker),
        ("libpod-", Engine::Podman),
        ("cri-containerd-", Engine::Kubernetes),
        ("crio-", Engine::Kubernetes),
    ] {
        match scope.strip_prefix(prefix) {
            Some(id) if is_id(id) && in_pods => return named(Engine::Kubernetes, id),
            Some(id) if is_id(id) => return named(engine, id),
            _ => {}
        }
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return named(Engine::Lxc, name);
    }
    if let Some(name) = scope.strip_prefix("machine-") {
        return named(Engine::Nspawn, &unescaped(name));
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@") {
        return named(Engine::Nspawn, &unescaped(name.strip_suffix(".service")?));
    }
    match above? {
        // Where systemd does not make the groups.
        "docker" if is_id(part) => named(Engine::Docker, part),
        "libpod_parent" => named(Engine::Podman, part.strip_prefix("libpod-")?),
        "lxc" => named(Engine::Lxc, part),
        pod if in_pods && pod.starts_with("pod") && is_id(part) => named(Engine::Kubernetes, part),
        _ => None,
    }
}

/// Engines name containers by 256 bits in hexadecimal.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name as systemd escapes it: `\x2d` for a minus.
fn unescaped(name: &str) -> String {
    let mut text = Vec::with_capacity(name.len());
    let mut bytes = name.as_bytes();
    while let [first, rest @ ..] = bytes {
        let escaped = match bytes {
            [b'\\', b'x', digits @ ..] => digits
                .first_chunk::<2>()
                .and_then(|two| std::str::from_utf8(two).ok())
                .and_then(|two| u8::from_str_radix(two, 16).ok()),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                text.push(byte);
                bytes = &bytes[4..];
            }
            None => {
                text.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The paths of control groups by their IDs, for sockets whose processes may not be looked into.
pub(super) fn by_id() -> HashMap<u64, String> {
    let mut found = HashMap::new();
    for root in ROOTS {
        collect(Path::new(root), "", MAX_DEPTH, &mut found);
    }
    found
}

/// The ID of a group is the inode of its folder (Linux 5.5).
fn collect(folder: &Path, path: &str, depth: usize, found: &mut HashMap<u64, String>) {
    let (Ok(metadata), 1..) = (fs::metadata(folder), depth) else {
        return;
    };
    found
        .entry(metadata.st_ino())
        .or_insert_with(|| path.to_owned());
    // One that is gone meanwhile has no sockets.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let (true, Some(name)) = (is_folder, entry.file_name().to_str()) {
            collect(&entry.path(), &format!("{path}/{name}"), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd";

    fn told(path: &str) -> (Option<String>, Option<(Engine, String)>) {
        let group = of_path(&path.replace("ID", ID));
        (group.unit, group.container.map(|own| (own.engine, own.id)))
    }

    #[test]
    fn the_unit_is_the_innermost() {
        for (path, unit) in [
            ("/system.slice/ssh.service", Some("ssh.service")),
            (
                "/system.slice/system-postgresql.slice/postgresql@15-main.service",
                Some("postgresql@15-main.service"),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service",
                Some("syncthing.service"),
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                Some("session-3.scope"),
            ),
            (
                r"/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-disk.service",
                Some("systemd-fsck@dev-disk.service"),
            ),
            (r"/system.slice/a\x2db.service", Some("a-b.service")),
            ("/init.scope", Some("init.scope")),
            ("/", None),
            ("/user.slice", None),
        ] {
            assert_eq!(told(path), (unit.map(str::to_owned), None), "{path}");
        }
    }

    #[test]
    fn containers_of_each_engine_are_told() {
        for (path, engine, id) in [
            ("/system.slice/docker-ID.scope", Engine::Docker, ID),
            ("/docker/ID", Engine::Docker, ID),
            (
                "/machine.slice/libpod-ID.scope/container",
                Engine::Podman,
                ID,
            ),
            ("/libpod_parent/libpod-ID", Engine::Podman, ID),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234.slice/cri-containerd-ID.scope",
                Engine::Kubernetes,
                ID,
            ),
            (
                "/kubepods/besteffort/pod1234-5678/ID",
                Engine::Kubernetes,
                ID,
            ),
            (
                "/kubepods.slice/kubepods-pod1.slice/docker-ID.scope",
                Engine::Kubernetes,
                ID,
            ),
            (
                "/lxc.payload.web/system.slice/nginx.service",
                Engine::Lxc,
                "web",
            ),
            ("/lxc/web", Engine::Lxc, "web"),
            (
                r"/machine.slice/machine-my\x2dbox.scope",
                Engine::Nspawn,
                "my-box",
            ),
            (
                "/machine.slice/systemd-nspawn@box.service/payload",
                Engine::Nspawn,
                "box",
            ),
        ] {
            let (_, container) = told(path);
            assert_eq!(container, Some((engine, id.to_owned())), "{path}");
        }
        for path in [
            "/system.slice/docker.service",
            "/system.slice/docker-short.scope",
            "/machine.slice/libpod-conmon-ID.scope",
            "/docker/buildkit",
        ] {
            assert_eq!(told(path).1, None, "{path}");
        }
    }

    #[test]
    fn a_process_is_in_one_group_that_counts() {
        assert_eq!(
            path("0::/system.slice/a.service\n"),
            Some("/system.slice/a.service")
        );
        assert_eq!(
            path("12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/a.service\n0::/\n"),
            Some("/system.slice/a.service")
        );
        assert_eq!(path("0::/\n"), None);
        assert_eq!(path(""), None);
    }
}
