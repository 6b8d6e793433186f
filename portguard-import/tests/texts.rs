//! What is decided by the text alone: settings of the policy, the list, and what is refused.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

use portguard_import::{
    ImportError, Imported, Kind, Options, Source, firewalld, iptables, nft, ufw,
};
use portguard_policy::{NoFiles, check};

fn source<'t>(name: &'t str, text: &'t str) -> Source<'t> {
    Source { name, text }
}

/// A table `filter` with these rules, whose policy is to drop.
fn table(rules: &[&str]) -> String {
    format!("*filter\n:INPUT DROP [0:0]\n{}\nCOMMIT\n", rules.join("\n"))
}

fn read(rules: &[&str], options: &Options) -> Imported {
    let text = table(rules);
    let imported = iptables(&[source("v4", &text)], options).expect("rules");
    accepted(&imported);
    imported
}

fn accepted(imported: &Imported) {
    if let Err(problems) = check(&imported.policy, &mut NoFiles) {
        panic!("refused:\n{}\n{problems:#?}", imported.policy);
    }
}

fn kinds(imported: &Imported) -> Vec<(Kind, usize)> {
    let told = imported
        .findings
        .iter()
        .filter(|own| own.kind != Kind::Note);
    told.map(|own| (own.kind, own.line)).collect()
}

fn refused(rules: &[&str]) -> ImportError {
    let text = table(rules);
    iptables(&[source("v4", &text)], &Options::default()).expect_err("refused")
}

const ANSWERS: &str = "-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT";
const SSH: &str = "-A INPUT -p tcp --dport 22 -j ACCEPT";

#[test]
fn answers_pass_where_all_of_them_did() {
    let imported = read(&[ANSWERS, SSH], &Options::default());
    assert!(
        imported.policy.contains("replies: pass\n"),
        "{}",
        imported.policy
    );
    assert_eq!(kinds(&imported), []);
    let imported = read(&[SSH], &Options::default());
    assert!(
        imported.policy.contains("replies: rules\n"),
        "{}",
        imported.policy
    );
    assert_eq!(kinds(&imported), []);
}

#[test]
fn answers_of_one_protocol_alone_are_left_out() {
    let tcp = "-A INPUT -p tcp -m state --state ESTABLISHED -j ACCEPT";
    let imported = read(&[tcp, SSH], &Options::default());
    assert!(
        imported.policy.contains("replies: rules\n"),
        "{}",
        imported.policy
    );
    assert_eq!(kinds(&imported), [(Kind::Stricter, 3)]);
}

#[test]
fn answers_that_are_dropped_first_are_wider() {
    let rules = ["-A INPUT -s 203.0.113.7/32 -j DROP", ANSWERS, SSH];
    let imported = read(&rules, &Options::default());
    assert!(
        imported.policy.contains("replies: pass\n"),
        "{}",
        imported.policy
    );
    assert_eq!(kinds(&imported), [(Kind::Wider, 3)]);
    assert!(imported.is_wider());
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    let imported = read(&rules, &strict);
    assert!(
        imported.policy.contains("replies: rules\n"),
        "{}",
        imported.policy
    );
    assert!(!imported.is_wider());
}

#[test]
fn answers_without_errors_are_told() {
    let rules = ["-A INPUT -m state --state ESTABLISHED -j ACCEPT", SSH];
    let imported = read(&rules, &Options::default());
    assert!(
        imported.policy.contains("replies: pass\n"),
        "{}",
        imported.policy
    );
    // The policy of the chain drops the errors.
    assert_eq!(kinds(&imported), [(Kind::Wider, 2)]);
}

