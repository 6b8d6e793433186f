//! Ports at which this host takes packets for somebody else: those that container engines publish, by rules that change
//! destinations or by a proxy.

mod iptables;
mod nft;
mod proxy;

use std::io;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use portguard_policy::{PortRange, Transport};

use super::sockets::{Owners, Socket};

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// Its protocol.
    pub transport: Transport,
    /// The ports, as packets have them on arrival.
    pub ports: PortRange,
    /// The address to which they come; `None` for any.
    pub address: Option<IpAddr>,
    /// Where they go: an address, a port or both, as the rule says it.
    pub target: String,
    /// The port there, of a rule for one port.
    pub target_port: Option<u16>,
    /// What publishes it.
    pub by: Publisher,
}

/// What publishes a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Publisher {
    /// A rule of nftables.
    Nftables,
    /// A rule of iptables.
    Iptables,
    /// Docker's proxy.
    DockerProxy,
}

impl Publisher {
    /// What it is, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::DockerProxy => "docker-proxy",
        }
    }
}

/// What is published, and what could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// By protocol and port.
    pub published: Vec<Published>,
    /// Why something may be missing, for people.
    pub notes: Vec<String>,
}

/// The programs that list rules, with what reads their answers. One that is not installed has made no rules.
type Reader = fn(&str) -> Vec<Published>;
const LISTS: [(&[&str], Reader); 5] = [
    (&["nft", "--json", "list", "ruleset"], nft::read),
    (&["iptables-save", "-t", "nat"], iptables::read),
    (&["ip6tables-save", "-t", "nat"], iptables::read),
    (&["iptables-legacy-save", "-t", "nat"], iptables::read),
    (&["ip6tables-legacy-save", "-t", "nat"], iptables::read),
];

/// Where these programs are, for users whose `PATH` leaves them out.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Looks what is published to others than this host itself.
#[must_use]
pub fn find(sockets: &[Socket], owners: &Owners) -> Found {
    let mut found = Found {
        published: proxy::read(sockets, owners),
        notes: Vec::new(),
    };
    for (words, read) in LISTS {
        match run(words) {
            Ok(Some(text)) => found.published.extend(read(&text)),
            Ok(None) => {}
            Err(why) => found.notes.push(format!(
                "published ports may be missing: `{}` says: {why}",
                words.join(" ")
            )),
        }
    }
    found
        .published
        .retain(|own| own.address.is_none_or(|address| !address.is_loopback()));
    // The rule is what packets meet first; the proxy listens beside it.
    found.published.sort();
    found.published.dedup_by(|later, first| {
        (later.transport, later.ports) == (first.transport, first.ports)
            && (later.address == first.address || later.by == Publisher::DockerProxy)
    });
    found
}

/// What a program prints; `None` where it is not installed.
fn run(words: &[&str]) -> Result<Option<String>, String> {
    let [program, arguments @ ..] = words else {
        return Ok(None);
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:{SYSTEM_FOLDERS}"))
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().next().unwrap_or("it failed").trim().to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
