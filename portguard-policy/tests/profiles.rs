//! Profiles: groups of rules from the catalogue.

mod common;

use common::*;
use portguard_policy::{
    PortRange, RuleAction, ServiceMatch, Transport, find_profile, profile_names,
};

/// The ports that the rules of a profile drop, by protocol, sorted.
fn dropped(name: &str) -> (Vec<u16>, Vec<u16>) {
    let text = with_rules(&[&format!("profile: {name}")]);
    let policy = accepted(&text).policy;
    let mut ports = (Vec::new(), Vec::new());
    for rule in &policy.rules {
        assert_eq!(rule.action, RuleAction::Drop);
        assert!(rule.enforce && rule.comment.is_some());
        assert!(rule.name.starts_with(&format!("{name}.")), "{}", rule.name);
        assert_eq!(rule.place.line, 4);
        for service in &rule.services {
            match service {
                ServiceMatch::Ports(Transport::Tcp, range) => ports.0.push(range.low),
                ServiceMatch::Ports(Transport::Udp, range) => ports.1.push(range.low),
                other => panic!("{other:?}"),
            }
        }
    }
    ports.0.sort_unstable();
    ports.1.sort_unstable();
    ports
}

#[test]
fn the_profiles_hold_their_ports() {
    assert_eq!(
        dropped("worms"),
        (
            vec![135, 137, 139, 445, 593, 1025, 2745, 3127, 3389, 6129],
            vec![135, 137, 138, 139, 445]
        )
    );
    assert_eq!(
        dropped("trojans"),
        (vec![79, 99, 1024, 5554, 7306, 7626, 8011], vec![])
    );
    assert_eq!(
        dropped("windows-services"),
        (
            vec![135, 137, 139, 445, 593, 3389, 3702, 5355, 5985, 5986],
            vec![135, 137, 138, 445, 3389, 3702, 5355]
        )
    );
    assert_eq!(
        dropped("databases"),
        (
            vec![
                1433, 1521, 3050, 3306, 5432, 5984, 6379, 8086, 8123, 8983, 9000, 9042, 9160, 9200,
                9300, 11211, 27017, 27018, 27019
            ],
            vec![1434, 11211]
        )
    );
    assert_eq!(
        dropped("amplifiers"),
        (
            vec![],
            vec![
                7, 17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 520, 1434, 1900, 3283, 3389, 3478,
                3702, 5093, 5353, 5683, 10001, 10074, 11211, 26000, 27015, 27960, 32414, 33848,
                37810
            ]
        )
    );
    assert_eq!(
        dropped("cluster-apis"),
        (
            vec![
                2181, 2375, 2376, 2377, 2379, 2380, 4194, 4243, 4505, 4506, 4646, 6443, 8088, 8265,
                8500, 9092, 9870, 10250, 10255, 50070
            ],
            vec![]
        )
    );
    assert_eq!(
        dropped("clear-text"),
        (
            vec![
                21, 23, 109, 110, 119, 143, 389, 512, 513, 514, 540, 873, 1883, 5900, 6000, 6667
            ],
            vec![69, 161]
        )
    );
    assert_eq!(
        dropped("iot"),
        (
            vec![
                23, 81, 2323, 5431, 5555, 7547, 8291, 9530, 20005, 32764, 34567, 37215, 37777,
                48101, 49152, 52869
            ],
            vec![5351, 17185, 37810, 53413]
        )
    );
    assert_eq!(
        profile_names().collect::<Vec<_>>(),
        [
            "amplifiers",
            "clear-text",
            "cluster-apis",
            "databases",
            "iot",
            "trojans",
            "windows-services",
            "worms"
        ]
    );
    assert!(find_profile("nothing").is_none());
}

/// No profile cuts off SSH, the web or DHCP, alone or with the others.
#[test]
fn all_profiles_together_leave_what_a_host_needs() {
    let rules: Vec<String> = profile_names()
        .map(|name| format!("profile: {name}"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let policy = accepted(&with_rules(&rules)).policy;
    for (transport, port) in [
        (Transport::Tcp, 22),
        (Transport::Tcp, 80),
        (Transport::Tcp, 443),
        (Transport::Udp, 443),
        (Transport::Udp, 68),
        (Transport::Udp, 546),
    ] {
        let range = PortRange {
            low: port,
            high: port,
        };
        let service = ServiceMatch::Ports(transport, range);
        let dropped = policy
            .rules
            .iter()
            .find(|rule| rule.services.contains(&service));
        assert_eq!(dropped, None, "{port}/{transport}");
    }
}

#[test]
fn a_profile_stands_for_its_rules_in_place() {
    let text = with_rules(&[
        "{ name: first, action: pass, ports: 3389/tcp }",
        "{ profile: worms, enforce: false }",
        "{ name: last, action: drop, ports: 1/tcp }",
    ]);
    let policy = accepted(&text).policy;
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "first",
            "worms.epmap",
            "worms.netbios-ns",
            "worms.netbios-dgm",
            "worms.netbios-ssn",
            "worms.microsoft-ds",
            "worms.http-rpc-epmap",
            "worms.1025",
            "worms.2745",
            "worms.3127",
            "worms.ms-wbt-server",
            "worms.6129",
            "last",
        ]
    );
    let profile = &policy.rules[1..policy.rules.len() - 1];
    assert!(profile.iter().all(|rule| !rule.enforce));
}

#[test]
fn wrong_profiles_are_told_with_what_is_right() {
    for (entry, message, hint, pointed) in [
        (
            "profile: worm",
            "no profile is called `worm`",
            "did you mean `worms`?",
            "worm",
        ),
        (
            "profile: everything",
            "no profile is called `everything`",
            "`trojans`, `windows-services` and `worms`",
            "everything",
        ),
        (
            "profile: [worms]",
            "no profile is called a list",
            "`trojans`, `windows-services` and `worms`",
            "[worms]",
        ),
        (
            "{ profile: worms, enforce: off }",
            "`enforce` is `true` or `false`, found `off`",
            "`false`",
            "off",
        ),
        (
            "{ profile: worms, action: drop }",
            "an entry with `profile` has no key `action`",
            "its rules are those of the catalogue",
            "action",
        ),
        (
            "{ profil: worms }",
            "a rule has no key `profil`",
            "did you mean `profile`?",
            "profil",
        ),
    ] {
        assert_refused(&with_rules(&[entry]), message, hint, pointed);
    }
}

#[test]
fn names_of_profiles_and_rules_do_not_collide() {
    let own = "{ name: worms.epmap, action: pass, ports: 135 }";
    for rules in [[own, "profile: worms"], ["profile: worms", own]] {
        let text = with_rules(&rules);
        let problem = only_problem(&text);
        assert_eq!(problem.message, "two rules are called `worms.epmap`");
        assert_eq!(at(&text, &problem).0, 5);
        assert_eq!(problem.related.len(), 1);
    }
    let text = with_rules(&["profile: worms", "profile: trojans", "profile: worms"]);
    let problem = only_problem(&text);
    assert_eq!(problem.message, "the profile `worms` stands twice");
    assert_eq!(at(&text, &problem), (6, 14));
}
