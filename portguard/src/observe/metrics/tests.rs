use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::control::{
    Count, Counters, DropCount, EventAccount, EventSettings, InterfaceState, InterfaceStatus,
    LastReload, OutcomeCount, RuleCount,
};
use crate::dataplane::Mode;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * 60,
    }
}

fn rule(name: &str, action: Option<&str>, [decided, limited, shadow]: [u64; 3]) -> RuleCount {
    RuleCount {
        name: name.into(),
        action: action.map(Into::into),
        count: count(decided),
        limited: count(limited),
        shadow: count(shadow),
    }
}

fn dropped(protocol: &str, port: Option<u16>, packets: u64) -> DropCount {
    DropCount {
        protocol: protocol.into(),
        port,
        service: None,
        packets,
    }
}

fn snapshot(rules: Vec<RuleCount>, enforced: Vec<bool>) -> Snapshot {
    let outcome = |name: &str, packets| OutcomeCount {
        name: name.into(),
        count: count(packets),
    };
    let counters = Counters {
        unix_time: 1_767_225_600.5,
        uptime_s: 7.0,
        generation: 3,
        frames: count(100),
        outcomes: vec![
            outcome("default-pass", 70),
            outcome("malformed:tcp-short", 2),
        ],
        rules,
        drops: vec![
            dropped("tcp", Some(23), 5),
            dropped("tcp", Some(24), 6),
            dropped("tcp", None, 7),
            dropped("udp", Some(23), 8),
            dropped("gre", None, 9),
            dropped("200", None, 10),
            dropped("201", None, 11),
        ],
        events: EventAccount {
            would_be: 1_006,
            delivered: 900,
            suppressed: 101,
            lost: 5,
        },
    };
    let interface = |name: &str, state, mode| InterfaceStatus {
        name: name.into(),
        state,
        mode,
        reason: None,
    };
    let reloads = Reloads {
        success: 2,
        unchanged: 1,
        failure: 4,
        ..Reloads::default()
    };
    reloads.durations.observe(0.03);
    reloads.durations.observe(3.0);
    Snapshot {
        sample: Arc::new(Sample::new(counters.clone())),
        status: Status {
            version: "1.2.3".into(),
            pid: 1,
            policy: "/etc/portguard/policy.yaml".into(),
            generation: 3,
            rules: 2,
            enforce: true,
            interfaces: vec![
                interface("eth0", InterfaceState::Attached, Some(Mode::Native)),
                interface("eth1", InterfaceState::Attached, Some(Mode::Generic)),
                interface("wan*", InterfaceState::Waiting, None),
                interface("eth2", InterfaceState::Failed, None),
            ],
            last_reload: Some(LastReload {
                ok: false,
                unix_time: 1,
                error: None,
            }),
            trial_s: Some(42),
            events: Some(EventSettings {
                rate: "90/m".into(),
                snap_bytes: 128,
            }),
            event_account: counters.events,
            degraded: vec!["one".into(), "two".into()],
        },
        started_unix_s: 1_767_225_593.0,
        policy: PolicyFacts {
            changed_unix_s: 1_767_225_594.0,
            enforced,
            ports: vec![(Transport::Tcp, 23), (Transport::Tcp, 80)],
        },
        bans: 12,
        bans_capacity: 65_536,
        reloads,
        texts: Texts::default(),
    }
}

fn some_rules() -> Snapshot {
    let rules = vec![
        rule("admin", Some("pass"), [1, 0, 0]),
        rule("no-telnet", Some("drop"), [5, 0, 0]),
        rule("tell", Some("reject"), [6, 0, 0]),
        rule("dns", Some("limit"), [7, 8, 0]),
        rule("quiet", Some("limit"), [0, 0, 0]),
        rule("later", Some("drop"), [0, 0, 9]),
        rule("was-enforced", Some("drop"), [10, 0, 11]),
        rule("removed", None, [12, 0, 0]),
    ];
    snapshot(rules, vec![true, true, true, true, true, false, false])
}

