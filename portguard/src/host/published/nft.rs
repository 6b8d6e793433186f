//! What `nft --json list ruleset` prints (libnftables-json(5)).

use std::net::IpAddr;

use portguard_policy::{PortRange, Transport};
use serde_json::Value;

use super::{Published, Publisher};

/// The rules that change the destination of a port.
pub(super) fn read(text: &str) -> Vec<Published> {
    let Ok(ruleset) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let objects = ruleset["nftables"].as_array();
    let rules = objects.into_iter().flatten().map(|own| &own["rule"]);
    rules.flat_map(rule).collect()
}

fn rule(rule: &Value) -> Vec<Published> {
    let statements: Vec<&Value> = rule["expr"].as_array().into_iter().flatten().collect();
    let changed = statements.iter().find_map(|own| {
        ["dnat", "redirect"]
            .iter()
            .find_map(|verb| own.get(*verb).map(|target| (*verb, target)))
    });
    let Some((verb, target)) = changed else {
        return Vec::new();
    };
    let mut ports: Vec<(Transport, PortRange)> = Vec::new();
    let mut address = None;
    let mut protocol = None;
    for statement in &statements {
        let own = &statement["match"];
        if own["op"] != "==" {
            continue;
        }
        match (
            of_payload(&own["left"]),
            own["left"]["meta"]["key"].as_str(),
        ) {
            (Some(("ip" | "ip6", "daddr")), _) => {
                let text = own["right"].as_str();
                address = text.and_then(|own| own.parse::<IpAddr>().ok());
            }
            (Some(("ip", "protocol") | ("ip6", "nexthdr")), _) | (None, Some("l4proto")) => {
                protocol = own["right"].as_str().and_then(Transport::from_name);
            }
            (Some((name, "dport")), _) => {
                ports.extend(both(name, protocol, ranges(&own["right"])));
            }
            _ => {}
        }
    }
    // `dnat to tcp dport map { 8080 : 172.18.0.2 . 80 }` says the port where it says the target.
    for part in ["addr", "port"] {
        let map = &target[part]["map"];
        if let Some((name, "dport")) = of_payload(&map["key"]) {
            let pairs = map["data"]["set"].as_array().into_iter().flatten();
            let keys = pairs.flat_map(|pair| ranges(&pair[0]));
            ports.extend(both(name, protocol, keys.collect()));
        }
    }
    ports.sort_unstable();
    ports.dedup();
    let port_there = target["port"]
        .as_u64()
        .and_then(|port| port.try_into().ok());
    let text = described(verb, target);
    ports
        .into_iter()
        .map(|(transport, ports)| Published {
            transport,
            ports,
            address,
            target: text.clone(),
            target_port: port_there,
            by: Publisher::Nftables,
        })
        .collect()
}

/// The protocol and the field of a payload expression.
fn of_payload(expression: &Value) -> Option<(&str, &str)> {
    let payload = &expression["payload"];
    Some((payload["protocol"].as_str()?, payload["field"].as_str()?))
}

/// Each with its protocol; `th` is any protocol with ports, unless the rule says which.
fn both(
    name: &str,
    protocol: Option<Transport>,
    ranges: Vec<PortRange>,
) -> Vec<(Transport, PortRange)> {
    let transports = match (Transport::from_name(name), protocol) {
        (Some(own), _) | (None, Some(own)) => vec![own],
        (None, None) => vec![Transport::Tcp, Transport::Udp],
    };
    let each = |own: Transport| ranges.iter().map(move |range| (own, *range));
    transports.into_iter().flat_map(each).collect()
}

/// Ports as a number, a range, or a set of these.
fn ranges(value: &Value) -> Vec<PortRange> {
    let port = |own: &Value| own.as_u64().and_then(|own| u16::try_from(own).ok());
    if let Some(own) = port(value) {
        return vec![PortRange {
            low: own,
            high: own,
        }];
    }
    if let [low, high] = value["range"].as_array().map_or(&[][..], Vec::as_slice) {
        return match (port(low), port(high)) {
            (Some(low), Some(high)) => vec![PortRange { low, high }],
            _ => Vec::new(),
        };
    }
    let members = value["set"].as_array().into_iter().flatten();
    members.flat_map(ranges).collect()
}

fn described(verb: &str, target: &Value) -> String {
    let port = target["port"].as_u64();
    match (verb, target["addr"].as_str(), port) {
        (_, Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (_, Some(address), Some(port)) => format!("{address}:{port}"),
        (_, Some(address), None) => address.to_owned(),
        ("redirect", None, Some(port)) => format!("port {port} of this host"),
        _ => "where a map of nftables says".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(expr: Value) -> Vec<String> {
        let ruleset = json!({ "nftables": [
            { "metainfo": { "version": "1.0.6" } },
            { "rule": { "family": "ip", "table": "nat", "chain": "pre", "expr": expr } },
        ] });
        let own = |own: &Published| {
            let at = own.address.map_or(String::new(), |own| format!("{own} "));
            format!("{at}{}/{} -> {}", own.ports, own.transport, own.target)
        };
        read(&ruleset.to_string()).iter().map(own).collect()
    }

    fn field(protocol: &str, field: &str, right: Value) -> Value {
        let left = json!({ "payload": { "protocol": protocol, "field": field } });
        json!({ "match": { "op": "==", "left": left, "right": right } })
    }

    #[test]
    fn rules_that_change_destinations_are_read() {
        let dnat = json!({ "dnat": { "addr": "172.18.0.2", "port": 80 } });
        assert_eq!(
            told(json!([field("tcp", "dport", json!(8080)), dnat])),
            ["8080/tcp -> 172.18.0.2:80"]
        );
        let address = field("ip", "daddr", json!("192.0.2.1"));
        let set = json!({ "set": [53, { "range": [5000, 5010] }] });
        assert_eq!(
            told(json!([address, field("udp", "dport", set), { "redirect": { "port": 5353 } }])),
            [
                "192.0.2.1 53/udp -> port 5353 of this host",
                "192.0.2.1 5000-5010/udp -> port 5353 of this host"
            ]
        );
        let protocol = json!({ "match": { "op": "==", "left": { "meta": { "key": "l4proto" } }, "right": "tcp" } });
        assert_eq!(
            told(
                json!([protocol, field("th", "dport", json!(80)), { "dnat": { "addr": "10.0.0.2" } }])
            ),
            ["80/tcp -> 10.0.0.2"]
        );
    }

    #[test]
    fn a_map_says_the_ports_too() {
        let key = json!({ "payload": { "protocol": "tcp", "field": "dport" } });
        let pairs = json!({ "set": [[8080, "172.18.0.2"], [8443, "172.18.0.3"]] });
        let dnat = json!({ "dnat": { "addr": { "map": { "key": key, "data": pairs } } } });
        assert_eq!(
            told(json!([dnat])),
            [
                "8080/tcp -> where a map of nftables says",
                "8443/tcp -> where a map of nftables says"
            ]
        );
    }

    #[test]
    fn other_rules_publish_nothing() {
        assert!(told(json!([field("tcp", "dport", json!(22)), { "accept": null }])).is_empty());
        assert!(told(json!([{ "masquerade": null }])).is_empty());
        assert!(read("no JSON").is_empty());
    }
}
