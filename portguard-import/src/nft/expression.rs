//! What a rule asks of a packet: a field, and the values that it is held against.

use std::net::IpAddr;

use serde_json::Value;

use super::names;
use crate::interfaces::Interfaces;
use crate::iptables::address_type;
use crate::model::{FlagKind, FlagTest, States, flag};
use crate::protocols;
use crate::ranges::Ranges;
use crate::region::{Addresses, LAST_KIND, LAST_PORT, Region, WITH_PORTS};

/// Something that a packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    From,
    To,
    /// Of IPv4, of IPv6 or of both.
    Protocol(Option<Family>),
    Family,
    /// The interface.
    Interface,
    /// Of one protocol, or of all that have ports.
    SourcePort(Option<u8>),
    Port(Option<u8>),
    IcmpType(Family),
    IcmpCode(Family),
    HopLimit(Family),
    State,
    Flags,
    /// Local, multicast, broadcast.
    ToType,
    FromType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// What a condition means.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Region(Box<Region>),
    States(States),
    /// Discovery of neighbours that no router has forwarded: the kernel asks for it itself.
    HopLimit255,
}

/// The field of a left side; else what it is in words.
pub(super) fn field(left: &Value) -> Result<Field, String> {
    let unknown = || format!("`{}`", super::text::expression(left));
    if let Some(payload) = left.get("payload") {
        let own = (payload["protocol"].as_str(), payload["field"].as_str());
        let (Some(protocol), Some(name)) = own else {
            return Err(unknown());
        };
        return Ok(match (protocol, name) {
            ("ip" | "ip6", "saddr") => Field::From,
            ("ip" | "ip6", "daddr") => Field::To,
            ("ip", "protocol") => Field::Protocol(Some(Family::V4)),
            ("ip6", "nexthdr") => Field::Protocol(Some(Family::V6)),
            ("ip", "version") => Field::Family,
            ("ip", "ttl") => Field::HopLimit(Family::V4),
            ("ip6", "hoplimit") => Field::HopLimit(Family::V6),
            ("th", "sport") => Field::SourcePort(None),
            ("th", "dport") => Field::Port(None),
            ("tcp" | "udp" | "sctp", "sport") => Field::SourcePort(protocols::number_of(protocol)),
            ("tcp" | "udp" | "sctp", "dport") => Field::Port(protocols::number_of(protocol)),
            ("tcp", "flags") => Field::Flags,
            ("icmp", "type") => Field::IcmpType(Family::V4),
            ("icmp", "code") => Field::IcmpCode(Family::V4),
            ("icmpv6", "type") => Field::IcmpType(Family::V6),
            ("icmpv6", "code") => Field::IcmpCode(Family::V6),
            _ => return Err(unknown()),
        });
    }
    if let Some(meta) = left.get("meta") {
        return Ok(match meta["key"].as_str() {
            Some("l4proto") => Field::Protocol(None),
            Some("nfproto" | "protocol") => Field::Family,
            Some("iif" | "iifname") => Field::Interface,
            _ => return Err(unknown()),
        });
    }
    if let Some(ct) = left.get("ct") {
        return match (ct["key"].as_str(), ct.get("dir")) {
            (Some("state"), None) => Ok(Field::State),
            _ => Err(unknown()),
        };
    }
    if let Some(fib) = left.get("fib") {
        let flags = match &fib["flags"] {
            Value::Array(flags) => flags.iter().filter_map(Value::as_str).collect(),
            flag => Vec::from_iter(flag.as_str()),
        };
        return match (fib["result"].as_str(), &flags[..]) {
            (Some("type"), ["daddr"]) => Ok(Field::ToType),
            (Some("type"), ["saddr"]) => Ok(Field::FromType),
            _ => Err(unknown()),
        };
    }
    Err(unknown())
}

