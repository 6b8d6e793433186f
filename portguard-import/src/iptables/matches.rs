//! A rule: its matches and its target.

use std::rc::Rc;

use super::rates::{Limits, Recent};
use super::values::{address_type, kinds, kinds_v6, prefix, protocol};
use super::words::Word;
use super::{Family, key};
use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::interfaces::Interfaces;
use crate::model::{FlagKind, FlagTest, Origin, Rule, States, Verdict, flag};
use crate::ranges::Ranges;
use crate::region::{Addresses, LAST_KIND, LAST_PORT, Region, SCTP, TCP, UDP};

/// What a line says.
pub(super) struct Read {
    /// None where no packet can match; several where it takes them.
    pub(super) rules: Vec<Rule>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn rules(
    words: Vec<Word>,
    family: Family,
    table: &str,
    origin: &Rc<Origin>,
) -> Result<Read, ImportError> {
    let mut reader = Reader {
        words,
        next: 0,
        family,
        table,
        origin,
        rule: Rule::new(origin, Verdict::Continue),
        is_possible: true,
        either_port: None,
        limits: Limits::default(),
        recent: Recent::default(),
        in_target: false,
        routes_old: false,
        findings: Vec::new(),
    };
    reader.narrow(family.region());
    reader.read()?;
    reader.finish()
}

pub(super) struct Reader<'o> {
    words: Vec<Word>,
    next: usize,
    pub(super) family: Family,
    table: &'o str,
    pub(super) origin: &'o Rc<Origin>,
    pub(super) rule: Rule,
    pub(super) is_possible: bool,
    /// `--ports` of multiport: source or destination.
    either_port: Option<Ranges>,
    pub(super) limits: Limits,
    pub(super) recent: Recent,
    /// What is not known belongs to the target, until a match is named again.
    in_target: bool,
    /// Routing headers of type 0 are meant, which the kernel drops by itself (RFC 5095).
    routes_old: bool,
    pub(super) findings: Vec<Finding>,
}

pub(super) type Step<T = ()> = Result<T, ImportError>;

