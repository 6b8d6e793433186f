//! Where sshd listens, by its configuration (sshd_config(5)).

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::wildcard;

/// Where sshd listens unless told otherwise.
pub(super) const DEFAULT_PORT: u16 = 22;

/// The file that sshd reads unless told otherwise.
pub(super) const DEFAULT_FILE: &str = "/etc/ssh/sshd_config";

/// Files within files, as in sshd (`SERVCONF_MAX_DEPTH`).
const MAX_DEPTH: usize = 16;

/// Files in all, for a folder of thousands that an `Include` names.
const MAX_FILES: usize = 256;

/// What one file may have: sshd's own is some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where sshd may listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `None` for any: all addresses, or one that is a host name.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// What a command line and a configuration say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listening {
    /// `-p`: they take the place of [`Self::ports`].
    pub(super) command_line_ports: Vec<u16>,
    ports: Vec<u16>,
    addresses: Vec<(Option<IpAddr>, Option<u16>)>,
}

impl Listening {
    /// Adds what a file says, and the files that it includes. One that cannot be read says nothing.
    pub(super) fn read(&mut self, file: &Path) {
        let mut left = MAX_FILES;
        self.read_nested(file, MAX_DEPTH, &mut left);
    }

    fn read_nested(&mut self, file: &Path, depth: usize, left: &mut usize) {
        if depth == 0 || *left == 0 {
            return;
        }
        *left -= 1;
        // A pipe would hold us up for ever, a device might never end.
        let is_file = fs::metadata(file)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BYTES);
        let Some(text) = is_file.then(|| fs::read(file).ok()).flatten() else {
            return;
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((keyword, arguments)) = words(line) else {
                continue;
            };
            match keyword.as_str() {
                // What follows holds for some sessions only, and cannot say where to listen.
                "match" => return,
                "include" => {
                    for pattern in arguments {
                        for included in wildcard::expand(&in_folder(&pattern)) {
                            self.read_nested(&included, depth - 1, left);
                        }
                    }
                }
                _ => self.set(&keyword, &arguments),
            }
        }
    }

    /// Adds one line, as it stands in a file or behind `-o`.
    pub(super) fn add(&mut self, line: &str) {
        if let Some((keyword, arguments)) = words(line) {
            self.set(&keyword, &arguments);
        }
    }

    fn set(&mut self, keyword: &str, arguments: &[String]) {
        let Some(argument) = arguments.first() else {
            return;
        };
        match keyword {
            "port" => self.ports.extend(port(argument)),
            "listenaddress" => self.add_address(argument),
            _ => {}
        }
    }

    /// Adds `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or an IPv6 address without a port.
    pub(super) fn add_address(&mut self, text: &str) {
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let own = rest.strip_prefix(':').and_then(port);
            return self.addresses.push((address(host), own));
        }
        match text.split_once(':') {
            Some((host, own)) if !own.contains(':') => {
                self.addresses.push((address(host), port(own)));
            }
            _ => self.addresses.push((address(text), None)),
        }
    }

    /// What it comes to.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let ports = [&self.command_line_ports, &self.ports]
            .into_iter()
            .find(|ports| !ports.is_empty());
        let ports = ports.map_or(&[DEFAULT_PORT][..], Vec::as_slice);
        let any = [(None, None)];
        let addresses = if self.addresses.is_empty() {
            &any[..]
        } else {
            &self.addresses
        };
        let mut endpoints = Vec::new();
        for (address, own) in addresses {
            let own = own.as_slice();
            for port in if own.is_empty() { ports } else { own } {
                endpoints.push(Endpoint {
                    address: *address,
                    port: *port,
                });
            }
        }
        endpoints
    }
}

/// A keyword in small letters and its arguments; `None` for a line that says nothing. A keyword is followed by blanks or
/// `=`, an argument may stand in double quotes, and `#` begins a comment.
fn words(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    let end = line
        .find(|letter: char| letter.is_ascii_whitespace() || letter == '=' || letter == '"')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let mut rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let mut arguments = Vec::new();
    while !rest.is_empty() && !rest.starts_with('#') {
        let argument;
        (argument, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(
                rest.find(|letter: char| letter.is_ascii_whitespace())
                    .unwrap_or(rest.len()),
            ),
        };
        arguments.push(argument.to_owned());
        rest = rest.trim_start();
    }
    Some((keyword.to_ascii_lowercase(), arguments))
}

