//! The session of the person who asks, by the variables that sshd gives it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The variable: `PEER PEER_PORT OWN OWN_PORT`, as ssh(1) says.
const VARIABLE: &str = "SSH_CONNECTION";

/// Processes to look through; a chain of shells, `sudo` and the like is short.
const MOST: usize = 64;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it ends on this host.
    pub local: SocketAddr,
}

/// The text is no `SSH_CONNECTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected two addresses, each with its port, like `198.51.100.9 40022 192.0.2.1 22`")]
pub struct NoConnection;

impl Connection {
    /// Reads the value of `SSH_CONNECTION`.
    ///
    /// # Errors
    ///
    /// [`NoConnection`]
    pub fn parse(text: &str) -> Result<Self, NoConnection> {
        let words: Vec<&str> = text.split(' ').collect();
        let [peer, peer_port, local, local_port] = words[..] else {
            return Err(NoConnection);
        };
        let end = |address, port| Some(SocketAddr::new(self::address(address)?, self::port(port)?));
        let (Some(peer), Some(local)) = (end(peer, peer_port), end(local, local_port)) else {
            return Err(NoConnection);
        };
        if peer.is_ipv4() != local.is_ipv4() {
            return Err(NoConnection);
        }
        Ok(Self { peer, local })
    }
}

fn address(text: &str) -> Option<IpAddr> {
    // Link-local addresses come with their zone: `fe80::1%eth0`.
    let address = match text.split_once('%') {
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => text,
    };
    address
        .parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

/// The variable of this process, or of the nearest process above it that has it and may be read: `sudo` takes it away.
#[must_use]
pub fn connection_of_caller() -> Option<String> {
    if let Ok(own) = std::env::var(VARIABLE) {
        return Some(own).filter(|text| Connection::parse(text).is_ok());
    }
    let mut process = std::os::unix::process::parent_id();
    for _ in 0..MOST {
        if process == 0 {
            break;
        }
        let folder = PathBuf::from(format!("/proc/{process}"));
        let found = fs::read(folder.join("environ"))
            .ok()
            .and_then(|environment| variable(&environment));
        if found.is_some() {
            return found.filter(|text| Connection::parse(text).is_ok());
        }
        process = parent(&fs::read_to_string(folder.join("stat")).ok()?)?;
    }
    None
}

fn variable(environment: &[u8]) -> Option<String> {
    let prefix = format!("{VARIABLE}=");
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    String::from_utf8(value.to_vec()).ok()
}

/// The parent, from `/proc/PID/stat`: behind the name, which may have anything in it, and the state.
fn parent(stat: &str) -> Option<u32> {
    let (_name, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_strictly() {
        for (text, peer, local) in [
            (
                "198.51.100.9 40022 192.0.2.1 2222",
                "198.51.100.9:40022",
                "192.0.2.1:2222",
            ),
            (
                "2001:db8::9 40022 2001:db8::1 22",
                "[2001:db8::9]:40022",
                "[2001:db8::1]:22",
            ),
            (
                "fe80::9%eth0 40022 fe80::1%eth0 22",
                "[fe80::9]:40022",
                "[fe80::1]:22",
            ),
            (
                "::ffff:198.51.100.9 1 ::ffff:192.0.2.1 2",
                "198.51.100.9:1",
                "192.0.2.1:2",
            ),
        ] {
            let expected = Connection {
                peer: peer.parse().expect("an address"),
                local: local.parse().expect("an address"),
            };
            assert_eq!(Connection::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "198.51.100.9 40022 22",
            "198.51.100.9 40022 192.0.2.1",
            "198.51.100.9 40022 192.0.2.1 22 1",
            "198.51.100.9  40022 192.0.2.1 22",
            " 198.51.100.9 40022 192.0.2.1 22",
            "198.51.100.9 40022 192.0.2.1 22\n",
            "198.51.100.9 +40022 192.0.2.1 22",
            "198.51.100.9 40022 192.0.2.1 0",
            "198.51.100.9 65536 192.0.2.1 22",
            "198.51.100.9 40022 2001:db8::1 22",
            "198.51.100.9%eth0 40022 192.0.2.1 22",
            "host 40022 192.0.2.1 22",
            "UNKNOWN 65535 UNKNOWN 65535",
        ] {
            assert_eq!(Connection::parse(text), Err(NoConnection), "{text:?}");
        }
    }

    #[test]
    fn a_variable_is_found_among_others() {
        let environment = b"A=1\0XSSH_CONNECTION=no\0SSH_CONNECTION=1.2.3.4 1 5.6.7.8 2\0B=\0";
        assert_eq!(
            variable(environment).as_deref(),
            Some("1.2.3.4 1 5.6.7.8 2")
        );
        assert_eq!(variable(b"A=1\0"), None);
        assert_eq!(variable(b""), None);
    }

    #[test]
    fn the_parent_stands_behind_any_name() {
        assert_eq!(parent("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 9 ) R 7 12 12 0"), Some(7));
        let own = fs::read_to_string("/proc/self/stat").expect("reads");
        assert_eq!(parent(&own), Some(std::os::unix::process::parent_id()));
    }
}