#[test]
fn a_drop_that_cannot_be_said_matters_only_before_an_accept() {
    let mark = "-A INPUT -m mark --mark 0x7 -j DROP";
    assert_eq!(
        kinds(&read(&[ANSWERS, mark, SSH], &Options::default())),
        [(Kind::Wider, 4)]
    );
    assert_eq!(kinds(&read(&[ANSWERS, SSH, mark], &Options::default())), []);
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    let imported = read(&[ANSWERS, mark, SSH], &strict);
    assert_eq!(kinds(&imported), [(Kind::Stricter, 4)]);
    assert!(
        imported.policy.contains("    action: drop\n"),
        "{}",
        imported.policy
    );
}

#[test]
fn an_accept_that_cannot_be_said_is_left_out() {
    let mark = "-A INPUT -p tcp --dport 80 -m mark --mark 0x7 -j ACCEPT";
    let imported = read(&[ANSWERS, mark, SSH], &Options::default());
    assert_eq!(kinds(&imported), [(Kind::Stricter, 4)]);
    assert!(
        !imported.policy.contains("ports: 80"),
        "{}",
        imported.policy
    );
    // Where all of it is accepted behind, nothing is lost.
    let imported = read(
        &[ANSWERS, mark, "-A INPUT -p tcp -j ACCEPT"],
        &Options::default(),
    );
    assert_eq!(kinds(&imported), []);
}

#[test]
fn a_rate_is_a_limit_only_where_it_drops_beyond() {
    let limited = "-A INPUT -p tcp --dport 22 -m limit --limit 30/min --limit-burst 7 -j ACCEPT";
    let imported = read(&[ANSWERS, limited], &Options::default());
    assert!(
        imported
            .policy
            .contains("    rate: 30/m\n    burst: 7\n    per: rule\n"),
        "{}",
        imported.policy
    );
    assert_eq!(kinds(&imported), []);
    // Beyond the rate some pass, so it decides nothing that can be said.
    let inside = "-A INPUT -s 10.0.0.0/8 -j ACCEPT";
    let imported = read(&[ANSWERS, limited, inside], &Options::default());
    assert_eq!(kinds(&imported), [(Kind::Stricter, 4)]);
    assert!(!imported.policy.contains("rate:"), "{}", imported.policy);
    // A flood is sent back to the rules up to a rate.
    let rules = [
        ":flood - [0:0]",
        ANSWERS,
        "-A INPUT -p tcp --syn -j flood",
        SSH,
        "-A flood -m limit --limit 5/sec -j RETURN",
        "-A flood -j DROP",
    ];
    let imported = read(&rules, &Options::default());
    assert_eq!(kinds(&imported), [(Kind::Wider, 7)]);
    assert!(imported.policy.contains("ports: 22"), "{}", imported.policy);
}

#[test]
fn other_interfaces_are_left_out() {
    let rules = [
        ANSWERS,
        "-A INPUT -i eth1 -p tcp --dport 80 -j ACCEPT",
        "-A INPUT ! -i eth1 -p tcp --dport 81 -j ACCEPT",
        "-A INPUT -i eth+ -p tcp --dport 82 -j ACCEPT",
    ];
    let named = Options {
        interfaces: vec!["eth0".into()],
        ..Options::default()
    };
    let imported = read(&rules, &named);
    assert_eq!(kinds(&imported), []);
    for (port, is_there) in [
        ("ports: 80", false),
        ("ports: 81", true),
        ("ports: 82", true),
    ] {
        assert_eq!(
            imported.policy.contains(port),
            is_there,
            "{port}: {}",
            imported.policy
        );
    }
    assert!(
        !imported.policy.contains("    interfaces:"),
        "{}",
        imported.policy
    );
    // Where they are not named, "but" cannot be said.
    let imported = read(&rules, &Options::default());
    assert_eq!(kinds(&imported), [(Kind::Stricter, 5)]);
    assert!(
        imported.policy.contains("    interfaces: \"eth*\"\n"),
        "{}",
        imported.policy
    );
}