/// A field against any of some values, or against none of them.
pub(super) fn condition(
    field: Field,
    values: &[Value],
    inverted: bool,
) -> Result<Condition, String> {
    let odd = |value: &Value| format!("`{}`", super::text::expression(value));
    let ranges = |number: &dyn Fn(&Value) -> Option<u128>, last: u128| -> Result<Ranges, String> {
        let mut all = Vec::new();
        for value in values {
            all.push(range(value, number).ok_or_else(|| odd(value))?);
        }
        let all = Ranges::new(all);
        Ok(if inverted { all.complement(last) } else { all })
    };
    let names = || -> Result<Vec<String>, String> {
        values
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| odd(value)))
            .collect()
    };
    let all = Region::all();
    let region = match field {
        Field::From => all.with_from(addresses(values, inverted)?),
        Field::To => all.with_to(addresses(values, inverted)?),
        Field::Protocol(family) => {
            let number = |value: &Value| -> Option<u128> {
                let named = value
                    .as_str()
                    .and_then(protocols::number_of)
                    .map(u128::from);
                named.or_else(|| number(value))
            };
            let own = all.with_protocols(ranges(&number, u8::MAX.into())?);
            of_family(own, family)
        }
        Field::Family => {
            let mut own = [false; 2];
            for value in values {
                match value.as_str() {
                    Some("ipv4" | "ip") => own[0] = true,
                    Some("ipv6" | "ip6") => own[1] = true,
                    _ if value == 4 => own[0] = true,
                    _ if value == 6 => own[1] = true,
                    _ => return Err(odd(value)),
                }
            }
            match own.map(|is_named| is_named != inverted) {
                [true, true] => all,
                [true, false] => all.of_v4(),
                [false, true] => all.of_v6(),
                [false, false] => all.of_v4().of_v6(),
            }
        }
        Field::Interface => {
            let names = names()?;
            let own = if inverted {
                Interfaces::not(names)
            } else {
                Interfaces::only(names)
            };
            all.with_interfaces(own)
        }
        Field::SourcePort(protocol) => {
            with_ports(protocol).with_source_ports(ranges(&number, LAST_PORT)?)
        }
        Field::Port(protocol) => with_ports(protocol).with_ports(ranges(&number, LAST_PORT)?),
        Field::IcmpType(family) => {
            let number = |value: &Value| -> Option<u128> {
                let name = value.as_str();
                let named = match family {
                    Family::V4 => name.and_then(names::icmp_type),
                    Family::V6 => name.and_then(names::icmpv6_type),
                };
                named.map(u128::from).or_else(|| number(value))
            };
            let kinds = ranges(&number, u8::MAX.into())?;
            let kinds = Ranges::new(kinds.iter().map(|(low, high)| (low << 8, high << 8 | 0xff)));
            icmp(family, kinds)
        }
        Field::IcmpCode(family) => {
            let number = |value: &Value| -> Option<u128> {
                let name = value.as_str();
                let named = match family {
                    Family::V4 => name.and_then(names::icmp_code),
                    Family::V6 => name.and_then(names::icmpv6_code),
                };
                named.map(u128::from).or_else(|| number(value))
            };
            let codes = ranges(&number, u8::MAX.into())?;
            let kinds = (0..=255_u128).flat_map(|kind| {
                codes
                    .iter()
                    .map(move |(low, high)| (kind << 8 | low, kind << 8 | high))
            });
            icmp(family, Ranges::new(kinds))
        }
        Field::HopLimit(Family::V6) if !inverted && matches!(values, [value] if value == 255) => {
            return Ok(Condition::HopLimit255);
        }
        Field::HopLimit(_) => return Err("a hop limit".into()),
        Field::State => {
            let mut states = States::NONE;
            for value in values {
                for name in words(value).ok_or_else(|| odd(value))? {
                    states = states.union(States::from_name(&name).ok_or_else(|| odd(value))?);
                }
            }
            let states = if inverted {
                states.complement()
            } else {
                states
            };
            return Ok(Condition::States(states));
        }
        Field::Flags => return Err("a set of TCP flags".into()),
        Field::ToType => all.with_to(types(&names()?, inverted)?),
        Field::FromType => all.with_from(types(&names()?, inverted)?),
    };
    Ok(Condition::Region(Box::new(region)))
}

