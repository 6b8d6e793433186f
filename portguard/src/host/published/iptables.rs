//! What `iptables-save` prints.

use std::net::IpAddr;

use portguard_policy::{PortRange, Transport};

use super::{Published, Publisher};

/// The rules of a table that change the destination of a port.
pub(super) fn read(text: &str) -> Vec<Published> {
    text.lines().flat_map(rule).collect()
}

/// `-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80`
fn rule(line: &str) -> Vec<Published> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let value = |names: &[&str]| {
        let place = words.iter().position(|word| names.contains(word))?;
        // What is all but this is no port of interest.
        let negated = place > 0 && words[place - 1] == "!";
        words.get(place + 1).copied().filter(|_| !negated)
    };
    let jump = value(&["-j", "--jump"]);
    let is_of_others = words.first() == Some(&"-A") && words.get(1) != Some(&"OUTPUT");
    if !is_of_others || !matches!(jump, Some("DNAT" | "REDIRECT")) {
        return Vec::new();
    }
    let target = value(&["--to-destination", "--to-ports"]);
    let (Some(transport), Some(ports), Some(target)) = (
        value(&["-p", "--protocol"]).and_then(Transport::from_name),
        value(&["--dport", "--dports", "--destination-port"]),
        target,
    ) else {
        return Vec::new();
    };
    let address = value(&["-d", "--destination"]).and_then(|text| {
        let (address, _length) = text.split_once('/').unwrap_or((text, ""));
        address.parse::<IpAddr>().ok()
    });
    let port_there = target.rsplit(':').next().and_then(|port| port.parse().ok());
    ports
        .split(',')
        .filter_map(range)
        .map(|ports| Published {
            transport,
            ports,
            address,
            target: target.to_owned(),
            target_port: port_there,
            by: Publisher::Iptables,
        })
        .collect()
}

/// `80` or `8000:8010`
fn range(text: &str) -> Option<PortRange> {
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    Some(PortRange {
        low: low.parse().ok()?,
        high: high.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<String> {
        let own = |own: &Published| {
            let at = own.address.map_or(String::new(), |own| format!("{own} "));
            format!("{at}{}/{} -> {}", own.ports, own.transport, own.target)
        };
        read(line).iter().map(own).collect()
    }

    #[test]
    fn rules_that_change_destinations_are_read() {
        for (line, expected) in [
            (
                "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
                vec!["8080/tcp -> 172.17.0.2:80"],
            ),
            (
                "-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.3:5432",
                vec!["127.0.0.1 5432/tcp -> 172.17.0.3:5432"],
            ),
            (
                "-A PREROUTING -i eth0 -p udp -m multiport --dports 53,5000:5010 -j REDIRECT --to-ports 5353",
                vec!["53/udp -> 5353", "5000-5010/udp -> 5353"],
            ),
            (
                "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
                vec![],
            ),
            (
                "-A PREROUTING -p tcp -m tcp ! --dport 22 -j DNAT --to-destination 10.0.0.1",
                vec![],
            ),
            (
                "-A OUTPUT -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1",
                vec![],
            ),
            (":DOCKER - [0:0]", vec![]),
            (
                "-A DOCKER -p tcp --dport x -j DNAT --to-destination 10.0.0.1",
                vec![],
            ),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }
}