impl Reader<'_> {
    fn read(&mut self) -> Step {
        while let Some(word) = self.words.get(self.next).cloned() {
            self.next += 1;
            let inverted = word.text == "!";
            let option = if inverted {
                let Some(word) = self.words.get(self.next).cloned() else {
                    return self.wrong(&word, "`!` has nothing behind it");
                };
                self.next += 1;
                word
            } else {
                word
            };
            self.option(&option, inverted)?;
        }
        Ok(())
    }

    fn option(&mut self, option: &Word, inverted: bool) -> Step {
        match option.text.as_str() {
            // The options of a match say what it is.
            "-m" | "--match" => {
                let name = self.value(option)?;
                self.in_target = false;
                let simple = ["socket", "ecn", "rpfilter"];
                if simple.contains(&name.text.as_str()) {
                    self.unknown(format!("what the match `{}` tells", name.text));
                }
            }
            "-p" | "--protocol" => {
                let name = self.value(option)?;
                let number = protocol(&name.text);
                let Some(number) = number else {
                    return self.wrong(&name, "this is no protocol that is known here");
                };
                if let Some(number) = number {
                    let one = Ranges::one(number.into());
                    let own = if inverted {
                        one.complement(u8::MAX.into())
                    } else {
                        one
                    };
                    self.narrow(Region::all().with_protocols(own));
                }
            }
            "-s" | "--source" => self.addresses(option, inverted, Region::with_from)?,
            "-d" | "--destination" => self.addresses(option, inverted, Region::with_to)?,
            "--src-range" => self.address_range(option, inverted, Region::with_from)?,
            "--dst-range" => self.address_range(option, inverted, Region::with_to)?,
            "-i" | "--in-interface" => {
                let name = self.value(option)?.text;
                let name = match name.strip_suffix('+') {
                    Some(beginning) => format!("{beginning}*"),
                    None => name,
                };
                let own = if inverted {
                    Interfaces::not([name])
                } else {
                    Interfaces::only([name])
                };
                self.narrow(Region::all().with_interfaces(own));
            }
            "-o" | "--out-interface" => {
                self.value(option)?;
                self.unknown("where a packet leaves".into());
            }
            "--sport" | "--source-port" | "--sports" | "--source-ports" => {
                let ports = self.ports(option, inverted)?;
                self.narrow_ports(&Region::all().with_source_ports(ports));
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                let ports = self.ports(option, inverted)?;
                self.narrow_ports(&Region::all().with_ports(ports));
            }
            "--ports" => self.either_port = Some(self.ports(option, inverted)?),
            "--syn" => self.flags(0x17, 0x02, inverted),
            "--tcp-flags" => {
                let mask = self.flag_list(option)?;
                let value = self.flag_list(option)?;
                self.flags(mask, value, inverted);
            }
            "--state" | "--ctstate" => self.states(option, inverted)?,
            "--icmp-type" => self.icmp(option, inverted, Family::V4)?,
            "--icmpv6-type" => self.icmp(option, inverted, Family::V6)?,
            "--src-type" => self.address_type(option, inverted, Region::with_from)?,
            "--dst-type" => self.address_type(option, inverted, Region::with_to)?,
            "--hl-eq" | "--ttl-eq" => {
                let value = self.value(option)?;
                self.hop_limit(&value.text, inverted);
            }
            "-f" | "--fragment" => {
                // The kernel puts packets together before it asks the rules for what the host gets.
                if !inverted {
                    self.unknown("fragments as such".into());
                }
            }
            "--rt-type" => {
                let value = self.value(option)?;
                self.routes_old = value.text == "0" && !inverted;
                if !self.routes_old {
                    self.unknown("a routing header".into());
                }
            }
            "--comment" => {
                self.value(option)?;
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                let target = self.value(option)?;
                self.target(
                    &target,
                    option.text.starts_with("-g") || option.text == "--goto",
                );
            }
            other if other.starts_with("--limit") || other.starts_with("--hashlimit") => {
                self.limit(option, inverted)?;
            }
            "--set" | "--update" | "--rcheck" | "--seconds" | "--hitcount" | "--name"
            | "--mask" | "--rsource" | "--rdest" | "--remove" | "--rttl" | "--reap" => {
                self.recent(option, inverted)?;
            }
            _ => self.other(option, inverted),
        }
        Ok(())
    }

    /// A match that portguard has not, with its values.
    pub(super) fn other(&mut self, option: &Word, inverted: bool) {
        let mut text = if inverted { "! " } else { "" }.to_owned();
        text.push_str(&option.text);
        while let Some(word) = self.words.get(self.next) {
            if word.text.starts_with('-') || word.text == "!" {
                break;
            }
            text.push(' ');
            text.push_str(&word.text);
            self.next += 1;
        }
        if !self.in_target {
            self.unknown(format!("`{text}`"));
        }
    }

    /// The target; its own options follow, and matches may.
    fn target(&mut self, target: &Word, goes: bool) {
        self.rule.verdict = match target.text.as_str() {
            "ACCEPT" => Verdict::Accept,
            "DROP" => Verdict::Drop,
            "REJECT" | "TARPIT" => Verdict::Reject,
            "RETURN" => Verdict::Return,
            "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "CONNSECMARK" | "SECMARK" | "CT"
            | "NOTRACK" | "TRACE" | "TCPMSS" | "AUDIT" | "CHECKSUM" | "CLASSIFY" | "DSCP"
            | "TOS" | "TTL" | "HL" | "ECN" | "SET" | "LED" | "RATEEST" | "IDLETIMER"
            | "TCPOPTSTRIP" | "TEE" | "HMARK" | "TPROXY" => Verdict::Continue,
            "NFQUEUE" | "QUEUE" | "SYNPROXY" => {
                let text = self.origin.text.clone();
                self.findings.push(Finding {
                    kind: Kind::Wider,
                    file: self.origin.file.clone(),
                    line: self.origin.line,
                    original: text,
                    reason: format!("`{}` lets another program decide", target.text),
                    consequence: "its packets go on to the rules behind it".into(),
                });
                Verdict::Continue
            }
            chain if goes => Verdict::Goto(key(self.family, self.table, chain)),
            chain => Verdict::Jump(key(self.family, self.table, chain)),
        };
        self.in_target = true;
    }

    fn finish(mut self) -> Result<Read, ImportError> {
        self.finish_recent();
        self.finish_limit();
        let mut rules = Vec::new();
        if self.routes_old {
            match self.rule.verdict {
                Verdict::Drop | Verdict::Reject => self.is_possible = false,
                _ => self.unknown("a routing header".into()),
            }
        }
        if !self.is_possible {
            return Ok(Read {
                rules,
                findings: self.findings,
            });
        }
        match self.either_port.take() {
            None => rules.push(self.rule),
            Some(ports) => {
                for region in [
                    Region::all().with_source_ports(ports.clone()),
                    Region::all().with_ports(ports),
                ] {
                    let mut one = self.rule.clone();
                    if one.narrow(&region) {
                        rules.push(one);
                    }
                }
            }
        }
        Ok(Read {
            rules,
            findings: self.findings,
        })
    }

    fn hop_limit(&mut self, value: &str, inverted: bool) {
        // Neighbour discovery with another hop limit is dropped by the kernel itself (RFC 4861, 7.1).
        let discovery = Region::icmpv6(Ranges::new([(133 << 8, 137 << 8 | 0xff)]));
        if value == "255" && !inverted && discovery.covers(&self.rule.region) {
            return;
        }
        self.unknown(format!("a hop limit of {value}"));
    }

    fn flags(&mut self, mask: u8, value: u8, inverted: bool) {
        self.narrow(Region::protocol(TCP));
        self.rule.flags.push(FlagTest {
            mask,
            value,
            kind: FlagKind::Equal,
            inverted,
        });
    }

    fn flag_list(&mut self, option: &Word) -> Step<u8> {
        let value = self.value(option)?;
        let mut bits = 0;
        for name in value.text.split(',') {
            match flag(name) {
                Some(bit) => bits |= bit,
                None => return self.wrong(&value, "this is no list of TCP flags"),
            }
        }
        Ok(bits)
    }

    fn states(&mut self, option: &Word, inverted: bool) -> Step {
        let value = self.value(option)?;
        let mut states = States::NONE;
        for name in value.text.split(',') {
            match States::from_name(name) {
                Some(state) => states = states.union(state),
                // States of address translation.
                None if matches!(name, "SNAT" | "DNAT") => {
                    self.unknown(format!("whether addresses are translated (`{name}`)"));
                    return Ok(());
                }
                None => return self.wrong(&value, "this is no list of states"),
            }
        }
        let states = if inverted {
            states.complement()
        } else {
            states
        };
        self.rule.states = self.rule.states.intersect(states);
        Ok(())
    }

    fn icmp(&mut self, option: &Word, inverted: bool, family: Family) -> Step {
        let value = self.value(option)?;
        let known = match family {
            Family::V4 => kinds(&value.text),
            Family::V6 => kinds_v6(&value.text),
        };
        let Some(kinds) = known else {
            return self.wrong(
                &value,
                "this is no ICMP type that is known here; `iptables-save` writes numbers",
            );
        };
        let kinds = if inverted {
            kinds.complement(LAST_KIND)
        } else {
            kinds
        };
        self.narrow(match family {
            Family::V4 => Region::icmp(kinds),
            Family::V6 => Region::icmpv6(kinds),
        });
        Ok(())
    }

    fn address_type(
        &mut self,
        option: &Word,
        inverted: bool,
        set: fn(Region, Addresses) -> Region,
    ) -> Step {
        let value = self.value(option)?;
        let mut all = Addresses::none();
        for name in value.text.split(',') {
            match address_type(name) {
                Some(addresses) if self.base_is_input() => all = all.union(&addresses),
                _ => {
                    self.unknown(format!("an address of the type {name}"));
                    return Ok(());
                }
            }
        }
        self.narrow_addresses(all, inverted, set);
        Ok(())
    }

    /// Before routing, nothing says that an address is this host's.
    fn base_is_input(&self) -> bool {
        self.table == "filter"
    }

    fn addresses(
        &mut self,
        option: &Word,
        inverted: bool,
        set: fn(Region, Addresses) -> Region,
    ) -> Step {
        let value = self.value(option)?;
        let mut all = Addresses::none();
        for part in value.text.split(',') {
            match prefix(part) {
                Some(Some(addresses)) => all = all.union(&addresses),
                Some(None) => {
                    self.unknown(format!("an address under a mask with gaps, `{part}`"));
                    return Ok(());
                }
                None => return self.wrong(&value, "this is no address and no prefix"),
            }
        }
        self.narrow_addresses(all, inverted, set);
        Ok(())
    }

    fn address_range(
        &mut self,
        option: &Word,
        inverted: bool,
        set: fn(Region, Addresses) -> Region,
    ) -> Step {
        let value = self.value(option)?;
        let (first, last) = value
            .text
            .split_once('-')
            .unwrap_or((&value.text, &value.text));
        let ends = first.parse().ok().zip(last.parse().ok());
        let Some(all) = ends.and_then(|(first, last)| Addresses::range(first, last)) else {
            return self.wrong(&value, "this is no range of addresses");
        };
        self.narrow_addresses(all, inverted, set);
        Ok(())
    }

    /// Leaves the packets with one of these addresses, or with another one.
    fn narrow_addresses(
        &mut self,
        all: Addresses,
        inverted: bool,
        set: fn(Region, Addresses) -> Region,
    ) {
        let all = if inverted { all.complement() } else { all };
        self.narrow(set(Region::all(), all));
    }

    /// Ports are those of a protocol that portguard reads, or they are not known.
    fn narrow_ports(&mut self, region: &Region) {
        let protocols = &self.rule.region.protocols;
        let [tcp, udp, sctp] = [TCP, UDP, SCTP].map(|number| protocols.holds(number.into()));
        if !(tcp || udp || sctp) {
            return self.unknown("ports of this protocol".into());
        }
        self.narrow(region.clone());
    }

    fn ports(&mut self, option: &Word, inverted: bool) -> Step<Ranges> {
        let value = self.value(option)?;
        let mut ranges = Vec::new();
        for part in value.text.split(',') {
            let (low, high) = part.split_once(':').unwrap_or((part, part));
            let number = |text: &str, open: u16| match text {
                "" => Some(open),
                text => text.parse::<u16>().ok(),
            };
            let (Some(low), Some(high)) = (number(low, 0), number(high, u16::MAX)) else {
                return self.wrong(
                    &value,
                    "this is no list of ports; `iptables-save` writes numbers",
                );
            };
            ranges.push((low.into(), high.into()));
        }
        let ports = Ranges::new(ranges);
        Ok(if inverted {
            ports.complement(LAST_PORT)
        } else {
            ports
        })
    }

    fn narrow(&mut self, region: Region) {
        self.is_possible = self.is_possible && self.rule.narrow(&region);
    }

    pub(super) fn unknown(&mut self, what: String) {
        self.rule.unknown.push(what);
    }

    pub(super) fn value(&mut self, option: &Word) -> Step<Word> {
        match self.words.get(self.next).cloned() {
            Some(word) => {
                self.next += 1;
                Ok(word)
            }
            None => self.wrong(option, "this needs a value"),
        }
    }

    pub(super) fn wrong<T>(&self, word: &Word, message: &str) -> Step<T> {
        let message = format!("`{}`: {message}", word.text);
        Err(ImportError::at(self.origin, word.column, message))
    }
}
