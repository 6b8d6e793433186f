//! A zone as a chain: rich rules before, what is denied, what is allowed, rich rules behind, and the target.

use std::rc::Rc;

use roxmltree::Node;

use super::parts::{Parts, element};
use super::{File, all_icmp, host_ipv6, icmp};
use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::model::{Chain, Origin, Rate, RateTest, Rule, Verdict};
use crate::region::Region;

/// The parts of a zone, in the order in which they are asked.
#[derive(Default)]
struct Order {
    /// With their priority, below 0.
    before: Vec<(i64, Rule)>,
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    /// With their priority, above 0.
    behind: Vec<(i64, Rule)>,
}

pub(super) fn chain(
    id: &str,
    file: &File<'_>,
    parts: &mut Parts<'_>,
) -> Result<Chain, ImportError> {
    let root = file.document.root_element();
    let origin = file.origin(&root);
    let top = Rc::new(Origin {
        file: origin.file.clone(),
        line: origin.line,
        tag: "neighbours".into(),
        text: "what firewalld's policy allow-host-ipv6 passes in every zone".into(),
    });
    let is_inverted = file
        .elements()
        .any(|node| node.has_tag_name("icmp-block-inversion"));
    let mut order = Order::default();
    for node in file.elements() {
        let origin = file.origin(&node);
        match node.tag_name().name() {
            "service" => {
                let name = file.attribute(&node, "name")?;
                let regions = parts.service(file, &node, name)?;
                order.allow.extend(regions.into_iter().map(|region| with(&origin, Verdict::Accept, region)));
            }
            "port" | "source-port" | "protocol" => {
                let region = element(file, &node)?;
                order.allow.extend(region.map(|region| with(&origin, Verdict::Accept, region)));
            }
            "icmp-block" => {
                let regions = icmp_regions(file, &node)?.into_iter();
                if is_inverted {
                    order.allow.extend(regions.map(|region| with(&origin, Verdict::Accept, region)));
                } else {
                    order.deny.extend(regions.map(|region| with(&origin, Verdict::Reject, region)));
                }
            }
            "rule" => rich(file, &node, parts, &mut order, is_inverted)?,
            "masquerade" => parts.findings.push(lost(&origin, "what leaves is not translated by portguard", "nothing: masquerading is not the business of a filter, keep it where it is")),
            "forward-port" => parts.findings.push(lost(&origin, "portguard decides before addresses and ports are translated", "packets to this port are judged by the rules here: pass the port if they are to arrive")),
            "short" | "description" | "interface" | "source" | "forward" | "icmp-block-inversion"
            | "tcp-mss-clamp" => {}
            other => return Err(file.error(&node, format!("`<{other}>` is nothing that a zone has"))),
        }
    }
    order.before.sort_by_key(|(priority, _)| *priority);
    order.behind.sort_by_key(|(priority, _)| *priority);
    let mut rules = vec![host_ipv6(&top)];
    rules.extend(order.before.into_iter().map(|(_, rule)| rule));
    rules.append(&mut order.deny);
    rules.append(&mut order.allow);
    rules.extend(order.behind.into_iter().map(|(_, rule)| rule));
    let target = root.attribute("target").unwrap_or("default");
    let end = Rc::new(Origin {
        file: origin.file.clone(),
        line: origin.line,
        tag: "target".into(),
        text: format!("target {target}"),
    });
    let verdict = match target {
        "ACCEPT" => Verdict::Accept,
        "DROP" => Verdict::Drop,
        "default" | "%%REJECT%%" | "REJECT" => Verdict::Reject,
        other => return Err(file.error(&root, format!("`{other}` is no target of a zone"))),
    };
    match (target, is_inverted) {
        ("default", false) => rules.push(with(&end, Verdict::Accept, all_icmp())),
        ("default" | "ACCEPT", true) => rules.push(with(&end, Verdict::Reject, all_icmp())),
        _ => {}
    }
    rules.push(Rule::new(&end, verdict));
    Ok(Chain {
        name: id.to_owned(),
        rules,
    })
}

fn with(origin: &Rc<Origin>, verdict: Verdict, region: Region) -> Rule {
    let mut rule = Rule::new(origin, verdict);
    rule.region = region;
    rule
}

