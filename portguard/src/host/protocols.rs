//! What the kernel counts for each protocol, by the names of its tables in `/proc/net`: those of the MIBs (RFC 4293, RFC 4022,
//! RFC 4113) and Linux' own.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The tables. Their forms are two: a line of names and one of numbers, or a name and a number on each line.
const TABLES: [&str; 4] = ["snmp", "netstat", "snmp6", "sctp/snmp"];

/// The protocols that [`TABLES`] tell of by names without a space in them.
const PREFIXES: [&str; 6] = ["UdpLite6", "Udp6", "Icmp6", "Ip6", "Sctp", "Udp"];

/// Counters by protocol and name. A name stands once.
pub type Counters = BTreeMap<String, BTreeMap<String, i64>>;

/// Reads all tables of this network namespace.
///
/// # Errors
///
/// When the first of them cannot be read; a kernel without IPv6 or SCTP has no table of it.
pub fn read() -> io::Result<Counters> {
    let mut counters = Counters::new();
    for table in TABLES {
        match fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            Ok(text) => add(&text, &mut counters),
            Err(error) if error.kind() == io::ErrorKind::NotFound && table != TABLES[0] => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counters)
}

fn add(text: &str, counters: &mut Counters) {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((protocol, names)) = line.split_once(": ") {
            let numbers = lines.next().and_then(|next| next.split_once(": "));
            let Some((_, numbers)) = numbers else {
                return;
            };
            let pairs = names.split_ascii_whitespace();
            for (name, number) in pairs.zip(numbers.split_ascii_whitespace()) {
                note(protocol, name, number, counters);
            }
        } else if let Some((name, number)) = line.split_once(|own: char| own.is_ascii_whitespace())
            && let Some(protocol) = PREFIXES.iter().find(|own| name.starts_with(**own))
        {
            note(protocol, &name[protocol.len()..], number.trim(), counters);
        }
    }
}

fn note(protocol: &str, name: &str, number: &str, counters: &mut Counters) {
    // `Tcp: MaxConn` is -1 where there is no limit.
    if let Ok(number) = number.parse() {
        let own = counters.entry(protocol.to_owned()).or_default();
        own.insert(name.to_owned(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let mut counters = Counters::new();
        add(
            "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 17\nTcp: MaxConn RetransSegs\nTcp: -1 3\n",
            &mut counters,
        );
        add(
            "Ip6InReceives                   \t5\nUdp6InDatagrams \t7\nUdpLite6InErrors\t1\n",
            &mut counters,
        );
        add("SctpCurrEstab\t2\n", &mut counters);
        let number = |protocol: &str, name: &str| counters[protocol][name];
        assert_eq!(number("Ip", "InReceives"), 17);
        assert_eq!(number("Tcp", "MaxConn"), -1);
        assert_eq!(number("Ip6", "InReceives"), 5);
        assert_eq!(number("Udp6", "InDatagrams"), 7);
        assert_eq!(number("UdpLite6", "InErrors"), 1);
        assert_eq!(number("Sctp", "CurrEstab"), 2);
    }

    #[test]
    fn what_is_cut_short_is_left_out() {
        let mut counters = Counters::new();
        add("Ip: Forwarding\n", &mut counters);
        add("Ip: A B\nIp: 1\nrest\n", &mut counters);
        assert_eq!(counters["Ip"].len(), 1);
    }

    #[test]
    fn this_host_has_the_usual_ones() {
        let counters = read().expect("the tables");
        for (protocol, name) in [
            ("Ip", "InReceives"),
            ("Tcp", "PassiveOpens"),
            ("Udp", "NoPorts"),
            ("TcpExt", "ListenDrops"),
        ] {
            assert!(counters[protocol].contains_key(name), "{protocol} {name}");
        }
    }
}