/// A number, or a name: sshd looks names up.
pub(super) fn port(text: &str) -> Option<u16> {
    match text {
        "ssh" => Some(DEFAULT_PORT),
        _ => text.parse().ok().filter(|port| *port != 0),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    // A zone says the interface: `fe80::1%eth0`.
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse().ok()
}

/// A relative name is one in the folder of the usual configuration.
fn in_folder(name: &str) -> PathBuf {
    let folder = Path::new(DEFAULT_FILE).parent();
    folder.unwrap_or(Path::new("/")).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sshd_config");
        fs::write(&file, text).expect("writes");
        listened(&file)
    }

    fn listened(file: &Path) -> Vec<String> {
        let mut listening = Listening::default();
        listening.read(file);
        shown(&listening)
    }

    fn shown(listening: &Listening) -> Vec<String> {
        let text = |own: &Endpoint| match own.address {
            None => format!("*:{}", own.port),
            Some(address) => std::net::SocketAddr::new(address, own.port).to_string(),
        };
        listening.endpoints().iter().map(text).collect()
    }

    #[test]
    fn the_port_is_22_unless_a_file_says_otherwise() {
        for (text, expected) in [
            ("", &["*:22"][..]),
            ("#Port 2222\n", &["*:22"]),
            ("Port 2222\n", &["*:2222"]),
            ("  port\t=  2222  # not 22\r\n", &["*:2222"]),
            ("PORT=\"2222\"\n", &["*:2222"]),
            ("Port \"2222\" # x\n", &["*:2222"]),
            ("Port 22\nPort 2222\n", &["*:22", "*:2222"]),
            ("Port ssh\nPort 0\nPort 65536\nPort x\nPort\n", &["*:22"]),
            ("PortX 2222\nX Port 2222\n", &["*:22"]),
            // What follows `Match` cannot say it.
            ("Port 2222\nMatch User x\nPort 3333\n", &["*:2222"]),
            ("Port 2222\nmatch all\nInclude /x\n", &["*:2222"]),
            ("Port \"2222\nPort 2223\n", &["*:2223"]),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn addresses_have_their_own_port_or_all() {
        for (text, expected) in [
            (
                "Port 2222\nListenAddress 192.0.2.1\n",
                &["192.0.2.1:2222"][..],
            ),
            // Also where the port comes later.
            (
                "ListenAddress 192.0.2.1\nPort 1\nPort 2\n",
                &["192.0.2.1:1", "192.0.2.1:2"],
            ),
            (
                "ListenAddress 192.0.2.1:443\nListenAddress [2001:db8::1]:444\nListenAddress 2001:db8::2\n",
                &["192.0.2.1:443", "[2001:db8::1]:444", "[2001:db8::2]:22"],
            ),
            (
                "ListenAddress [2001:db8::1]\nListenAddress fe80::1%eth0\n",
                &["[2001:db8::1]:22", "[fe80::1]:22"],
            ),
            ("ListenAddress 0.0.0.0 rdomain red\n", &["0.0.0.0:22"]),
            ("ListenAddress bastion.example:443\n", &["*:443"]),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_command_line_comes_before_the_file_but_not_before_addresses() {
        let mut listening = Listening::default();
        listening.add("Port=2222");
        assert_eq!(shown(&listening), ["*:2222"]);
        listening.command_line_ports.push(3333);
        assert_eq!(shown(&listening), ["*:3333"]);
        listening.add("ListenAddress 192.0.2.1:4444");
        assert_eq!(shown(&listening), ["192.0.2.1:4444"]);
    }

    #[test]
    fn files_include_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let main = at("sshd_config");
        let pattern = at("sshd_config.d/*.conf");
        fs::create_dir(at("sshd_config.d")).expect("makes");
        fs::write(
            at("sshd_config.d/10.conf"),
            "Port 1010\nMatch all\nPort 1\n",
        )
        .expect("writes");
        fs::write(at("sshd_config.d/20.conf"), "Port 2020\n").expect("writes");
        fs::write(at("sshd_config.d/30.conf.bak"), "Port 3030\n").expect("writes");
        fs::write(&main, format!("Include {}\nPort 4040\n", pattern.display())).expect("writes");
        // A `Match` ends with its file.
        assert_eq!(listened(&main), ["*:1010", "*:2020", "*:4040"]);
        // One that includes itself ends all the same.
        fs::write(&main, format!("Include {}\nPort 22\n", main.display())).expect("writes");
        assert_eq!(listened(&main).len(), MAX_DEPTH);
        // Neither a folder nor nothing is an error.
        fs::write(
            &main,
            format!("Include {0} {0}/x\nPort 5050\n", folder.path().display()),
        )
        .expect("writes");
        assert_eq!(listened(&main), ["*:5050"]);
        assert_eq!(listened(&at("none")), ["*:22"]);
    }
}
