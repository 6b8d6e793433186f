//! From the files of the catalogue to its entries.

use super::{Abuse, Advice, Entry};
use crate::policy::Transport;
use crate::{profiles, services};

/// What is known of ports, in order.
const TEXTS: [&str; 2] = [
    include_str!("ports-well-known.txt"),
    include_str!("ports-from-1024.txt"),
];

/// What is advised for a service of which no abuse is told.
const UNREMARKABLE: &str = "no abuse worth telling; open it only on a host that offers it";

/// A block of the text.
#[derive(Default)]
struct Block {
    port: u16,
    transports: Vec<Transport>,
    service: Option<&'static str>,
    purpose: Option<&'static str>,
    abuse: Vec<Abuse>,
    advice: Option<(Advice, &'static str)>,
}

/// All entries, by port and protocol.
pub(super) fn entries() -> Vec<Entry> {
    let blocks = blocks();
    let mut entries: Vec<Entry> = blocks.iter().filter_map(entry).collect();
    for service in services::all() {
        for (port, transports) in service.by_port() {
            let told = |block: &Block| block.port == port && block.service == Some(service.name);
            if !blocks.iter().any(told) {
                entries.push(Entry {
                    port,
                    transports,
                    service: Some(service.name),
                    aliases: service.aliases.clone(),
                    purpose: service.purpose,
                    abuse: Vec::new(),
                    advice: Advice::ByRole,
                    why: UNREMARKABLE,
                    profiles: Vec::new(),
                });
            }
        }
    }
    for entry in &mut entries {
        let has_rule = |profile: &&str| {
            let mut rules = profiles::find(profile).into_iter().flatten();
            rules.any(|rule| {
                rule.port == entry.port
                    && rule
                        .transports
                        .iter()
                        .any(|own| entry.transports.contains(own))
            })
        };
        entry.profiles = profiles::names().filter(has_rule).collect();
    }
    entries.sort_by_key(|entry| (entry.port, entry.transports.first().copied()));
    entries
}

/// The entry of a block; `None` if something is missing.
fn entry(block: &Block) -> Option<Entry> {
    let (aliases, purpose) = match block.service {
        Some(name) => {
            let service = services::find(name)?;
            (service.aliases.clone(), service.purpose)
        }
        None => (Vec::new(), block.purpose?),
    };
    let (advice, why) = block.advice?;
    let transports = Transport::ALL.into_iter();
    Some(Entry {
        port: block.port,
        transports: transports
            .filter(|own| block.transports.contains(own))
            .collect(),
        service: block.service,
        aliases,
        purpose,
        abuse: block.abuse.clone(),
        advice,
        why,
        profiles: Vec::new(),
    })
}

/// All blocks that can be read; a test holds that all can.
fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in TEXTS.into_iter().flat_map(str::lines) {
        match line.strip_prefix("  ") {
            None => blocks.extend(heading(line)),
            Some(field) => {
                // A field in front of all blocks belongs to none.
                if let Some(block) = blocks.last_mut() {
                    add(block, field);
                }
            }
        }
    }
    blocks
}

/// `port/protocol[,protocol] service`
fn heading(line: &'static str) -> Option<Block> {
    let (port, service) = line.split_once(' ')?;
    let (port, transports) = port.split_once('/')?;
    let transports = transports.split(',').map(Transport::from_name);
    Some(Block {
        port: port.parse().ok()?,
        transports: transports.collect::<Option<_>>()?,
        service: (service != "-").then_some(service),
        ..Block::default()
    })
}

/// `purpose TEXT`, `abuse NAME[, YEAR]: TEXT` or `advice WORD: WHY`; `None` if it is none of them.
fn add(block: &mut Block, field: &'static str) -> Option<()> {
    let (key, value) = field.split_once(' ')?;
    match key {
        "purpose" => block.purpose = Some(value),
        "abuse" => block.abuse.push(abuse(value)?),
        "advice" => {
            let (word, why) = value.split_once(": ")?;
            let advice = Advice::ALL.into_iter().find(|own| own.name() == word)?;
            block.advice = Some((advice, why));
        }
        _ => return None,
    }
    Some(())
}

fn abuse(value: &'static str) -> Option<Abuse> {
    let (name, text) = value.split_once(": ")?;
    Some(match name.rsplit_once(", ") {
        Some((name, year)) => Abuse {
            name,
            year: Some(year.parse().ok()?),
            text,
        },
        None => Abuse {
            name,
            year: None,
            text,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read() {
        let lines = || TEXTS.into_iter().flat_map(str::lines);
        for line in lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("  ") {
                None => assert!(heading(line).is_some(), "{line}"),
                Some(field) => {
                    assert!(add(&mut Block::default(), field).is_some(), "{line}");
                }
            }
            assert!(line.chars().count() <= 120, "{line}");
        }
        let blocks = blocks();
        for block in &blocks {
            assert!(entry(block).is_some(), "{}: incomplete", block.port);
        }
        let fields = |key: &str| lines().filter(|line| line.starts_with(key)).count();
        assert_eq!(blocks.len(), fields("  advice "), "one advice a port");
        let unnamed = blocks.iter().filter(|block| block.service.is_none());
        assert_eq!(unnamed.count(), fields("  purpose "));
        let abuse: usize = blocks.iter().map(|block| block.abuse.len()).sum();
        assert_eq!(abuse, fields("  abuse "));
    }

    #[test]
    fn blocks_are_sorted_and_lie_in_the_right_file() {
        for (text, ports) in TEXTS.into_iter().zip([0..=1023, 1024..=u16::MAX]) {
            let own = text.lines().filter(|line| !line.starts_with(['#', ' ']));
            let own: Vec<Block> = own.filter_map(heading).collect();
            let place = |block: &Block| (block.port, block.transports.first().copied());
            assert!(own.is_sorted_by(|a, b| place(a) < place(b)));
            assert!(own.iter().all(|block| ports.contains(&block.port)));
        }
    }

    /// A block is about all of its service, so that there is one entry for it.
    #[test]
    fn a_block_has_the_protocols_of_its_service() {
        for block in blocks() {
            let Some(name) = block.service else { continue };
            let service = services::find(name).expect(name);
            assert_eq!(service.name, name, "an alias");
            let transports = service
                .ports
                .iter()
                .filter(|(_, port)| *port == block.port)
                .map(|(own, _)| *own);
            assert_eq!(transports.collect::<Vec<_>>(), block.transports, "{name}");
        }
    }
}