fn text(snapshot: Snapshot, format: Format) -> String {
    let text = Arc::new(snapshot).text(format).expect("a text");
    String::from_utf8(text.to_vec()).expect("UTF-8")
}

/// Series by name and labels as written, with their values.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        (name, value.parse().expect("a number"))
    });
    series.collect()
}

#[test]
fn every_value_is_in_the_text() {
    let text = text(some_rules(), Format::OpenMetrics);
    let series = series(&text);
    for (name, value) in [
        ("portguard_build_info{version=\"1.2.3\"}", 1.0),
        ("portguard_start_time_seconds", 1_767_225_593.0),
        ("portguard_degraded_reasons", 2.0),
        ("portguard_bans", 12.0),
        ("portguard_bans_capacity", 65_536.0),
        ("portguard_policy_generation", 3.0),
        ("portguard_policy_rules", 2.0),
        ("portguard_policy_enforced", 1.0),
        (
            "portguard_policy_last_change_timestamp_seconds",
            1_767_225_594.0,
        ),
        ("portguard_trial_active", 1.0),
        ("portguard_trial_remaining_seconds", 42.0),
        ("portguard_reloads_total{result=\"success\"}", 2.0),
        ("portguard_reloads_total{result=\"unchanged\"}", 1.0),
        ("portguard_reloads_total{result=\"failure\"}", 4.0),
        ("portguard_reload_duration_seconds_count", 2.0),
        ("portguard_reload_duration_seconds_sum", 3.03),
        (
            "portguard_reload_duration_seconds_bucket{le=\"0.025\"}",
            0.0,
        ),
        ("portguard_reload_duration_seconds_bucket{le=\"0.05\"}", 1.0),
        ("portguard_reload_duration_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("portguard_last_reload_successful", 0.0),
        (
            "portguard_interface_attached{interface=\"eth0\",mode=\"native\"}",
            1.0,
        ),
        (
            "portguard_interface_attached{interface=\"eth1\",mode=\"generic\"}",
            1.0,
        ),
        (
            "portguard_interface_attached{interface=\"wan*\",mode=\"none\"}",
            0.0,
        ),
        (
            "portguard_interface_attached{interface=\"eth2\",mode=\"none\"}",
            0.0,
        ),
        ("portguard_received_packets_total", 100.0),
        ("portguard_received_bytes_total", 6_000.0),
        (
            "portguard_outcome_packets_total{outcome=\"default-pass\"}",
            70.0,
        ),
        (
            "portguard_outcome_bytes_total{outcome=\"default-pass\"}",
            4_200.0,
        ),
        (
            "portguard_malformed_packets_total{reason=\"tcp-short\"}",
            2.0,
        ),
        (
            "portguard_malformed_bytes_total{reason=\"tcp-short\"}",
            120.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"tcp\",port=\"23\"}",
            5.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"tcp\",port=\"80\"}",
            0.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"tcp\",port=\"other\"}",
            13.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"udp\",port=\"other\"}",
            8.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"sctp\",port=\"other\"}",
            0.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"gre\",port=\"other\"}",
            9.0,
        ),
        (
            "portguard_dropped_packets_total{protocol=\"other\",port=\"other\"}",
            21.0,
        ),
        ("portguard_events_total{result=\"delivered\"}", 900.0),
        ("portguard_events_total{result=\"suppressed\"}", 101.0),
        ("portguard_events_total{result=\"lost\"}", 5.0),
        ("portguard_exporter_folded{what=\"rule_packets\"}", 0.0),
        ("portguard_exporter_folded{what=\"rule_bytes\"}", 0.0),
        ("portguard_exporter_folded{what=\"ports\"}", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_rule_has_the_series_that_it_can_count_in_and_those_that_it_has_counted_in() {
    let text = text(some_rules(), Format::OpenMetrics);
    let series = series(&text);
    let of_rules: BTreeMap<&str, f64> = series
        .iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("portguard_rule_packets_total")?, *value))
        })
        .collect();
    let expected = BTreeMap::from([
        ("{rule=\"admin\",result=\"passed\"}", 1.0),
        ("{rule=\"no-telnet\",result=\"dropped\"}", 5.0),
        ("{rule=\"tell\",result=\"dropped\"}", 6.0),
        ("{rule=\"dns\",result=\"passed\"}", 7.0),
        ("{rule=\"dns\",result=\"limited\"}", 8.0),
        ("{rule=\"quiet\",result=\"passed\"}", 0.0),
        ("{rule=\"quiet\",result=\"limited\"}", 0.0),
        ("{rule=\"later\",result=\"shadow\"}", 9.0),
        ("{rule=\"was-enforced\",result=\"dropped\"}", 10.0),
        ("{rule=\"was-enforced\",result=\"shadow\"}", 11.0),
    ]);
    assert_eq!(of_rules, expected);
    for (labels, packets) in expected {
        let name = format!("portguard_rule_bytes_total{labels}");
        assert_eq!(series.get(name.as_str()), Some(&(packets * 60.0)), "{name}");
    }
}