#[test]
fn what_is_no_rule_is_refused_with_its_place() {
    for (rule, column, part) in [
        (
            "-A INPUT -p tcp --dport http -j ACCEPT",
            25,
            "iptables-save",
        ),
        ("-A INPUT -s 1.2.3 -j ACCEPT", 13, "no address"),
        (
            "-A INPUT -m comment --comment \"open -j ACCEPT",
            31,
            "quote",
        ),
        ("-A INPUT -p tcp --dport", 17, "needs a value"),
        ("-D INPUT -j DROP", 1, "-A CHAIN"),
        ("-A INPUT -j nowhere", 1, "no chain"),
    ] {
        let error = refused(&[rule]);
        assert!(error.to_string().contains(part), "{rule}: {error}");
        assert_eq!(error.column, column, "{rule}: {error}");
    }
    let error = refused(&[":a - [0:0]", "-A INPUT -j a", "-A a -j a"]);
    assert!(error.message.contains("calls itself"), "{error}");
}

#[test]
fn chains_that_multiply_are_refused() {
    let mut rules = vec![":next - [0:0]".to_owned()];
    for chain in 0..30 {
        rules.push(format!(":c{chain} - [0:0]"));
    }
    rules.push("-A INPUT -j c0".into());
    for chain in 0..29 {
        for _twice in 0..2 {
            rules.push(format!("-A c{chain} -p tcp -j c{}", chain + 1));
        }
    }
    rules.push("-A c29 -m mark --mark 0x7 -j ACCEPT".into());
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let text = table(&rules);
    let error = iptables(&[source("v4", &text)], &Options::default()).expect_err("too many");
    assert!(error.message.contains("too many ways"), "{error}");
}

#[test]
fn comments_of_the_original_stay_comments() {
    let rule =
        "-A INPUT -p tcp --dport 22 -m comment --comment \"a: [b] # \\\"c\\\" - {d}\" -j ACCEPT";
    let imported = read(&[ANSWERS, rule], &Options::default());
    assert!(imported.policy.contains(rule), "{}", imported.policy);
}

#[test]
fn rules_of_ufw_alone_get_what_stands_around_them() {
    let text =
        "*filter\n:ufw-user-input - [0:0]\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
    let imported = ufw(&[source("user.rules", text)], &Options::default()).expect("rules");
    accepted(&imported);
    assert!(
        imported.policy.contains("default: drop\nreplies: pass\n"),
        "{}",
        imported.policy
    );
    let notes = imported
        .findings
        .iter()
        .filter(|own| own.kind == Kind::Note);
    assert!(
        notes.filter(|own| own.reason.contains("not given")).count() == 2,
        "{:#?}",
        imported.findings
    );
}

#[test]
fn other_tools_refuse_with_a_place_too() {
    let options = Options::default();
    let error = nft(source("rules", "table inet x {}"), &options).expect_err("text");
    assert!(error.to_string().contains("nft -j list ruleset"), "{error}");
    let unknown_set = r#"{"nftables": [{"chain": {"family": "inet", "table": "t", "name": "i", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"rule": {"family": "inet", "table": "t", "chain": "i", "handle": 1, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@gone"}}, {"accept": null}]}}]}"#;
    let error = nft(source("rules", unknown_set), &options).expect_err("a set");
    assert_eq!(
        (error.line, error.message.as_str()),
        (2, "there is no set `gone`")
    );
    for (text, line, part) in [
        (
            "<zone>\n  <service name=\"nothing\"/>\n</zone>",
            2,
            "`nothing` is not known",
        ),
        (
            "<zone>\n  <port port=\"http\" protocol=\"tcp\"/>\n</zone>",
            2,
            "`http` is no port",
        ),
        ("<zone target=\"ALLOW\"/>", 1, "`ALLOW` is no target"),
        ("<zone>\n<rule><sourc/></rule></zone>", 2, "`<sourc>`"),
        ("<zone>", 1, "not XML"),
    ] {
        let error = firewalld(&[source("public.xml", text)], &options).expect_err(text);
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}
