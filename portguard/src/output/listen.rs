//! `listen`, printed.

use std::io::Write as _;

use portguard_policy::{Policy, protocol_name};
use serde::Serialize;

use super::fate::{PrintedFate, printed, sentence};
use super::text::WIDTH;
use super::{print, print_json_pretty};
use crate::cli::Format;
use crate::exit::Outcome;
use crate::exposure::{Fate, Filter, Origin};
use crate::host::sockets::{Container, Families, Process, Protocol, Socket};

/// All that is shown.
#[derive(Debug)]
pub struct Listening<'l> {
    /// The policy by which they are judged.
    pub filter: Option<&'l Filter>,
    /// Why there is none.
    pub why_none: Option<&'l str>,
    /// Processes that could not be looked into.
    pub unseen: usize,
    /// The sockets.
    pub sockets: Vec<Shown<'l>>,
}

/// A socket, with what belongs to it.
#[derive(Debug)]
pub struct Shown<'l> {
    /// The socket itself.
    pub socket: &'l Socket,
    /// Who holds it, as far as it may be seen.
    pub processes: Vec<&'l Process>,
    /// The unit of systemd.
    pub unit: Option<String>,
    /// The container.
    pub container: Option<Container>,
    /// The interface that it is bound to.
    pub device: Option<String>,
    /// The interface that has its address.
    pub interface: Option<String>,
    /// What becomes of packets to each of its addresses that can be reached from outside; none where it does not wait
    /// for any.
    pub fates: Vec<Fate>,
}

#[derive(Serialize)]
struct Printed<'l> {
    policy: Option<PrintedPolicy<'l>>,
    /// Processes that this user may not look into.
    unseen_processes: usize,
    sockets: Vec<PrintedSocket<'l>>,
}

/// By which policy something is judged, for programs.
#[derive(Serialize)]
pub(super) struct PrintedPolicy<'l> {
    path: String,
    /// `null` if it is not in force.
    generation: Option<u64>,
    enforce: bool,
    interfaces: Vec<&'l str>,
}

impl<'l> PrintedPolicy<'l> {
    pub(super) fn new(filter: &'l Filter) -> Self {
        Self {
            path: filter.path.display().to_string(),
            generation: match filter.origin {
                Origin::InForce(generation) => Some(generation),
                Origin::File => None,
            },
            enforce: filter.policy.enforce,
            interfaces: filter.guarded.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Serialize)]
struct PrintedSocket<'l> {
    /// `tcp`, `udp`, `sctp` or `raw`.
    protocol: &'static str,
    state: &'static str,
    /// The packets that it takes: `ipv4`, `ipv6` or `both`.
    family: &'static str,
    address: String,
    more_addresses: Vec<String>,
    /// `null` of a raw socket.
    port: Option<u16>,
    /// The IP protocol of a raw socket.
    ip_protocol: Option<u8>,
    peer: Option<String>,
    service: Option<String>,
    processes: Vec<PrintedProcess<'l>>,
    user: u32,
    unit: Option<&'l str>,
    container: Option<PrintedContainer<'l>>,
    device: Option<&'l str>,
    interface: Option<&'l str>,
    /// `false` where only this host itself can reach it.
    from_outside: bool,
    fates: Vec<PrintedFate<'l>>,
}

#[derive(Serialize)]
struct PrintedProcess<'l> {
    pid: u32,
    name: &'l str,
}

#[derive(Serialize)]
struct PrintedContainer<'l> {
    engine: &'static str,
    id: &'l str,
}