/// Rules that drop, the first of which counted 1, the second 2, and so on.
fn many(rules: u64) -> Snapshot {
    let all = (1..=rules).map(|number| rule(&format!("r{number}"), Some("drop"), [number, 0, 0]));
    let mut snapshot = snapshot(all.collect(), vec![true; rules as usize]);
    snapshot.policy.ports = (1..=rules as u16)
        .map(|port| (Transport::Udp, port))
        .collect();
    snapshot
}

#[test]
fn a_thousand_rules_stay_under_two_thousand_series_and_it_says_what_is_folded() {
    let text = text(many(1_000), Format::OpenMetrics);
    let series = series(&text);
    // Those of the real daemon have 26 outcomes more, of packets and bytes each.
    assert!(series.len() + 52 < 2_000, "{}", series.len());
    let value = |name: &str| *series.get(name).unwrap_or_else(|| panic!("no {name}"));
    for number in [1_u64, 700, 1_000] {
        let name = format!("portguard_rule_packets_total{{rule=\"r{number}\",result=\"dropped\"}}");
        assert_eq!(value(&name), number as f64);
    }
    assert_eq!(
        value("portguard_exporter_folded{what=\"rule_packets\"}"),
        0.0
    );
    assert_eq!(
        value("portguard_exporter_folded{what=\"rule_bytes\"}"),
        300.0
    );
    assert_eq!(value("portguard_exporter_folded{what=\"ports\"}"), 900.0);
    let rest: u64 = (701..=1_000).sum();
    assert_eq!(
        value("portguard_rule_bytes_total{rule=\"(other)\",result=\"dropped\"}"),
        (rest * 60) as f64
    );
    assert!(!series.contains_key("portguard_rule_bytes_total{rule=\"r701\",result=\"dropped\"}"));
    assert!(
        !series.contains_key("portguard_rule_packets_total{rule=\"(other)\",result=\"dropped\"}")
    );
}

#[test]
fn more_rules_take_no_more_series() {
    let text = text(many(16_384), Format::OpenMetrics);
    let series = series(&text);
    assert!(series.len() + 52 < 2_000, "{}", series.len());
    let rest: u64 = (1_701..=16_384).sum();
    let value = |name: &str| *series.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(
        value("portguard_rule_packets_total{rule=\"(other)\",result=\"dropped\"}"),
        rest as f64
    );
    assert_eq!(
        value("portguard_exporter_folded{what=\"rule_packets\"}"),
        14_684.0
    );
}

/// Name, type, unit and labels of each family.
type Families = BTreeMap<String, (String, String, BTreeSet<String>)>;

/// The families that the page lists.
fn documented() -> Families {
    let rows = PAGE
        .lines()
        .filter(|line| line.starts_with("| `portguard_"));
    let family = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, unit, labels, meaning, _] = &cells[..] else {
            panic!("a row has five cells: {row}")
        };
        assert!(meaning.len() > 10, "{row}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        let name = name.trim_matches('`').to_owned();
        (
            name,
            ((*kind).to_owned(), (*unit).to_owned(), labels.collect()),
        )
    });
    family.collect()
}

