//! `events`, printed.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::IpAddr;

use crate::cli::Format;
use crate::control::{Account, Event, EventAccount, EventAction};
use crate::exit::{Failure, Outcome};
use crate::utc;

use super::{checked, write_out};

/// Prints an event, on one line. `false` when nobody reads any more.
///
/// # Errors
///
/// [`Failure`] when standard output cannot be written to.
pub fn event(event: &Event, format: Format) -> Outcome<bool> {
    let line = match format {
        Format::Text => line(event),
        Format::Json => serde_json::to_string(event).map_err(Failure::system)?,
    };
    match write_out(|out| writeln!(out, "{line}")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => checked(written).map(|()| true),
    }
}

/// Prints to standard error what was shown, and what was not.
pub fn account(shown: u64, account: &Account) {
    let plural = if shown == 1 { "" } else { "s" };
    let lost = account.lost;
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(
        io::stderr(),
        "{shown} event{plural} shown, {lost} lost because this reader was too slow\n{}",
        of_host(&account.host)
    );
}

/// What became of the events of the whole host, in a sentence.
pub(super) fn of_host(account: &EventAccount) -> String {
    format!(
        "the whole host: {} dropped packets to tell, of which {} were told, {} suppressed beyond the budget, {} lost for want of room",
        account.would_be, account.delivered, account.suppressed, account.lost
    )
}

/// An event, on one line.
pub(super) fn line(event: &Event) -> String {
    let mut line = format!(
        "{} {} {}",
        utc_ms(event.unix_time),
        event.interface,
        deed(event)
    );
    match (&event.rule, event.line) {
        (Some(rule), Some(number)) => {
            let file = event.policy.file_name().unwrap_or_default();
            let beyond = match event.outcome.as_str() {
                "limited" => " (over its limit)",
                _ => "",
            };
            put(
                &mut line,
                format_args!(" rule {rule}{beyond} {}:{number}", file.display()),
            );
        }
        _ => put(&mut line, format_args!(" {}", event.outcome)),
    }
    match (&event.protocol, event.ether_type) {
        (Some(protocol), _) => put(&mut line, format_args!(" {protocol}")),
        (None, Some(ether_type)) => put(&mut line, format_args!(" EtherType {ether_type:#06x}")),
        (None, None) => {}
    }
    if let (Some(kind), Some(code)) = (event.icmp_type, event.icmp_code) {
        put(&mut line, format_args!("/{kind}/{code}"));
    }
    if let (Some(source), Some(destination)) = (event.source, event.destination) {
        let from = end(source, event.source_port);
        let to = end(destination, event.destination_port);
        put(&mut line, format_args!(" {from} -> {to}"));
    }
    if event.later_fragment {
        line.push_str(" fragment");
    }
    if let Some(vlan) = event.vlan {
        put(&mut line, format_args!(" vlan {vlan}"));
    }
    put(&mut line, format_args!(" {} bytes", event.length));
    if let Some(bytes) = &event.bytes {
        put(&mut line, format_args!(" {bytes}"));
    }
    line
}

fn put(line: &mut String, text: std::fmt::Arguments<'_>) {
    // A text takes everything.
    let _infallible = line.write_fmt(text);
}

fn deed(event: &Event) -> &'static str {
    match (event.action, event.enforced) {
        (EventAction::Drop, true) => "drop",
        (EventAction::Reject, true) => "reject",
        (EventAction::Drop, false) => "would-drop",
        (EventAction::Reject, false) => "would-reject",
    }
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (address, None) => address.to_string(),
    }
}

/// With milliseconds.
fn utc_ms(unix_time: f64) -> String {
    let ms = (unix_time * 1e3).max(0.0) as u64;
    let seconds = utc::text(ms / 1_000);
    let seconds = seconds.trim_end_matches('Z');
    format!("{seconds}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            unix_time: 1_767_225_600.25,
            interface: "eth0".into(),
            action: EventAction::Drop,
            enforced: true,
            outcome: "rule".into(),
            rule: Some("telnet".into()),
            line: Some(12),
            policy: "/etc/portguard/policy.yaml".into(),
            generation: 3,
            length: 60,
            vlan: Some(7),
            ether_type: Some(0x0800),
            protocol: Some("tcp".into()),
            source: Some([192, 0, 2, 9].into()),
            source_port: Some(40_000),
            destination: Some([198, 51, 100, 1].into()),
            destination_port: Some(23),
            icmp_type: None,
            icmp_code: None,
            later_fragment: false,
            bytes: None,
        }
    }

    #[test]
    fn an_event_is_a_line() {
        assert_eq!(
            line(&event()),
            "2026-01-01T00:00:00.250Z eth0 drop rule telnet policy.yaml:12 tcp 192.0.2.9:40000 -> 198.51.100.1:23 vlan 7 60 bytes"
        );
        let limited = Event {
            outcome: "limited".into(),
            enforced: false,
            action: EventAction::Reject,
            vlan: None,
            source: Some("2001:db8::1".parse().unwrap()),
            ..event()
        };
        assert_eq!(
            line(&limited),
            "2026-01-01T00:00:00.250Z eth0 would-reject rule telnet (over its limit) policy.yaml:12 tcp [2001:db8::1]:40000 -> 198.51.100.1:23 60 bytes"
        );
        let nothing_known = Event {
            outcome: "malformed:ethernet-short".into(),
            rule: None,
            line: None,
            vlan: None,
            ether_type: None,
            protocol: None,
            source: None,
            destination: None,
            bytes: Some("00ff".into()),
            ..event()
        };
        assert_eq!(
            line(&nothing_known),
            "2026-01-01T00:00:00.250Z eth0 drop malformed:ethernet-short 60 bytes 00ff"
        );
        let ping = Event {
            protocol: Some("icmp".into()),
            icmp_type: Some(8),
            icmp_code: Some(0),
            source_port: None,
            destination_port: None,
            later_fragment: true,
            ..event()
        };
        assert_eq!(
            line(&ping),
            "2026-01-01T00:00:00.250Z eth0 drop rule telnet policy.yaml:12 icmp/8/0 192.0.2.9 -> 198.51.100.1 fragment vlan 7 60 bytes"
        );
    }
}