fn icmp_regions(file: &File<'_>, node: &Node<'_, '_>) -> Result<Vec<Region>, ImportError> {
    let name = file.attribute(node, "name")?;
    let regions = icmp::regions(name);
    if regions.is_empty() {
        return Err(file.error(node, format!("the ICMP type `{name}` is not known")));
    }
    Ok(regions)
}

fn rich(
    file: &File<'_>,
    node: &Node<'_, '_>,
    parts: &mut Parts<'_>,
    order: &mut Order,
    is_inverted: bool,
) -> Result<(), ImportError> {
    let origin = file.origin(node);
    let mut rule = Rule::new(&origin, Verdict::Continue);
    let mut is_possible = match node.attribute("family") {
        Some("ipv4") => rule.narrow(&Region::v4()),
        Some("ipv6") => rule.narrow(&Region::v6()),
        _ => true,
    };
    let priority: i64 = match node.attribute("priority") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_no_number| file.error(node, format!("`{text}` is no priority")))?,
    };
    let mut regions = None;
    let mut denies = false;
    for part in node.children().filter(Node::is_element) {
        let tag = part.tag_name().name();
        match tag {
            "source" | "destination" => is_possible &= parts.source(file, &part, &mut rule)?,
            "service" => {
                let name = file.attribute(&part, "name")?;
                regions = Some(parts.service(file, &part, name)?);
            }
            "port" | "source-port" | "protocol" => {
                regions = Some(element(file, &part)?.into_iter().collect())
            }
            "icmp-type" => regions = Some(icmp_regions(file, &part)?),
            "icmp-block" => {
                regions = Some(icmp_regions(file, &part)?);
                rule.verdict = if is_inverted {
                    Verdict::Accept
                } else {
                    Verdict::Reject
                };
                denies = true;
            }
            "accept" | "drop" | "reject" => {
                rule.verdict = match tag {
                    "accept" => Verdict::Accept,
                    "drop" => Verdict::Drop,
                    _ => Verdict::Reject,
                };
                denies = tag != "accept";
                for own in part.children().filter(|own| own.has_tag_name("limit")) {
                    limit(file, &own, &mut rule)?;
                }
            }
            "log" | "nflog" | "audit" | "mark" | "tcp-mss-clamp" => {}
            "masquerade" | "forward-port" => {
                parts.findings.push(lost(
                    &origin,
                    "portguard does not translate addresses and ports",
                    "packets are judged by what they were sent to",
                ));
            }
            other => {
                return Err(file.error(&part, format!("`<{other}>` is nothing that a rule has")));
            }
        }
    }
    if !is_possible || rule.verdict == Verdict::Continue {
        return Ok(());
    }
    for region in regions.unwrap_or_else(|| vec![Region::all()]) {
        let mut one = rule.clone();
        if !one.narrow(&region) {
            continue;
        }
        match (priority, denies) {
            (..0, _) => order.before.push((priority, one)),
            (0, true) => order.deny.push(one),
            (0, false) => order.allow.push(one),
            _ => order.behind.push((priority, one)),
        }
    }
    Ok(())
}

fn limit(file: &File<'_>, node: &Node<'_, '_>, rule: &mut Rule) -> Result<(), ImportError> {
    /// What the kernel takes where nothing is said.
    const BURST: u64 = 5;
    let text = file.attribute(node, "value")?;
    let wrong = || file.error(node, format!("`{text}` is no rate"));
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.parse().map_err(|_no_number| wrong())?;
    let unit = unit.get(..1).ok_or_else(wrong)?;
    match Rate::new(count, unit, BURST, false) {
        Some(rate) => rule.limit = Some(RateTest { rate, over: false }),
        None => rule.unknown.push(format!("a rate of {text}")),
    }
    Ok(())
}

fn lost(origin: &Origin, reason: &str, consequence: &str) -> Finding {
    Finding {
        kind: Kind::Note,
        file: origin.file.clone(),
        line: origin.line,
        original: origin.text.clone(),
        reason: reason.to_owned(),
        consequence: consequence.to_owned(),
    }
}