/// `tcp flags` in its forms: `flags & mask == value`, `flags == value`, and `flags value`, which is any of the bits.
pub(super) fn flags(mask: Option<&Value>, operator: &str, right: &Value) -> Option<FlagTest> {
    let bits = |value: &Value| -> Option<u8> {
        if let Some(number) = value.as_u64() {
            return u8::try_from(number).ok();
        }
        words(value)?
            .iter()
            .try_fold(0, |all, name| Some(all | flag(name)?))
    };
    let mask = match mask {
        Some(mask) => bits(mask)?,
        None => 0xff,
    };
    let kind = if matches!(operator, "in" | "!") {
        FlagKind::Any
    } else {
        FlagKind::Equal
    };
    Some(FlagTest {
        mask,
        value: bits(right)?,
        kind,
        inverted: matches!(operator, "!=" | "!"),
    })
}

/// Names in a list, or with `|` between them.
pub(super) fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => {
            let names: Option<Vec<Vec<String>>> = names.iter().map(words).collect();
            Some(names?.concat())
        }
        Value::Object(object) => words(object.get("|").or_else(|| object.get("set"))?),
        _ => None,
    }
}

fn of_family(region: Region, family: Option<Family>) -> Region {
    match family {
        None => region,
        Some(Family::V4) => region.of_v4(),
        Some(Family::V6) => region.of_v6(),
    }
}

fn icmp(family: Family, kinds: Ranges) -> Region {
    let kinds = kinds.intersect(&Ranges::up_to(LAST_KIND));
    match family {
        Family::V4 => Region::icmp(kinds),
        Family::V6 => Region::icmpv6(kinds),
    }
}

fn with_ports(protocol: Option<u8>) -> Region {
    let protocols = match protocol {
        Some(number) => Ranges::one(number.into()),
        None => Ranges::new(WITH_PORTS.map(|number| (number.into(), number.into()))),
    };
    Region::all().with_protocols(protocols)
}

fn types(names: &[String], inverted: bool) -> Result<Addresses, String> {
    let mut all = Addresses::none();
    for name in names {
        let own = address_type(name).ok_or_else(|| format!("an address of the type {name}"))?;
        all = all.union(&own);
    }
    Ok(if inverted { all.complement() } else { all })
}

fn number(value: &Value) -> Option<u128> {
    match value {
        Value::Number(number) => number.as_u64().map(u128::from),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn range(value: &Value, number: &dyn Fn(&Value) -> Option<u128>) -> Option<(u128, u128)> {
    match value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([low, high]) => Some((number(low)?, number(high)?)),
        Some(_) => None,
        None => number(value).map(|own| (own, own)),
    }
}

fn addresses(values: &[Value], inverted: bool) -> Result<Addresses, String> {
    let mut all = Addresses::none();
    for value in values {
        let own = one_address(value);
        let own = own.ok_or_else(|| format!("`{}`", super::text::expression(value)))?;
        all = all.union(&own);
    }
    Ok(if inverted { all.complement() } else { all })
}

fn one_address(value: &Value) -> Option<Addresses> {
    let parse = |value: &Value| -> Option<IpAddr> { value.as_str()?.parse().ok() };
    if let Some(prefix) = value.get("prefix") {
        let length = u32::try_from(prefix["len"].as_u64()?).ok()?;
        return Addresses::prefix(parse(&prefix["addr"])?, length);
    }
    match value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([first, last]) => Addresses::range(parse(first)?, parse(last)?),
        Some(_) => None,
        None => {
            let address = parse(value)?;
            Addresses::range(address, address)
        }
    }
}
