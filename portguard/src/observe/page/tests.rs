//! The page, report by report.

use std::path::{Path, PathBuf};

use portguard_policy::Place;
use serde_json::Value;

use super::super::fixtures::{count, event, rule};
use super::*;
use crate::control::{DropCount, EventAccount, EventSettings, OutcomeCount, RuleCount};

fn dropped(port: u16, packets: u64) -> DropCount {
    DropCount {
        protocol: "tcp".into(),
        port: Some(port),
        service: None,
        packets,
    }
}

fn counters(uptime_s: f64, rules: Vec<RuleCount>, drops: Vec<DropCount>) -> Counters {
    Counters {
        unix_time: 1_767_225_600.0,
        uptime_s,
        generation: 2,
        frames: count(rules.iter().map(|rule| rule.count.packets).sum()),
        outcomes: Vec::new(),
        rules,
        events: EventAccount::default(),
        drops,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        policy: PathBuf::from("/etc/portguard/policy.yaml"),
        generation: 2,
        rules: 2,
        enforce: true,
        interfaces: Vec::new(),
        last_reload: None,
        trial_s: None,
        events: Some(EventSettings {
            rate: "100/s".into(),
            snap_bytes: 128,
        }),
        event_account: EventAccount::default(),
        degraded: Vec::new(),
    }
}

const TEXT: &str =
    "version: 1\r\nrules:\n  - name: a # <script>\n    action: drop\n  - {profile: p}\n";

const DROP_IN: &str = "rules:\n  - {name: web, action: drop}\n";

fn text() -> Arc<PolicyText> {
    let rules = [
        ("a", place(None, 3)),
        ("p1", place(None, 5)),
        ("p2", place(None, 5)),
        ("web", place(Some("policy.d/10-web.yaml"), 2)),
    ];
    let rules = rules.iter().map(|(name, place)| (*name, place));
    let drop_ins = [("policy.d/10-web.yaml", DROP_IN)];
    let path = Path::new("/p.yaml");
    Arc::new(PolicyText::new(path, 2, TEXT, drop_ins, rules))
}

fn place(file: Option<&str>, line: usize) -> Place {
    Place {
        file: file.map(Into::into),
        line,
    }
}

fn report(counters: Counters) -> Arc<Report> {
    Arc::new(Report {
        sample: Arc::new(Sample::new(counters)),
        status: status(),
        policy: text(),
    })
}

