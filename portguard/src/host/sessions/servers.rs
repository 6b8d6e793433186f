//! The processes that serve SSH, as far as anybody may read about them: their names and command lines.
//!
//! What a process holds open (`/proc/PID/fd`) and its namespaces are for whoever has all of its capabilities, which the
//! daemon has not, of a `sshd`.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::sshd_config::{DEFAULT_FILE, Endpoint, Listening, port};

/// A process that listens for SSH.
#[derive(Debug)]
pub(super) struct Server {
    folder: PathBuf,
    /// Where it listens, by its command line and its configuration.
    pub(super) endpoints: Vec<Endpoint>,
}

impl Server {
    /// The inodes of the sockets that it holds, if that may be read.
    pub(super) fn sockets(&self) -> HashSet<u64> {
        let links = fs::read_dir(self.folder.join("fd")).into_iter().flatten();
        let mut inodes = HashSet::new();
        for link in links.flatten() {
            match fs::read_link(link.path()) {
                Ok(target) => inodes.extend(target.to_str().and_then(inode)),
                // Then none of them may be read, and there may be thousands.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                // It was closed meanwhile.
                Err(_) => {}
            }
        }
        inodes
    }
}

/// The inode of a socket, by what a link to it says.
fn inode(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// Those of this network namespace.
pub(super) fn list() -> Vec<Server> {
    let own = namespace(Path::new("/proc/thread-self"));
    // One that ends meanwhile listens no more.
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| is_number(&entry.file_name()))
        .filter_map(|entry| server(entry.path(), own))
        .collect()
}

fn is_number(name: &OsStr) -> bool {
    name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
}

fn server(folder: PathBuf, own: Option<u64>) -> Option<Server> {
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let kind = match name.trim_end() {
        "sshd" => Kind::Sshd,
        "dropbear" => Kind::Dropbear,
        _ => return None,
    };
    // Where the kernel does not say, it may be ours.
    let theirs = namespace(&folder);
    if theirs.is_some() && own.is_some() && theirs != own {
        return None;
    }
    let command = fs::read(folder.join("cmdline")).ok()?;
    let endpoints = kind.endpoints(&arguments(&command)?)?;
    Some(Server { folder, endpoints })
}

/// What tells the network namespaces of processes apart. The link that names them takes the process's capabilities to
/// read, but each namespace has its own table of sockets with its own inode.
fn namespace(process: &Path) -> Option<u64> {
    let table: io::Result<_> = fs::metadata(process.join("net/tcp"));
    table.ok().map(|metadata| metadata.st_ino())
}

/// The arguments of a process that may listen. A listening sshd shows what it was called with in its title, separated by
/// blanks: `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`. That of a session shows the user: `sshd: root@pts/0`.
fn arguments(command: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(command);
    let Some(title) = text.strip_prefix("sshd: ") else {
        let words = text.split('\0').skip(1);
        return Some(words.map(str::to_owned).collect());
    };
    let (called, _startups) = title.split_once(" [listener]")?;
    let words = called.split_ascii_whitespace().skip(1);
    Some(words.map(str::to_owned).collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sshd,
    Dropbear,
}

impl Kind {
    /// The options that take an argument.
    const fn with_argument(self) -> &'static str {
        match self {
            Self::Sshd => "CEbcfghkopu",
            Self::Dropbear => "bcprDGIKPTW",
        }
    }

    /// Where a process with these arguments listens; `None` if it serves one connection that another accepted.
    fn endpoints(self, arguments: &[String]) -> Option<Vec<Endpoint>> {
        let mut listening = Listening::default();
        let mut file = PathBuf::from(DEFAULT_FILE);
        let mut words = arguments.iter().peekable();
        while let Some(word) = words.next() {
            let Some(mut letters) = word.strip_prefix('-') else {
                continue;
            };
            while let Some(letter) = letters.chars().next() {
                letters = &letters[letter.len_utf8()..];
                if letter == 'i' {
                    return None;
                }
                if !self.with_argument().contains(letter) {
                    continue;
                }
                let value = if letters.is_empty() {
                    words.next()?.as_str()
                } else {
                    letters
                };
                match (self, letter) {
                    (Self::Sshd, 'p') => listening.command_line_ports.extend(port(value)),
                    (Self::Sshd, 'f') => file = value.into(),
                    // A title does not show where an argument with a blank ends.
                    (Self::Sshd, 'o') => match words.peek() {
                        Some(more) if is_keyword(value) => {
                            listening.add(&format!("{value} {more}"));
                        }
                        _ => listening.add(value),
                    },
                    (Self::Dropbear, 'p') => match port(value) {
                        Some(port) => listening.command_line_ports.push(port),
                        None => listening.add_address(value),
                    },
                    _ => {}
                }
                break;
            }
        }
        // Relative to a folder that only the process knows.
        if self == Self::Sshd && file.is_absolute() {
            listening.read(&file);
        }
        Some(listening.endpoints())
    }
}

