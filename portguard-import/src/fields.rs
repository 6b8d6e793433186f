//! A region as the fields of rules of portguard: as few rules as it takes, and what they cannot say.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ranges::{Ranges, prefixes};
use crate::region::{
    Addresses, ICMP, ICMPV6, LAST_KIND, LAST_PORT, LAST_V4, LAST_V6, Region, SCTP, TCP, UDP,
    WITH_PORTS,
};

/// The conditions of one rule, each as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) protocol: Vec<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) source_ports: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) interfaces: Vec<String>,
}

/// A part of a region that no rule can say, and why.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) region: Region,
    pub(crate) reason: String,
}

/// The rules that match just what a region holds, but for what is lost. `guarded` is everything that may arrive.
pub(crate) fn fields(region: &Region, guarded: &Region) -> (Vec<Fields>, Vec<Lost>) {
    let mut lost = Vec::new();
    let mut common = Fields {
        from: addresses(&region.from),
        to: addresses(&region.to),
        ..Fields::default()
    };
    let whole_family = common.from.is_empty() && common.to.is_empty();
    let one_family = region.has_v4() != region.has_v6();
    if whole_family && one_family {
        let all = if region.has_v4() { "0.0.0.0/0" } else { "::/0" };
        common.from.push(all.to_owned());
    }
    match region.interfaces.patterns() {
        _ if region.interfaces.covers(&guarded.interfaces) => {}
        Ok(Some(patterns)) => common.interfaces = patterns.into_iter().map(str::to_owned).collect(),
        Ok(None) => {}
        Err(but) => {
            let reason = format!(
                "every interface but `{}`: name those that are to be guarded by `--interface`",
                but.join("`, `")
            );
            let region = region.clone();
            return (Vec::new(), vec![Lost { region, reason }]);
        }
    }
    if region.protocols == Region::all().protocols && !region.tells_ports() {
        common.protocol.push("any".into());
        return (vec![common], lost);
    }
    let mut rules = Vec::new();
    rules.extend(transports(region, &common, &mut lost));
    rules.extend(others(region, &common, whole_family));
    (rules, lost)
}

fn transports(region: &Region, common: &Fields, lost: &mut Vec<Lost>) -> Option<Fields> {
    let numbers = WITH_PORTS.map(|number| Ranges::one(number.into()));
    let all = numbers
        .iter()
        .fold(Ranges::EMPTY, |all, one| all.union(one));
    let meant = region.protocols.intersect(&all);
    if meant.is_empty() {
        return None;
    }
    let mut own = common.clone();
    let name = |number: u128| match number as u8 {
        TCP => "tcp",
        UDP => "udp",
        SCTP => "sctp",
        _ => "",
    };
    own.protocol = meant
        .numbers()
        .map(|number| name(number).to_owned())
        .collect();
    let here = region.clone().with_protocols(meant);
    let zero = Ranges::one(0);
    for (ports, is_source) in [(&region.ports, false), (&region.source_ports, true)] {
        let text = if *ports == Ranges::up_to(LAST_PORT) {
            None
        } else {
            let named = ports.intersect(&zero.complement(LAST_PORT));
            if named != *ports {
                let region = match is_source {
                    true => here.clone().with_source_ports(zero.clone()),
                    false => here.clone().with_ports(zero.clone()),
                };
                let reason = "port 0, which no rule of portguard can name".into();
                lost.push(Lost { region, reason });
            }
            if named.is_empty() {
                return None;
            }
            Some(named.iter().map(range).collect())
        };
        match (text, is_source) {
            (None, true) => {}
            (None, false) => own.ports.push("any".into()),
            (Some(text), true) => own.source_ports = text,
            (Some(text), false) => own.ports = text,
        }
    }
    Some(own)
}

fn others(region: &Region, common: &Fields, whole_family: bool) -> Vec<Fields> {
    let mut rules = Vec::new();
    let all = Ranges::up_to(LAST_KIND);
    let mut rest = region.protocols.clone();
    for number in WITH_PORTS {
        rest = rest.intersect(&Ranges::one(number.into()).complement(u8::MAX.into()));
    }
    for (number, name, kinds, is_there) in [
        (ICMP, "icmp", &region.icmp, region.has_v4()),
        (ICMPV6, "icmpv6", &region.icmpv6, region.has_v6()),
    ] {
        if !is_there || *kinds == all || !rest.holds(number.into()) {
            continue;
        }
        rest = rest.intersect(&Ranges::one(number.into()).complement(u8::MAX.into()));
        let mut own = common.clone();
        if whole_family {
            // The protocol says the family.
            own.from.clear();
        }
        own.protocol.push(name.into());
        own.types = types(kinds);
        rules.push(own);
    }
    if rest.is_empty() {
        return rules;
    }
    let mut own = common.clone();
    // Types of ICMP have been said; a name is of one family, a number of both.
    let name = |number: u128| match (number as u8, region.has_v4(), region.has_v6()) {
        (ICMP, true, false) => "icmp".to_owned(),
        (ICMPV6, false, true) => "icmpv6".to_owned(),
        (2, ..) => "igmp".to_owned(),
        (47, ..) => "gre".to_owned(),
        (50, ..) => "esp".to_owned(),
        (number, ..) => number.to_string(),
    };
    own.protocol = rest.numbers().map(name).collect();
    let named = [["icmp"], ["icmpv6"]]
        .iter()
        .any(|own_name| own.protocol == *own_name);
    if named && whole_family {
        own.from.clear();
    }
    rules.push(own);
    rules
}

fn types(kinds: &Ranges) -> Vec<String> {
    let mut found = Vec::new();
    for kind in 0..=255_u128 {
        let codes = kinds.intersect(&Ranges::new([(kind << 8, kind << 8 | 0xff)]));
        if codes == Ranges::new([(kind << 8, kind << 8 | 0xff)]) {
            found.push(kind.to_string());
        } else {
            found.extend(
                codes
                    .numbers()
                    .map(|code| format!("{kind}/{}", code & 0xff)),
            );
        }
    }
    found
}

fn range((low, high): (u128, u128)) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low}-{high}")
    }
}

/// No address for no condition within the families that are meant.
fn addresses(own: &Addresses) -> Vec<String> {
    let is_all = |ranges: &Ranges, last| ranges.is_empty() || *ranges == Ranges::up_to(last);
    if is_all(&own.v4, LAST_V4) && is_all(&own.v6, LAST_V6) {
        return Vec::new();
    }
    let v4 = own
        .v4
        .iter()
        .flat_map(|(low, high)| prefixes(low, high, 32));
    let v6 = own
        .v6
        .iter()
        .flat_map(|(low, high)| prefixes(low, high, 128));
    let written = |address: String, length: u32, bits: u32| match length {
        _ if length == bits => address,
        _ => format!("{address}/{length}"),
    };
    v4.map(|(first, length)| written(Ipv4Addr::from(first as u32).to_string(), length, 32))
        .chain(v6.map(|(first, length)| written(Ipv6Addr::from(first).to_string(), length, 128)))
        .collect()
}
