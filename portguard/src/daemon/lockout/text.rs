//! What a person reads whose change would cut sessions.

use std::path::Path;

use crate::policy_file;

use super::judge::{Cut, Decider};

/// Sessions that are told; more are a number.
const TOLD: usize = 10;

/// What would cut them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Cause {
    #[default]
    Policy,
    /// Ports that are closed or opened one by one.
    Ports,
    Ban,
}

impl Cause {
    /// What to do about it.
    pub(super) const fn ways_on(self) -> &'static str {
        match self {
            Self::Policy => {
                "to try it, `portguard apply FILE --confirm 60s`: unless you confirm in time, the previous policy is back; to cut them, `portguard reload --force` (or `apply`)"
            }
            Self::Ports => {
                "to try it, say it again with `--confirm 60s`: unless `portguard confirm` follows in time, all is as before; to cut them, with `--force`"
            }
            Self::Ban => "to cut them, say it again with `--force`",
        }
    }
}

/// Which sessions would be cut, and by what.
pub(super) fn cuts(cause: Cause, policy: &Path, cuts: &[Cut]) -> String {
    let subject = match cause {
        Cause::Policy => "the policy",
        Cause::Ports => "this change",
        Cause::Ban => "the ban",
    };
    let mut lines = vec![match cuts.len() {
        1 => format!("{subject} would cut an open SSH session:"),
        number => format!("{subject} would cut {number} open SSH sessions:"),
    }];
    for cut in cuts.iter().take(TOLD) {
        lines.push(format!("  {}", session(cut)));
        lines.push(format!("    {}", fate(policy, cut)));
    }
    if cuts.len() > TOLD {
        lines.push(format!("  and {} more", cuts.len() - TOLD));
    }
    lines.join("\n")
}

fn session(cut: &Cut) -> String {
    let whose = if cut.session.own { "your own " } else { "" };
    let (peer, local) = (cut.session.peer, cut.session.local);
    let tag = match cut.arrival.vlan {
        0 => String::new(),
        id => format!(", VLAN {id}"),
    };
    format!(
        "{whose}SSH session {peer} -> {local} on {}{tag}",
        cut.arrival.name
    )
}

fn fate(policy: &Path, cut: &Cut) -> String {
    let by = |decider| by(policy, decider);
    match (&cut.data, &cut.new_connection) {
        (Some(data), Some(new)) if data == new => {
            format!(
                "its packets would be {}; it could not connect again either",
                by(data)
            )
        }
        (Some(data), Some(new)) => {
            format!(
                "its packets would be {}; a new connection would be {}",
                by(data),
                by(new)
            )
        }
        (Some(data), None) => format!("its packets would be {}", by(data)),
        (None, Some(new)) => {
            format!(
                "it would stay open, but could not connect again: that would be {}",
                by(new)
            )
        }
        // No such cut is made.
        (None, None) => String::new(),
    }
}

fn by(policy: &Path, decider: &Decider) -> String {
    match decider {
        Decider::Rule {
            name,
            place,
            rejects,
        } => {
            let done = if *rejects { "rejected" } else { "dropped" };
            let path = policy_file::path_of(policy, place);
            format!(
                "{done} by rule `{name}` ({}:{})",
                path.display(),
                place.line
            )
        }
        Decider::Default => "dropped by `default: drop`: no rule matches".to_owned(),
        Decider::Ban(prefix) => format!("dropped by the ban of {prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use portguard_policy::{Place, Prefix};

    use super::super::arrival::Arrival;
    use super::*;
    use crate::host::sessions::Session;

    fn cut(peer: &str, data: Option<Decider>, new_connection: Option<Decider>) -> Cut {
        let local = if peer.starts_with('[') {
            "[2001:db8::1]:22"
        } else {
            "192.0.2.1:2222"
        };
        Cut {
            session: Session {
                peer: peer.parse().expect("an address"),
                local: local.parse().expect("an address"),
                bound: None,
                own: false,
            },
            arrival: Arrival {
                index: 2,
                name: "eth0".into(),
                vlan: 0,
            },
            data,
            new_connection,
        }
    }

    fn place(line: usize) -> Place {
        Place { file: None, line }
    }

    fn rule() -> Option<Decider> {
        Some(Decider::Rule {
            name: "no-ssh".into(),
            place: place(12),
            rejects: false,
        })
    }

    fn text(cause: Cause, list: &[Cut]) -> String {
        cuts(cause, Path::new("policy.yaml"), list)
    }

    #[test]
    fn one_session_that_a_rule_cuts() {
        let mut own = cut("198.51.100.9:40022", rule(), rule());
        own.session.own = true;
        assert_eq!(
            text(Cause::Policy, &[own]),
            "the policy would cut an open SSH session:
  your own SSH session 198.51.100.9:40022 -> 192.0.2.1:2222 on eth0
    its packets would be dropped by rule `no-ssh` (policy.yaml:12); it could not connect again either"
        );
    }

    #[test]
    fn several_sessions_each_with_its_fate() {
        let rejected = Some(Decider::Rule {
            name: "r".into(),
            place: place(3),
            rejects: true,
        });
        let mut tagged = cut("[2001:db8::9]:40022", Some(Decider::Default), rejected);
        tagged.arrival.vlan = 10;
        let list = [
            tagged,
            cut("198.51.100.9:1", rule(), None),
            cut("198.51.100.9:2", None, Some(Decider::Default)),
        ];
        assert_eq!(
            text(Cause::Policy, &list),
            "the policy would cut 3 open SSH sessions:
  SSH session [2001:db8::9]:40022 -> [2001:db8::1]:22 on eth0, VLAN 10
    its packets would be dropped by `default: drop`: no rule matches; a new connection would be rejected by rule `r` (policy.yaml:3)
  SSH session 198.51.100.9:1 -> 192.0.2.1:2222 on eth0
    its packets would be dropped by rule `no-ssh` (policy.yaml:12)
  SSH session 198.51.100.9:2 -> 192.0.2.1:2222 on eth0
    it would stay open, but could not connect again: that would be dropped by `default: drop`: no rule matches"
        );
    }

    #[test]
    fn a_ban_and_more_sessions_than_are_told() {
        let prefix = Prefix::new([198, 51, 100, 0].into(), 24).expect("a prefix");
        let ban = Some(Decider::Ban(prefix));
        let list = vec![cut("198.51.100.9:1", ban.clone(), ban); 12];
        let text = text(Cause::Ban, &list);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * 10 + 1);
        assert_eq!(lines[0], "the ban would cut 12 open SSH sessions:");
        assert_eq!(
            lines[2],
            "    its packets would be dropped by the ban of 198.51.100.0/24; it could not connect again either"
        );
        assert_eq!(lines[21], "  and 2 more");
    }
}