/// Prints the sockets.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn listening(listening: &Listening<'_>, format: Format) -> Outcome {
    if format == Format::Json {
        return print_json_pretty(&for_programs(listening));
    }
    let lines = for_people(listening);
    print(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn for_programs<'l>(listening: &'l Listening<'l>) -> Printed<'l> {
    let policy = listening.filter.map(|filter| &filter.policy);
    let sockets = listening.sockets.iter().map(|own| {
        let socket = own.socket;
        PrintedSocket {
            protocol: protocol(socket),
            state: socket.state.name(),
            family: socket.families.name(),
            address: socket.local.ip().to_string(),
            more_addresses: socket.more_locals.iter().map(ToString::to_string).collect(),
            port: socket.transport().map(|_| socket.local.port()),
            ip_protocol: match socket.protocol {
                Protocol::Raw(number) => Some(number),
                Protocol::Transport(_) => None,
            },
            peer: socket.peer.map(|peer| peer.to_string()),
            service: service(policy, socket),
            processes: own
                .processes
                .iter()
                .map(|process| PrintedProcess {
                    pid: process.id,
                    name: &process.name,
                })
                .collect(),
            user: socket.user,
            unit: own.unit.as_deref(),
            container: own.container.as_ref().map(|own| PrintedContainer {
                engine: own.engine.name(),
                id: &own.id,
            }),
            device: own.device.as_deref(),
            interface: own.interface.as_deref(),
            from_outside: !socket.is_local(),
            fates: own.fates.iter().map(|fate| printed(policy, fate)).collect(),
        }
    });
    Printed {
        policy: listening.filter.map(PrintedPolicy::new),
        unseen_processes: listening.unseen,
        sockets: sockets.collect(),
    }
}

fn protocol(socket: &Socket) -> &'static str {
    socket.transport().map_or("raw", |own| own.name())
}

/// The name of the port that others come to: of a connection, the side that has one.
fn service(policy: Option<&Policy>, socket: &Socket) -> Option<String> {
    let transport = socket.transport()?;
    let name = |port| match policy {
        Some(policy) => policy.service_name(transport, port),
        None => portguard_policy::service_name(transport, port),
    };
    let peer = socket.peer.map(|peer| peer.port());
    name(socket.local.port())
        .or_else(|| name(peer?))
        .map(str::to_owned)
}

fn for_people(listening: &Listening<'_>) -> Vec<String> {
    let policy = listening.filter.map(|filter| &filter.policy);
    let mut lines = heading(listening.filter, listening.why_none);
    let rows: Vec<[String; 4]> =
        std::iter::once(["PORT", "SERVICE", "ADDRESS", "PROCESS"].map(str::to_owned))
            .chain(listening.sockets.iter().map(|own| row(policy, own)))
            .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (port, service, address) = (width(0), width(1), width(2));
    let mut fates = std::iter::once(Vec::new()).chain(
        listening
            .sockets
            .iter()
            .map(|own| policy.map_or_else(Vec::new, |policy| beneath(policy, own))),
    );
    for [number, name, place, process] in &rows {
        let line = format!("{number:<port$}  {name:<service$}  {place:<address$}  {process}");
        lines.push(line.trim_end().to_owned());
        lines.extend(fates.next().into_iter().flatten());
    }
    if listening.sockets.is_empty() {
        lines.push("no socket waits for packets".into());
    }
    lines.extend(hidden(listening));
    lines
}

/// By which policy something is judged.
pub(super) fn heading(filter: Option<&Filter>, why_none: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    match (filter, why_none) {
        (Some(filter), _) => {
            let names: Vec<String> = filter
                .guarded
                .iter()
                .map(|own| format!("`{own}`"))
                .collect();
            let on = if names.is_empty() {
                "no interface".to_owned()
            } else {
                names.join(", ")
            };
            lines.push(match filter.origin {
                Origin::InForce(generation) => {
                    format!(
                        "policy {generation} is in force on {on}: `{}`",
                        filter.path.display()
                    )
                }
                Origin::File => format!("by the policy `{}`, on {on}", filter.path.display()),
            });
            if !filter.policy.enforce {
                lines.push("it is not enforced (`enforce: false`): nothing is dropped".into());
            }
        }
        (None, Some(why)) => lines.push(why.to_owned()),
        (None, None) => return lines,
    }
    lines.push(String::new());
    lines
}

