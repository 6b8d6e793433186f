//! Zones of firewalld, in XML. What its daemon makes of them for nftables is rebuilt here: a chain for each zone, and a
//! chain that chooses the zone by source, interface, or as the default.

mod icmp;
mod parts;
mod zone;

use std::collections::BTreeMap;
use std::rc::Rc;

use roxmltree::{Document, Node};

use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::interfaces::Interfaces;
use crate::model::{Base, Chain, Origin, Rule, RuleSet, States, Verdict};
use crate::ranges::Ranges;
use crate::region::{ICMPV6, Region};
use crate::{Imported, Options, Source, import};

use parts::Parts;

/// Makes a policy of zones: those that have interfaces or sources, and the default zone, which `firewalld.conf` names, or
/// else is the first. Other files have what zones name, such as services. Of two files for one thing the first counts.
///
/// # Errors
///
/// [`ImportError`] at the first thing that is not of their form.
pub fn firewalld(sources: &[Source<'_>], options: &Options) -> Result<Imported, ImportError> {
    let mut files = Vec::new();
    let mut default_zone = None;
    let mut rpfilter = false;
    for source in sources {
        if source.name.ends_with(".conf") {
            for line in source.text.lines() {
                match line.trim().split_once('=') {
                    Some(("DefaultZone", name)) => default_zone = Some(name.trim().to_owned()),
                    Some(("IPv6_rpfilter", value)) => rpfilter = value.trim() != "no",
                    _ => {}
                }
            }
            continue;
        }
        let document = Document::parse(source.text).map_err(|error| {
            let place = error.pos();
            let (line, column) = (place.row as usize, place.col as usize);
            ImportError::new(source.name, line, column, format!("this is not XML: {error}"))
                .with_hint("a file of a zone is read here, as in /etc/firewalld/zones; or name the folder /etc/firewalld")
        })?;
        files.push((*source, document));
    }
    let mut parts = Parts::default();
    let mut zones: BTreeMap<String, File<'_>> = BTreeMap::new();
    let mut first = None;
    for (source, document) in &files {
        let file = File {
            name: source.name,
            document,
        };
        let root = document.root_element();
        match root.tag_name().name() {
            "zone" => {
                let id = id(source.name).to_owned();
                first.get_or_insert_with(|| id.clone());
                zones.entry(id).or_insert(file);
            }
            "service" => parts.add_service(id(source.name), file)?,
            "ipset" => parts.add_set(id(source.name), file)?,
            "icmptype" => {}
            "policy" => parts.findings.extend(policy(&file)),
            other => {
                return Err(file.error(&root, format!("`<{other}>` is no file of firewalld that is read here: a `<zone>` is expected")));
            }
        }
    }
    let Some(default_zone) = default_zone.or(first) else {
        let name = sources.first().map_or("", |source| source.name);
        return Err(ImportError::new(
            name,
            1,
            1,
            "there is no zone in it".into(),
        ));
    };
    if !zones.contains_key(&default_zone) {
        let name = sources.first().map_or("", |source| source.name);
        return Err(ImportError::new(
            name,
            1,
            1,
            format!("the default zone `{default_zone}` is not given"),
        ));
    }
    let mut rules = RuleSet::default();
    dispatch(&zones, &default_zone, &mut parts, &mut rules)?;
    rules.findings.append(&mut parts.findings);
    if rpfilter {
        let conf = sources.iter().find(|source| source.name.ends_with(".conf"));
        rules.findings.push(note(
            Kind::Wider,
            conf.map_or("", |source| source.name),
            "`IPv6_rpfilter` drops packets of IPv6 from where no route leads back, and portguard knows no routes",
            "they are judged like others",
        ));
    }
    rules.findings.push(note(
        Kind::Note,
        zones[&default_zone].name,
        "zones that are given to interfaces while firewalld runs, by NetworkManager for one, stand in no file",
        "`firewall-cmd --get-active-zones` shows them; give `<interface>` to the zones before, or import `nft -j list ruleset`",
    ));
    let used: Vec<&str> = zones
        .iter()
        .filter(|(id, file)| **id == default_zone || is_bound(file))
        .map(|(_, file)| file.name)
        .collect();
    import(&rules, options, &used.join(", "))
}

/// A file that was read.
#[derive(Clone, Copy)]
pub(super) struct File<'d> {
    pub(super) name: &'d str,
    pub(super) document: &'d Document<'d>,
}

