//! The rules files of ufw. They are those of `iptables-restore`, in parts: what `ufw-init` puts around them is added here.

use std::rc::Rc;

use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::iptables::{Family, Tables, key, words};
use crate::model::{Origin, Rule, States, Verdict};
use crate::region::Region;
use crate::{Imported, Options, Source, import};

/// Makes a policy of the files of `/etc/ufw`: `user.rules`, and `before.rules`, `after.rules` and the same of IPv6
/// (`user6.rules`) where they are given, in any order. A file with the name `ufw` has the defaults (`/etc/default/ufw`).
///
/// # Errors
///
/// [`ImportError`] at the first line that is not of their form.
pub fn ufw(sources: &[Source<'_>], options: &Options) -> Result<Imported, ImportError> {
    let defaults = defaults(sources)?;
    let mut tables = Tables::default();
    let mut findings = Vec::new();
    let rules_files = |source: &&Source<'_>| base(source.name) != "ufw";
    let mut kinds = Vec::new();
    for source in sources.iter().filter(rules_files) {
        let family = if base(source.name).contains('6') {
            Family::V6
        } else {
            Family::V4
        };
        if family == Family::V6 && !defaults.ipv6 {
            continue;
        }
        tables.read(*source, family)?;
        kinds.push(family);
    }
    let first = sources.iter().find(rules_files).or(sources.first());
    let name = first.map_or("", |source| source.name);
    for (family, six) in [(Family::V4, ""), (Family::V6, "6")] {
        if family == Family::V6 && !defaults.ipv6 {
            // `ufw-init` closes what ufw does not manage.
            let origin = Rc::new(Origin {
                file: defaults.file.clone().unwrap_or_else(|| name.to_owned()),
                line: defaults.ipv6_line,
                tag: "ipv6".into(),
                text: "IPV6=no".into(),
            });
            tables.set_input_policy(family, &Verdict::Drop, &origin);
            continue;
        }
        if !kinds.contains(&family) {
            findings.push(file_note(
                name,
                "there are no rules for one family in it (`user.rules` is of IPv4, `user6.rules` of IPv6)",
                "portguard passes all of that family; name the folder, as in `portguard import ufw /etc/ufw`",
            ));
            continue;
        }
        let origin = Rc::new(Origin {
            file: defaults.file.clone().unwrap_or_else(|| name.to_owned()),
            line: defaults.line,
            tag: "default".into(),
            text: defaults.text.clone(),
        });
        frame(
            &mut tables,
            family,
            six,
            &defaults.policy,
            &origin,
            &mut findings,
            name,
        );
    }
    if defaults.file.is_none() {
        findings.push(file_note(
            name,
            "the default for what comes in stands in `/etc/default/ufw`, which is not given",
            "`DROP` is taken, as ufw has it at first; name the folder to have what it says",
        ));
    }
    let mut rules = tables.rule_set()?;
    rules.findings.extend(findings);
    // Chains for what leaves and what is forwarded are always there: ufw makes them.
    let what = sources
        .iter()
        .map(|source| source.name)
        .collect::<Vec<_>>()
        .join(", ");
    import(&rules, options, &what)
}

/// What stands around the files: chains that `ufw-init` makes, and where it jumps.
fn frame(
    tables: &mut Tables,
    family: Family,
    six: &str,
    policy: &Verdict,
    origin: &Rc<Origin>,
    findings: &mut Vec<Finding>,
    name: &str,
) {
    let chain = |part: &str| format!("ufw{six}-{part}");
    let jump = |to: &str| Rule::new(origin, Verdict::Jump(key(family, "filter", to)));
    if !tables.has(family, &chain("before-input")) {
        // Every `before.rules` begins with it; without it no host could ask anybody anything.
        let mut answers = Rule::new(origin, Verdict::Accept);
        answers.states = States::ESTABLISHED.union(States::RELATED);
        tables.supply(family, &chain("before-input"), vec![answers], origin);
        findings.push(file_note(
            name,
            "what stands in `before.rules` and `after.rules` is not given: ICMP, discovery of neighbours, DHCP, multicast",
            "only that answers pass is taken over from it; name the folder, as in `portguard import ufw /etc/ufw`",
        ));
        if family == Family::V6 {
            let mut neighbours = Rule::new(origin, Verdict::Accept);
            neighbours.narrow(&Region::icmpv6(crate::ranges::Ranges::new([(
                133 << 8,
                136 << 8 | 0xff,
            )])));
            tables.append(family, &chain("before-input"), neighbours, origin);
        }
    }
    tables.append(
        family,
        &chain("before-input"),
        jump(&chain("user-input")),
        origin,
    );
    for part in [
        "user-input",
        "user-limit",
        "user-limit-accept",
        "user-logging-input",
        "before-logging-input",
        "after-input",
        "after-logging-input",
        "reject-input",
        "track-input",
        "logging-deny",
        "logging-allow",
    ] {
        tables.supply(family, &chain(part), Vec::new(), origin);
    }
    let end = Rule::new(origin, policy.clone());
    tables.supply(
        family,
        &chain("skip-to-policy-input"),
        vec![end.clone()],
        origin,
    );
    for part in [
        "before-logging-input",
        "before-input",
        "after-input",
        "after-logging-input",
    ] {
        tables.append(family, "INPUT", jump(&chain(part)), origin);
    }
    tables.set_input_policy(family, policy, origin);
}

/// What `/etc/default/ufw` says.
struct Defaults {
    file: Option<String>,
    line: usize,
    text: String,
    policy: Verdict,
    ipv6: bool,
    ipv6_line: usize,
}

fn defaults(sources: &[Source<'_>]) -> Result<Defaults, ImportError> {
    let mut defaults = Defaults {
        file: None,
        line: 0,
        text: "DEFAULT_INPUT_POLICY=\"DROP\"".into(),
        policy: Verdict::Drop,
        ipv6: true,
        ipv6_line: 0,
    };
    let Some(source) = sources.iter().find(|source| base(source.name) == "ufw") else {
        return Ok(defaults);
    };
    defaults.file = Some(source.name.to_owned());
    for (index, line) in source.text.lines().enumerate() {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        let origin = Origin {
            file: source.name.to_owned(),
            line: index + 1,
            tag: String::new(),
            text: line.to_owned(),
        };
        let value = words(value, &origin)?
            .into_iter()
            .next()
            .map(|word| word.text);
        let value = value.unwrap_or_default();
        match key {
            "IPV6" => {
                defaults.ipv6 = value.eq_ignore_ascii_case("yes");
                defaults.ipv6_line = index + 1;
            }
            "DEFAULT_INPUT_POLICY" => {
                defaults.line = index + 1;
                defaults.text = line.trim().to_owned();
                defaults.policy = match value.as_str() {
                    "ACCEPT" => Verdict::Accept,
                    "DROP" => Verdict::Drop,
                    "REJECT" => Verdict::Reject,
                    _ => {
                        let message = format!(
                            "`{value}` is no policy: `ACCEPT`, `DROP` or `REJECT` is expected"
                        );
                        return Err(ImportError::at(&origin, key.len() + 2, message));
                    }
                };
            }
            _ => {}
        }
    }
    Ok(defaults)
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn file_note(file: &str, reason: &str, consequence: &str) -> Finding {
    Finding {
        kind: Kind::Note,
        file: file.to_owned(),
        line: 0,
        original: String::new(),
        reason: reason.to_owned(),
        consequence: consequence.to_owned(),
    }
}