fn shown(page: &Page) -> Value {
    serde_json::from_str(&page.json().unwrap()).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let rows = list["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect()
}

#[test]
fn figures_rates_and_graphs_are_those_of_the_reports() {
    let mut page = Page::new(report(counters(
        10.0,
        vec![rule("a", 5), rule("b", 50)],
        vec![dropped(23, 55)],
    )));
    let first = shown(&page);
    assert_eq!(first["rate"], Value::Null);
    assert_eq!(first["dropped_per_second"], Value::Null);
    assert_eq!(first["frames"]["packets"], 55);
    assert_eq!(first["frames_series"], serde_json::json!([]));
    // The one that counted most comes first where nothing moves.
    assert_eq!(names(&first["rules"]), ["b", "a"]);

    let limited = RuleCount {
        limited: count(4),
        shadow: count(2),
        ..rule("a", 9)
    };
    page.take(
        report(counters(
            12.0,
            vec![limited, rule("b", 50)],
            vec![dropped(23, 55), dropped(80, 8)],
        )),
        [],
    );
    let second = shown(&page);
    assert_eq!(second["rate"]["packets_per_second"], 2.0);
    assert_eq!(second["rate"]["bytes_per_second"], 200.0);
    assert_eq!(second["dropped"], 63);
    assert_eq!(second["dropped_per_second"], 4.0);
    assert_eq!(second["frames_series"], serde_json::json!([2.0]));
    assert_eq!(second["dropped_series"], serde_json::json!([4.0]));
    // What moves comes first.
    assert_eq!(names(&second["rules"]), ["a", "b"]);
    let row = &second["rules"]["rows"][0];
    assert_eq!(
        (&row["packets"], &row["limited"], &row["shadow"]),
        (&9.into(), &4.into(), &2.into())
    );
    // (4 + 4 + 2) in two seconds.
    assert_eq!(row["per_second"], 5.0);
    assert_eq!(row["series"], serde_json::json!([5.0]));
    assert_eq!(names(&second["ports"]), ["80/tcp", "23/tcp"]);
    assert_eq!(second["ports"]["rows"][0]["packets"], 8);
}

#[test]
fn the_same_sample_is_not_taken_twice_and_a_long_silence_begins_anew() {
    let sample = |uptime_s, packets| counters(uptime_s, vec![rule("a", packets)], Vec::new());
    let mut page = Page::new(report(sample(1.0, 0)));
    let second = report(sample(2.0, 7));
    page.take(Arc::clone(&second), []);
    let on_trial = Arc::new(Report {
        sample: Arc::clone(&second.sample),
        status: Status {
            trial_s: Some(30),
            ..status()
        },
        policy: text(),
    });
    page.take(on_trial, []);
    let now = shown(&page);
    assert_eq!(now["frames_series"], serde_json::json!([7.0]));
    assert_eq!(now["status"]["trial_s"], 30);

    page.take(report(sample(2.0 + GAP_S + 0.1, 700)), []);
    let now = shown(&page);
    assert_eq!(now["rate"], Value::Null);
    assert_eq!(now["frames_series"], serde_json::json!([]));
    assert_eq!(now["frames"]["packets"], 700);
    // Another daemon, whose clock is behind.
    page.take(report(sample(1.0, 3)), []);
    assert_eq!(shown(&page)["rate"], Value::Null);
    page.take(report(sample(2.0, 4)), []);
    assert_eq!(shown(&page)["rate"]["packets_per_second"], 1.0);
}

#[test]
fn what_is_told_and_kept_is_bounded() {
    let scan = |uptime_s, packets: u64| {
        let rules = (0..2_000)
            .map(|number| rule(&format!("rule-{number}"), packets))
            .collect();
        let drops = (1..=6_000).map(|port| dropped(port, packets)).collect();
        report(counters(uptime_s, rules, drops))
    };
    let mut page = Page::new(scan(1.0, 1));
    for second in 1..5 {
        page.take(scan(1.0 + second as f64, 1 + second), []);
    }
    assert!(
        page.history.subjects() <= 3 * FASTEST,
        "{}",
        page.history.subjects()
    );
    let now = shown(&page);
    assert_eq!(now["ports"]["rows"].as_array().unwrap().len(), SHOWN);
    assert_eq!(now["ports"]["hidden"], 6_000 - SHOWN);
    assert_eq!(now["rules"]["hidden"], 2_000 - SHOWN);
    // All of them are in the sum.
    assert_eq!(now["dropped_per_second"], 6_000.0);
    assert!(page.json().unwrap().len() < 32_768);
}

#[test]
fn graphs_are_as_long_as_there_are_samples() {
    let sample = |second: u64| {
        report(counters(
            second as f64,
            vec![rule("a", second * 3)],
            vec![dropped(23, second)],
        ))
    };
    let mut page = Page::new(sample(0));
    for second in 1..=(SAMPLES as u64 + 20) {
        page.take(sample(second), []);
    }
    let now = shown(&page);
    let length = |series: &Value| series.as_array().unwrap().len();
    assert_eq!(length(&now["frames_series"]), SAMPLES);
    assert_eq!(length(&now["dropped_series"]), SAMPLES);
    assert_eq!(length(&now["rules"]["rows"][0]["series"]), SAMPLES);
}

#[test]
fn sources_are_told_only_where_the_policy_has_events() {
    let mut page = Page::new(report(counters(1.0, Vec::new(), Vec::new())));
    page.take(
        report(counters(2.0, Vec::new(), Vec::new())),
        [event("192.0.2.9", None, 23)],
    );
    assert_eq!(
        shown(&page)["sources"],
        serde_json::json!({ "account": EventAccount::default(), "events": 1, "rows": [
            { "address": "192.0.2.9", "events": 1, "decided_by": "default-drop", "target": "23/tcp" }
        ] })
    );
    let without = Arc::new(Report {
        sample: Arc::new(Sample::new(counters(3.0, Vec::new(), Vec::new()))),
        status: Status {
            events: None,
            ..status()
        },
        policy: text(),
    });
    page.take(without, []);
    assert_eq!(shown(&page)["sources"], Value::Null);
}

#[test]
fn lines_of_the_policy_have_the_counts_of_their_rules() {
    let shadow = RuleCount {
        shadow: count(6),
        ..rule("p2", 1)
    };
    let removed = RuleCount {
        action: None,
        ..rule("gone", 99)
    };
    let page = Page::new(report(counters(
        1.0,
        vec![rule("a", 0), rule("p1", 4), shadow, removed, rule("web", 9)],
        Vec::new(),
    )));
    // A profile has several rules on its line; `a` has counted nothing.
    assert_eq!(
        shown(&page)["lines"],
        serde_json::json!([
            { "file": 0, "line": 5, "packets": 5, "limited": 0, "shadow": 6 },
            { "file": 1, "line": 2, "packets": 9, "limited": 0, "shadow": 0 },
        ])
    );
    let outcomes = Counters {
        outcomes: vec![OutcomeCount {
            name: "default-pass".into(),
            count: count(3),
        }],
        ..counters(1.0, vec![rule("a", 2)], Vec::new())
    };
    let page = Page::new(report(outcomes));
    assert_eq!(
        shown(&page)["lines"],
        serde_json::json!([{ "file": 0, "line": 3, "packets": 2, "limited": 0, "shadow": 0 }])
    );
    assert_eq!(names(&shown(&page)["outcomes"]), ["default-pass"]);
}

#[test]
fn the_text_of_the_policy_is_told_as_it_is_and_cut_where_it_is_long() {
    let whole: Value = serde_json::from_str(&text().json().unwrap()).unwrap();
    assert_eq!(
        whole,
        serde_json::json!({
            "generation": 2,
            "files": [
                {
                    "name": "/p.yaml",
                    "lines": ["version: 1", "rules:", "  - name: a # <script>", "    action: drop", "  - {profile: p}"],
                    "hidden": 0,
                },
                {
                    "name": "policy.d/10-web.yaml",
                    "lines": ["rules:", "  - {name: web, action: drop}"],
                    "hidden": 0,
                },
            ],
            "hidden_files": 0,
        })
    );
    let cut = |text: &str| -> (usize, usize, PolicyText) {
        let places = [place(None, 2_500), place(None, 1)];
        let rules = ["last", "first"].into_iter().zip(&places);
        let text = PolicyText::new(Path::new("/p"), 1, text, [], rules);
        let json: Value = serde_json::from_str(&text.json().unwrap()).unwrap();
        assert!(json.to_string().len() < 300 * 1024);
        let (lines, hidden) = shown_lines(&json["files"][0]);
        (lines, hidden, text)
    };
    let (lines, hidden, text) = cut(&"x: 1\n".repeat(2_500));
    assert_eq!((lines, hidden), (2_000, 500));
    assert_eq!(
        (text.place_of("first"), text.place_of("last")),
        (Some((0, 1)), None)
    );
    // Lines of a thousand characters fill the room before.
    let (lines, hidden, _) = cut(&format!("{}\n", "y".repeat(5_000)).repeat(2_000));
    assert_eq!(lines + hidden, 2_000);
    assert!((200..300).contains(&lines), "{lines}");
}

/// Lines of a file that are shown, and how many are not.
fn shown_lines(file: &Value) -> (usize, usize) {
    let lines = file["lines"].as_array().unwrap().len();
    (lines, file["hidden"].as_u64().unwrap() as usize)
}

#[test]
fn drop_ins_share_the_room_of_the_policy_and_all_that_is_left_out_is_said() {
    let long = "x: 1\n".repeat(1_500);
    let names: Vec<String> = (0..150)
        .map(|number| format!("policy.d/{number:03}.yaml"))
        .collect();
    let drop_ins = names.iter().map(|name| (name.as_str(), long.as_str()));
    let places = [
        place(Some("policy.d/000.yaml"), 500),
        place(Some("policy.d/000.yaml"), 501),
        place(Some("policy.d/149.yaml"), 1),
    ];
    let rules = ["in", "behind", "far"].into_iter().zip(&places);
    let text = PolicyText::new(Path::new("/p"), 1, &long, drop_ins, rules);
    let json: Value = serde_json::from_str(&text.json().unwrap()).unwrap();
    let files = json["files"].as_array().unwrap();
    assert_eq!((files.len(), &json["hidden_files"]), (100, &51.into()));
    assert_eq!(shown_lines(&files[0]), (1_500, 0));
    assert_eq!(shown_lines(&files[1]), (500, 1_000));
    assert_eq!(shown_lines(&files[2]), (0, 1_500));
    assert_eq!(files[2]["name"], "policy.d/001.yaml");
    assert_eq!(
        ["in", "behind", "far"].map(|rule| text.place_of(rule)),
        [Some((1, 500)), None, None]
    );
}