impl<'d> File<'d> {
    pub(super) fn origin(&self, node: &Node<'_, '_>) -> Rc<Origin> {
        let place = self.document.text_pos_at(node.range().start);
        let text = &self.document.input_text()[node.range()];
        Rc::new(Origin {
            file: self.name.to_owned(),
            line: place.row as usize,
            tag: place.row.to_string(),
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    pub(super) fn error(&self, node: &Node<'_, '_>, message: impl Into<String>) -> ImportError {
        let place = self.document.text_pos_at(node.range().start);
        ImportError::new(
            self.name,
            place.row as usize,
            place.col as usize,
            message.into(),
        )
    }

    /// A value that must be there.
    pub(super) fn attribute<'n>(
        &self,
        node: &Node<'n, '_>,
        name: &str,
    ) -> Result<&'n str, ImportError> {
        node.attribute(name).ok_or_else(|| {
            let tag = node.tag_name().name();
            self.error(node, format!("`<{tag}>` needs `{name}`"))
        })
    }

    /// Elements in the root.
    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'d, 'd>> + use<'d> {
        self.document
            .root_element()
            .children()
            .filter(Node::is_element)
    }
}

fn id(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.strip_suffix(".xml").unwrap_or(file)
}

fn is_bound(file: &File<'_>) -> bool {
    file.elements()
        .any(|node| matches!(node.tag_name().name(), "interface" | "source"))
}

fn dispatch(
    zones: &BTreeMap<String, File<'_>>,
    default_zone: &str,
    parts: &mut Parts<'_>,
    rules: &mut RuleSet,
) -> Result<(), ImportError> {
    let default = &zones[default_zone];
    let origin = Rc::new(Origin {
        file: default.name.to_owned(),
        line: 1,
        tag: "start".into(),
        text: "what firewalld puts before all zones".into(),
    });
    let mut answers = Rule::new(&origin, Verdict::Accept);
    answers.states = States::ESTABLISHED.union(States::RELATED);
    let mut invalid = Rule::new(&origin, Verdict::Drop);
    invalid.states = States::INVALID;
    let mut chosen = vec![answers, invalid];
    let mut by_interface = Vec::new();
    for (id, file) in zones {
        if id != default_zone && !is_bound(file) {
            continue;
        }
        let goto = Verdict::Goto(chain_of(id));
        for node in file.elements() {
            let origin = file.origin(&node);
            let mut rule = Rule::new(&origin, goto.clone());
            match node.tag_name().name() {
                "interface" => {
                    let name = file.attribute(&node, "name")?;
                    let name = match name.strip_suffix('+') {
                        Some(beginning) => format!("{beginning}*"),
                        None => name.to_owned(),
                    };
                    let own = Region::all().with_interfaces(Interfaces::only([name]));
                    if rule.narrow(&own) {
                        by_interface.push(rule);
                    }
                }
                "source" if parts.source(file, &node, &mut rule)? => chosen.push(rule),
                _ => {}
            }
        }
        let own = zone::chain(id, file, parts)?;
        rules.chains.insert(chain_of(id), own);
    }
    chosen.append(&mut by_interface);
    chosen.push(Rule::new(&origin, Verdict::Goto(chain_of(default_zone))));
    rules.chains.insert(
        "input".into(),
        Chain {
            name: "firewalld".into(),
            rules: chosen,
        },
    );
    rules.bases.push(Base {
        chain: "input".into(),
        region: Region::all(),
        outside: None,
        policy: Verdict::Reject,
        origin,
    });
    Ok(())
}

fn chain_of(zone: &str) -> String {
    format!("zone {zone}")
}

/// What firewalld's own policy `allow-host-ipv6` passes in each zone.
pub(super) fn host_ipv6(origin: &Rc<Origin>) -> Rule {
    let kinds = [134_u128, 135, 136, 137].map(|kind| (kind << 8, kind << 8 | 0xff));
    let mut rule = Rule::new(origin, Verdict::Accept);
    rule.region = Region::icmpv6(Ranges::new(kinds));
    rule
}

/// All of ICMP, of both families.
pub(super) fn all_icmp() -> Region {
    let protocols = [1, ICMPV6].map(|number| (number.into(), number.into()));
    Region::all().with_protocols(Ranges::new(protocols))
}

fn policy(file: &File<'_>) -> Option<Finding> {
    if id(file.name) == "allow-host-ipv6" {
        return None;
    }
    let root = file.document.root_element();
    let origin = file.origin(&root);
    let to_host = file.elements().any(|node| {
        node.has_tag_name("egress-zone") && matches!(node.attribute("name"), Some("HOST" | "ANY"))
    });
    to_host.then(|| Finding {
        kind: Kind::Wider,
        file: origin.file.clone(),
        line: origin.line,
        original: format!("policy {}", id(file.name)),
        reason: "policies of firewalld are not carried over".into(),
        consequence: "packets are judged by the zones alone".into(),
    })
}

fn note(kind: Kind, file: &str, reason: &str, consequence: &str) -> Finding {
    Finding {
        kind,
        file: file.to_owned(),
        line: 0,
        original: String::new(),
        reason: reason.to_owned(),
        consequence: consequence.to_owned(),
    }
}
