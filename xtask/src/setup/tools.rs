//! What only the checks and the namespaces need.

use std::process::{Command, Stdio};

use anyhow::Result;
use portguard_build::Toolchain;

use super::debian;
use crate::{
    root,
    step::{self, Refused},
};

/// A subcommand of cargo that a minimal installation lacks, and who has it.
struct Component {
    verb: &'static str,
    rustup: &'static str,
    debian: &'static str,
}

const COMPONENTS: [Component; 2] = [
    Component {
        verb: "fmt",
        rustup: "rustfmt",
        debian: "rustfmt",
    },
    Component {
        verb: "clippy",
        rustup: "clippy",
        debian: "rust-clippy",
    },
];

/// Makes sure of `cargo fmt`, `cargo clippy`, and a clippy for the kernel side.
pub(crate) fn ensure_for_checks(toolchain: &Toolchain) -> Result<()> {
    for component in &COMPONENTS {
        if !has_verb(component.verb) {
            add(component)?;
        }
    }
    if toolchain.clippy().is_some() {
        return Ok(());
    }
    let rustc = &toolchain.compiler.rustc;
    match debian::clippy_for(rustc) {
        Some(package) => debian::install_after_update(&[package]),
        None => Err(Refused(format!(
            "there is no `clippy-driver` beside `{}`, which compiles the kernel side: install it",
            rustc.display()
        ))
        .into()),
    }
}

/// Programs with which tests and the demonstration make their namespaces, and the package of each.
const NAMESPACE_TOOLS: [(&str, &str); 3] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("setpriv", "util-linux"),
];

/// Makes sure of [`NAMESPACE_TOOLS`].
pub(crate) fn ensure_for_namespaces() -> Result<()> {
    install_missing(&NAMESPACE_TOOLS)
}

/// Programs that only the tests need: to look at the systemd unit and boot it, for a real SSH session, to publish ports, for
/// bans, to scrape metrics, to read captures, a terminal, what a usual host serves, a scanner, a
/// browser, the packet filters whose rules are imported, and a clock of its own for the daemon.
const TEST_TOOLS: [(&str, &str); 21] = [
    ("systemd-analyze", "systemd"),
    ("nsenter", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("nft", "nftables"),
    ("fail2ban-client", "fail2ban"),
    ("fail2ban-server", "fail2ban"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("tshark", "tshark"),
    ("tmux", "tmux"),
    ("nginx", "nginx-light"),
    ("redis-server", "redis-server"),
    ("pg_ctlcluster", "postgresql"),
    ("nmap", "nmap"),
    ("chromium", "chromium"),
    ("iptables-restore", "iptables"),
    ("ufw", "ufw"),
    ("firewalld", "firewalld"),
    ("faketime", "faketime"),
];

/// Those of [`TEST_TOOLS`] that are servers, or filters of their own, with their units.
const SERVERS: [(&str, &[&str]); 8] = [
    ("sshd", &["ssh.service", "ssh.socket"]),
    ("prometheus", &["prometheus.service"]),
    ("fail2ban-server", &["fail2ban.service"]),
    ("nginx", &["nginx.service"]),
    ("redis-server", &["redis-server.service"]),
    (
        "pg_ctlcluster",
        &["postgresql.service", "postgresql@.service"],
    ),
    ("ufw", &["ufw.service"]),
    ("firewalld", &["firewalld.service"]),
];

/// Makes sure of [`NAMESPACE_TOOLS`] and of [`TEST_TOOLS`].
pub(crate) fn ensure_for_tests() -> Result<()> {
    ensure_for_namespaces()?;
    // These packages would start a server, and again with every boot.
    for (program, units) in SERVERS {
        if step::find_program(program).is_none() {
            debian::mask(units)?;
        }
    }
    install_missing(&TEST_TOOLS)
}

/// Installs the packages of those programs that are missing.
pub(crate) fn install_missing(tools: &[(&str, &'static str)]) -> Result<()> {
    let mut missing: Vec<&str> = tools
        .iter()
        .filter(|(program, _)| step::find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install_after_update(&missing)
}

fn has_verb(verb: &str) -> bool {
    root::cargo()
        .args([verb, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn add(component: &Component) -> Result<()> {
    if step::find_program("rustup").is_none() {
        return debian::install_after_update(&[component.debian]);
    }
    let name = component.rustup;
    step::run(
        &format!("adding to the active toolchain: rustup component add {name}"),
        Command::new("rustup").args(["component", "add", name]),
    )
}
