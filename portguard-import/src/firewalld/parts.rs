//! What zones name: services, sets of addresses, protocols, ports, sources.

use std::collections::BTreeMap;
use std::net::IpAddr;

use roxmltree::Node;

use super::File;
use crate::error::ImportError;
use crate::finding::Finding;
use crate::model::Rule;
use crate::protocols;
use crate::ranges::Ranges;
use crate::region::{Addresses, Region, SCTP, TCP, UDP};

/// Services and sets by name, and what is told on the way.
#[derive(Default)]
pub(super) struct Parts<'d> {
    services: BTreeMap<String, File<'d>>,
    sets: BTreeMap<String, Option<Addresses>>,
    pub(super) findings: Vec<Finding>,
}

impl<'d> Parts<'d> {
    pub(super) fn add_service(&mut self, id: &str, file: File<'d>) -> Result<(), ImportError> {
        self.services.entry(id.to_owned()).or_insert(file);
        Ok(())
    }

    pub(super) fn add_set(&mut self, id: &str, file: File<'d>) -> Result<(), ImportError> {
        let root = file.document.root_element();
        let kind = file.attribute(&root, "type")?;
        let mut all = Some(Addresses::none());
        if !matches!(kind, "hash:ip" | "hash:net") {
            all = None;
        }
        for node in file.elements() {
            if node.has_tag_name("option") && node.attribute("name") == Some("timeout") {
                all = None;
            }
            if node.has_tag_name("entry")
                && let Some(known) = &all
            {
                let text = node.text().unwrap_or_default().trim();
                let own = addresses(text).ok_or_else(|| {
                    file.error(&node, format!("`{text}` is no address and no prefix"))
                })?;
                all = Some(known.union(&own));
            }
        }
        self.sets.entry(id.to_owned()).or_insert(all);
        Ok(())
    }

    /// The packets to a service.
    pub(super) fn service(
        &self,
        file: &File<'_>,
        node: &Node<'_, '_>,
        name: &str,
    ) -> Result<Vec<Region>, ImportError> {
        let mut regions = Vec::new();
        let mut open = vec![name.to_owned()];
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = open.pop() {
            if seen.contains(&name) {
                continue;
            }
            let Some(own) = self.services.get(&name) else {
                let message = format!(
                    "the service `{name}` is not known: its file is not in /usr/lib/firewalld/services here, nor in `services` beside the zones"
                );
                return Err(file.error(node, message));
            };
            seen.push(name);
            let mut region = Region::all();
            for part in own
                .elements()
                .filter(|part| part.has_tag_name("destination"))
            {
                let mut all = Addresses::none();
                for family in ["ipv4", "ipv6"] {
                    if let Some(text) = part.attribute(family) {
                        let one = addresses(text)
                            .ok_or_else(|| own.error(&part, format!("`{text}` is no address")))?;
                        all = all.union(&one);
                    }
                }
                region = region.with_to(all);
            }
            for part in own.elements() {
                match part.tag_name().name() {
                    "include" => open.push(own.attribute(&part, "service")?.to_owned()),
                    _ => {
                        let part = element(own, &part)?;
                        regions.extend(part.into_iter().filter_map(|part| part.intersect(&region)));
                    }
                }
            }
        }
        Ok(regions)
    }

    /// Adds `<source>` or `<destination>` to a rule; `false` if nothing is left.
    pub(super) fn source(
        &self,
        file: &File<'_>,
        node: &Node<'_, '_>,
        rule: &mut Rule,
    ) -> Result<bool, ImportError> {
        let invert = matches!(
            node.attribute("invert"),
            Some("true" | "True" | "yes" | "1")
        );
        let is_from = node.has_tag_name("source");
        let all =
            if let Some(text) = node.attribute("address") {
                Some(addresses(text).ok_or_else(|| {
                    file.error(node, format!("`{text}` is no address and no prefix"))
                })?)
            } else if let Some(name) = node.attribute("ipset") {
                let set = self.sets.get(name);
                set.ok_or_else(|| file.error(node, format!("the set `{name}` is not known")))?
                    .clone()
            } else {
                None
            };
        let Some(all) = all else {
            rule.unknown.push(format!("`{}`", file.origin(node).text));
            return Ok(true);
        };
        let all = if invert { all.complement() } else { all };
        let region = if is_from {
            Region::all().with_from(all)
        } else {
            Region::all().with_to(all)
        };
        Ok(rule.narrow(&region))
    }
}

/// `<port>`, `<source-port>` and `<protocol>`, which zones, services and rules have alike; none for anything else.
pub(super) fn element(file: &File<'_>, node: &Node<'_, '_>) -> Result<Option<Region>, ImportError> {
    let tag = node.tag_name().name();
    if tag == "protocol" {
        let name = file.attribute(node, "value")?;
        let number = protocol(name).ok_or_else(|| {
            file.error(
                node,
                format!("the protocol `{name}` is not known here; write its number"),
            )
        })?;
        return Ok(Some(Region::protocol(number)));
    }
    if !matches!(tag, "port" | "source-port") {
        return Ok(None);
    }
    let name = file.attribute(node, "protocol")?;
    let number = protocol(name)
        .ok_or_else(|| file.error(node, format!("`{name}` is no protocol with ports")))?;
    let text = node.attribute("port").unwrap_or_default();
    if text.is_empty() {
        return Ok(Some(Region::protocol(number)));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let ends = low.parse::<u16>().ok().zip(high.parse::<u16>().ok());
    let Some((low, high)) = ends else {
        return Err(file.error(
            node,
            format!("`{text}` is no port and no range; write numbers"),
        ));
    };
    if ![TCP, UDP, SCTP].contains(&number) {
        return Err(file.error(
            node,
            format!("portguard reads no ports of `{name}`: take this out"),
        ));
    }
    let ports = Ranges::new([(low.into(), high.into())]);
    let region = Region::protocol(number);
    Ok(Some(match tag {
        "port" => region.with_ports(ports),
        _ => region.with_source_ports(ports),
    }))
}

/// By name or number.
fn protocol(name: &str) -> Option<u8> {
    protocols::number_of(name).or_else(|| name.parse().ok())
}

/// An address or a prefix; of IPv4 also with a netmask.
fn addresses(text: &str) -> Option<Addresses> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let length = match mask {
        None if address.is_ipv4() => 32,
        None => 128,
        Some(mask) => match mask.parse::<u32>() {
            Ok(length) => length,
            Err(_) => u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?).leading_ones(),
        },
    };
    Addresses::prefix(address, length)
}