fn is_keyword(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ports of a command line with `|` for the bytes of 0.
    fn ports(kind: Kind, command: &str) -> Option<Vec<u16>> {
        let command = command.replace('|', "\0");
        let endpoints = kind.endpoints(&arguments(command.as_bytes())?)?;
        Some(endpoints.iter().map(|own| own.port).collect())
    }

    #[test]
    fn the_command_line_of_sshd_says_the_port() {
        let none = "/nonexistent/sshd_config";
        for (command, expected) in [
            (format!("/usr/sbin/sshd|-D|-f|{none}|"), Some(vec![22])),
            (format!("sshd|-D|-f{none}|-p|2222|"), Some(vec![2222])),
            (
                format!("sshd|-Dep2222|-p|2223|-f{none}|"),
                Some(vec![2222, 2223]),
            ),
            (
                format!("sshd|-o|Port=2222|-oPort 2223|-f{none}|"),
                Some(vec![2222, 2223]),
            ),
            (
                format!("sshd|-oListenAddress=192.0.2.1:443|-f|{none}|"),
                Some(vec![443]),
            ),
            // An option's argument is no option.
            (format!("sshd|-E|-p|-f|{none}|"), Some(vec![22])),
            (
                format!(
                    "sshd: /usr/sbin/sshd -D -f {none} -p 2222 [listener] 0 of 10-100 startups|||"
                ),
                Some(vec![2222]),
            ),
            (
                format!("sshd: sshd -f {none} -o Port 2222 -D [listener] 1 of 10-100 startups"),
                Some(vec![2222]),
            ),
            // Neither the sessions nor what inetd or systemd started for one of them listens.
            ("sshd: root@pts/0|".into(), None),
            ("sshd: root [priv]|".into(), None),
            ("sshd: [accepted]|".into(), None),
            ("sshd|-i|".into(), None),
            ("sshd|-Di|".into(), None),
        ] {
            assert_eq!(ports(Kind::Sshd, &command), expected, "{command:?}");
        }
    }

    #[test]
    fn the_configuration_is_the_one_on_the_command_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        fs::write(&file, "Port 2222\n").expect("writes");
        let command = format!("sshd|-f|{}|", file.display());
        assert_eq!(ports(Kind::Sshd, &command), Some(vec![2222]));
        // `-p` takes the place of `Port`.
        assert_eq!(ports(Kind::Sshd, &(command + "-p|2223|")), Some(vec![2223]));
    }

    #[test]
    fn dropbear_has_ports_with_and_without_addresses() {
        for (command, expected) in [
            ("dropbear|", Some(vec![22])),
            ("dropbear|-F|-p|2222|-p2223|", Some(vec![2222, 2223])),
            (
                "dropbear|-p|192.0.2.1:443|-p|[::1]:444|",
                Some(vec![443, 444]),
            ),
            ("dropbear|-i|", None),
        ] {
            assert_eq!(ports(Kind::Dropbear, command), expected, "{command:?}");
        }
    }

    #[test]
    fn processes_of_this_namespace_are_told_from_others() {
        let own = namespace(Path::new("/proc/thread-self"));
        assert!(own.is_some());
        assert_eq!(
            own,
            namespace(&PathBuf::from(format!("/proc/{}", std::process::id())))
        );
    }
}