fn row(policy: Option<&Policy>, own: &Shown<'_>) -> [String; 4] {
    let socket = own.socket;
    let port = match socket.protocol {
        Protocol::Transport(transport) => format!("{}/{transport}", socket.local.port()),
        Protocol::Raw(number) => match protocol_name(number) {
            Some(name) => format!("raw/{name}"),
            None => format!("raw/{number}"),
        },
    };
    [
        port,
        service(policy, socket).unwrap_or_else(|| "-".into()),
        address(own),
        whose(own),
    ]
}

fn address(own: &Shown<'_>) -> String {
    let socket = own.socket;
    let mut text = match (socket.local.ip(), socket.families) {
        (address, Families::Both) if address.is_unspecified() => "any".to_owned(),
        (address, Families::V4) if address.is_unspecified() => "any IPv4".to_owned(),
        (address, Families::V6) if address.is_unspecified() => "any IPv6".to_owned(),
        (address, _) => address.to_string(),
    };
    for more in &socket.more_locals {
        text = format!("{text}, {more}");
    }
    if let Some(device) = own.device.as_ref().or(own.interface.as_ref()) {
        text = format!("{text} on {device}");
    }
    match socket.peer {
        Some(peer) => format!("{text} <-> {peer} {}", socket.state.name()),
        None => text,
    }
}

/// `sshd[812], ssh.service`
fn whose(own: &Shown<'_>) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut known: Vec<(&str, Vec<String>)> = Vec::new();
    for process in &own.processes {
        match known.iter_mut().find(|(name, _)| *name == process.name) {
            Some((_, ids)) => ids.push(process.id.to_string()),
            None => known.push((&process.name, vec![process.id.to_string()])),
        }
    }
    for (name, ids) in known {
        let more = ids.len().saturating_sub(2);
        let mut told = ids;
        told.truncate(2);
        let more = if more > 0 {
            format!(" +{more}")
        } else {
            String::new()
        };
        names.push(format!("{name}[{}{more}]", told.join(",")));
    }
    if names.is_empty() && own.socket.inode != 0 {
        names.push(format!("not seen, user {}", own.socket.user));
    }
    names.extend(own.unit.clone());
    if let Some(container) = &own.container {
        let id: String = container.id.chars().take(12).collect();
        names.push(format!("{} {id}", container.engine.name()));
    }
    names.join(", ")
}

/// What the policy does, beneath a socket.
fn beneath(policy: &Policy, own: &Shown<'_>) -> Vec<String> {
    if !own.socket.is_open() || own.socket.transport().is_none() {
        return Vec::new();
    }
    if own.socket.is_local() {
        return indented("only this host itself can reach it");
    }
    let mut sentences: Vec<String> = own
        .fates
        .iter()
        .map(|fate| sentence(policy, fate))
        .collect();
    sentences.dedup();
    sentences.retain(|own| !own.is_empty());
    sentences.iter().flat_map(|own| indented(own)).collect()
}

/// A sentence in lines that fit.
pub(super) fn indented(text: &str) -> Vec<String> {
    const INDENT: &str = "    ";
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{INDENT}{word}")),
        }
    }
    lines
}

/// What could not be seen.
fn hidden(listening: &Listening<'_>) -> Vec<String> {
    let unknown: Vec<&Shown<'_>> = listening
        .sockets
        .iter()
        .filter(|own| own.processes.is_empty() && own.socket.inode != 0)
        .collect();
    if unknown.is_empty() || listening.unseen == 0 {
        return Vec::new();
    }
    let mut users: Vec<u32> = unknown.iter().map(|own| own.socket.user).collect();
    users.sort_unstable();
    users.dedup();
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    let sockets = match unknown.len() {
        1 => "1 socket".to_owned(),
        count => format!("{count} sockets"),
    };
    let processes = match listening.unseen {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    vec![
        String::new(),
        format!(
            "whose {sockets} of user {} are cannot be seen: {processes} may not be looked into; root may",
            users.join(", "),
        ),
    ]
}