/// The families of a text in OpenMetrics.
fn written(text: &str) -> Families {
    let mut families = Families::new();
    let mut series = series(text).into_keys().peekable();
    assert!(series.peek().is_some());
    let names: Vec<&str> = series.collect();
    for line in text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let unit = text.lines().find_map(|line| {
            line.strip_prefix("# UNIT ")?
                .strip_prefix(name)?
                .strip_prefix(' ')
        });
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        let own = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        let labels = names
            .iter()
            .filter_map(|series| series.strip_prefix(own.as_str()))
            .filter_map(|rest| rest.strip_prefix('{')?.strip_suffix('}'))
            .flat_map(|labels| labels.split("\","))
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let family = (
            kind.to_owned(),
            unit.unwrap_or_default().to_owned(),
            labels.collect(),
        );
        assert!(families.insert(own, family).is_none(), "{name} twice");
    }
    families
}

#[test]
fn the_page_lists_every_metric_as_it_is() {
    let text = text(some_rules(), Format::OpenMetrics);
    let (documented, written) = (documented(), written(&text));
    assert_eq!(documented, written);
    assert!(documented.len() > 20);
}

#[test]
fn both_formats_tell_the_same() {
    let [open, classic] =
        [Format::OpenMetrics, Format::Classic].map(|format| text(some_rules(), format));
    // Each has its own way to write the bounds of a histogram.
    let same_bounds = open.replace(".0\"} ", "\"} ");
    assert_eq!(series(&same_bounds), series(&classic));
    // The classic format knows neither, and calls a counter as its series is called.
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    assert!(
        classic.contains("# TYPE portguard_rule_packets_total counter\n"),
        "{classic}"
    );
    assert!(
        open.contains("# TYPE portguard_rule_packets counter\n"),
        "{open}"
    );
}

#[test]
fn a_text_is_written_once() {
    let snapshot = Arc::new(some_rules());
    let first = snapshot.text(Format::Classic).expect("a text");
    let second = snapshot.text(Format::Classic).expect("a text");
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn ports_are_those_that_rules_name_by_themselves() {
    let text = "version: 1\nrules:
  - { name: a, action: drop, ports: [23/tcp, 23/tcp, 80-90/tcp, 53] }
  - { name: b, action: pass, ports: any, protocol: udp }
  - { name: c, action: pass, ports: 23/tcp, enforce: true }
  - { name: d, action: drop, ports: 99-99/udp, enforce: false }\n";
    let checked = portguard_policy::check(text, &mut portguard_policy::NoFiles).expect("a policy");
    let facts = PolicyFacts::of(&checked.policy, 5.0);
    let ports = [
        (Transport::Tcp, 23),
        (Transport::Tcp, 53),
        (Transport::Udp, 53),
        (Transport::Udp, 99),
    ];
    assert_eq!(facts.ports, ports);
    assert_eq!(facts.enforced, [true, true, true, false]);
    assert_eq!(facts.changed_unix_s, 5.0);
}

/// Every metric that an expression names.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("portguard_"))
}

#[test]
fn the_alerts_and_the_dashboard_name_metrics_that_there_are() {
    let documented = documented();
    let exists = |name: &str| {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|suffix| {
                let family = documented.get(name.strip_suffix(suffix)?)?;
                (family.0 == "histogram").then_some(())
            });
        documented.contains_key(name) || of_histogram.is_some()
    };
    let alerts = include_str!("../../../../config/prometheus/portguard.rules.yml");
    let alerts = alerts
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let dashboard = include_str!("../../../../config/grafana/portguard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 15, "{}", expressions.len());
    let mut seen = BTreeSet::new();
    for text in alerts.chain(expressions) {
        for name in named(text) {
            assert!(exists(name), "{name} of `{text}` is no metric");
            seen.insert(name);
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

/// The expressions and queries of a dashboard.
fn collect<'a>(value: &'a serde_json::Value, expressions: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    serde_json::Value::String(text) if key == "expr" || key == "query" => {
                        expressions.push(text);
                    }
                    field => collect(field, expressions),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, expressions)),
        _ => {}
    }
}
