//! The screen, as a terminal of some size would show it.

mod sources;

use std::ffi::OsString;
use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::control::{
    Count, Counters, DropCount, EventAccount, InterfaceState, InterfaceStatus, OutcomeCount,
    RuleCount, Status,
};
use crate::dataplane::Mode;
use crate::observe::top::{Key, Message, Report, Senders};

fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * 100,
    }
}

fn rule(name: &str, action: &str, packets: u64) -> RuleCount {
    RuleCount {
        name: name.into(),
        action: Some(action.into()),
        count: count(packets),
        limited: count(0),
        shadow: count(0),
    }
}

fn report(uptime_s: f64, ssh: u64) -> Report {
    Report {
        status: Status {
            version: "0.1.0".into(),
            pid: 4711,
            policy: PathBuf::from("/etc/portguard/policy.yaml"),
            generation: 7,
            rules: 2,
            enforce: true,
            interfaces: vec![
                InterfaceStatus {
                    name: "eth0".into(),
                    state: InterfaceState::Attached,
                    mode: Some(Mode::Native),
                    reason: None,
                },
                InterfaceStatus {
                    name: "wan0".into(),
                    state: InterfaceState::Waiting,
                    mode: None,
                    reason: None,
                },
            ],
            last_reload: None,
            trial_s: None,
            events: None,
            event_account: EventAccount::default(),
            degraded: Vec::new(),
        },
        counters: Counters {
            unix_time: 1_767_225_600.0,
            uptime_s,
            generation: 7,
            frames: count(ssh + 3000),
            outcomes: vec![OutcomeCount {
                name: "default-pass".into(),
                count: count(2000),
            }],
            rules: vec![rule("web", "pass", 1000), rule("no-ssh", "drop", ssh)],
            events: EventAccount::default(),
            drops: vec![DropCount {
                protocol: "tcp".into(),
                port: Some(23),
                service: Some("telnet".into()),
                packets: ssh,
            }],
        },
        senders: Senders::default(),
    }
}

/// Three reports: `no-ssh` counts 1,500 and then 3,000 packets a second, `web` none.
fn busy() -> Top {
    let mut top = Top::new(report(10.0, 0));
    tell(&mut top, report(11.0, 1500));
    tell(&mut top, report(12.0, 4500));
    top
}

fn tell(top: &mut Top, report: Report) {
    top.update(Message::Report(Box::new(report)));
}

fn press(top: &mut Top, keys: &[Key]) {
    for key in keys {
        top.update(Message::Key(*key));
    }
}

fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |name| {
        let pair = pairs.iter().find(|(own, _)| *own == name);
        pair.map(|(_, value)| OsString::from(value))
    }
}

const XTERM: &[(&str, &str)] = &[("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];

fn look() -> Look {
    Look::new(false, environment(XTERM)).expect("a terminal")
}

fn drawn(top: &mut Top, width: u16, height: u16, look: &Look) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    // Twice: what fitted is known from the first time on.
    for _ in 0..2 {
        let mut fit = Fit::default();
        terminal
            .draw(|frame| fit = draw(frame, top, look))
            .expect("draws");
        top.fit(fit);
    }
    terminal.backend().buffer().clone()
}

fn lines_of(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width.max(1));
    lines
        .map(|cells| {
            let line: String = cells.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

fn lines(top: &mut Top, width: u16, height: u16) -> Vec<String> {
    lines_of(&drawn(top, width, height, &look()))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[track_caller]
fn has(lines: &[String], wanted: &str) {
    let wanted = words(wanted).join(" ");
    let found = lines
        .iter()
        .any(|line| words(line).join(" ").contains(&wanted));
    assert!(found, "no `{wanted}` in:\n{}", lines.join("\n"));
}

#[test]
fn eighty_by_twenty_four_shows_the_daemon_and_its_rules() {
    let lines = lines(&mut busy(), 80, 24);
    assert_eq!(lines.len(), 24);
    assert_eq!(
        words(&lines[0])[..7],
        [
            "3.00k",
            "packets/s,",
            "2.40M",
            "bit/s,",
            "7.50k",
            "in",
            "all"
        ]
    );
    assert!(lines[0].ends_with("▄█"), "{}", lines[0]);
    assert_eq!(
        lines[1],
        "portguard 0.1.0, generation 7, 2 rules, enforced, /etc/portguard/policy.yaml"
    );
    assert_eq!(lines[2], "eth0 native, wan0 WAITING");
    assert_eq!(lines[3], "[Rules 2] Outcomes 1  Blocked ports 1  Sources 0");
    assert_eq!(
        words(&lines[4]),
        [
            "RULE", "ACTION", "vRATE/S", "LAST", "20", "SAMPLES", "TOTAL"
        ]
    );
    assert_eq!(
        words(&lines[5]),
        ["> ", "no-ssh", "drop", "3.00k", "▄█", "4.50k"].map(str::trim)
    );
    assert_eq!(words(&lines[6]), ["web", "pass", "0", "1.00k"]);
    assert!(lines[23].starts_with("q quit"), "{}", lines[23]);
}

#[test]
fn forty_by_ten_shows_names_rates_and_totals() {
    let mut top = busy();
    let mut worse = report(13.0, 7500);
    worse.status.trial_s = Some(42);
    worse.status.degraded = vec!["the last reload failed".into()];
    tell(&mut top, worse);
    let lines = lines(&mut top, 40, 10);
    has(&lines, "3.00k packets/s");
    assert!(
        lines[1].starts_with("ON TRIAL for 42 s more"),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2], "DEGRADED: the last reload failed");
    assert_eq!(lines[3], "[Rules 2] Outcomes  Ports  Sources");
    assert_eq!(words(&lines[4]), ["RULE", "ACTION", "vRATE/S", "TOTAL"]);
    assert_eq!(words(&lines[5]), [">", "no-ssh", "drop", "3.00k", "7.50k"]);
    assert_eq!(words(&lines[6]), ["web", "pass", "0", "1.00k"]);
}

#[test]
fn every_pane_is_drawn() {
    let mut top = busy();
    press(&mut top, &[Key::Tab]);
    let outcomes = lines(&mut top, 80, 24);
    has(&outcomes, "[Outcomes 1]");
    has(&outcomes, "> default-pass 0");
    press(&mut top, &[Key::Tab]);
    let ports = lines(&mut top, 80, 24);
    has(&ports, "PORT SERVICE");
    has(&ports, "> 23/tcp telnet 3.00k ▄█ 4.50k");
}

#[test]
fn what_is_wrong_is_said() {
    let mut top = busy();
    let mut wrong = report(13.0, 4500);
    wrong.status.enforce = false;
    wrong.status.trial_s = Some(9);
    wrong.status.degraded = vec!["waiting for interface `wan0`".into(), "another".into()];
    tell(&mut top, wrong);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "DRY RUN: everything is counted, nothing is dropped");
    has(
        &shown,
        "ON TRIAL for 9 s more: `portguard confirm` keeps it",
    );
    has(&shown, "DEGRADED: waiting for interface `wan0`");
    has(&shown, "DEGRADED: another");
    assert!(!shown.iter().any(|line| line.contains("enforced")));
    top.update(Message::Silent(6));
    has(&lines(&mut top, 80, 24), "NO REPORT for 6 s");
    top.update(Message::Lost("the daemon closed the connection".into()));
    let shown = lines(&mut top, 80, 24);
    has(
        &shown,
        "NO DAEMON, trying again each second: the daemon closed the connection",
    );
    has(&shown, "> no-ssh drop");
}

#[test]
fn a_pause_and_a_filter_are_seen() {
    let mut top = busy();
    press(&mut top, &[Key::Char('p'), Key::Char('/'), Key::Char('w')]);
    let typing = lines(&mut top, 80, 24);
    has(&typing, "PAUSED");
    assert!(typing[23].starts_with("filter: w"), "{}", typing[23]);
    has(&typing, "> web pass");
    assert!(!typing.iter().any(|line| line.contains("no-ssh")));
    press(&mut top, &[Key::Char('x'), Key::Enter]);
    let kept = lines(&mut top, 80, 24);
    has(&kept, "filter: wx");
    has(&kept, "nothing here has `wx`");
}

#[test]
fn the_order_is_marked() {
    let mut top = busy();
    let heading = |top: &mut Top| lines(top, 80, 24)[4].clone();
    press(&mut top, &[Key::Char('s')]);
    assert!(heading(&mut top).contains("vTOTAL"));
    press(&mut top, &[Key::Char('r')]);
    assert!(heading(&mut top).contains("^TOTAL"));
    press(&mut top, &[Key::Char('s')]);
    assert!(heading(&mut top).contains("RULE v"));
    press(&mut top, &[Key::Char('r')]);
    assert!(heading(&mut top).contains("RULE ^"));
}

#[test]
fn a_rule_is_explained() {
    let mut top = busy();
    let mut now = report(13.0, 4600);
    now.counters.rules[1].shadow = count(40);
    tell(&mut top, now);
    press(&mut top, &[Key::Enter]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "Rule no-ssh");
    has(&shown, "action drop");
    has(&shown, "total 4600 packets, 460000 bytes");
    has(&shown, "rate 100 packets/s, 10.0k bytes/s");
    has(
        &shown,
        "shadow 40 packets, 4000 bytes that it would have dropped",
    );
    // 4600 of 7600 packets.
    has(
        &shown,
        "share 100.0 % of the packets of this moment, 60.5 % of all",
    );
    has(&shown, "highest 3.00k packets/s in the last 3 samples");
}

#[test]
fn a_port_is_explained_by_the_catalogue() {
    let mut top = busy();
    press(&mut top, &[Key::Tab, Key::Tab, Key::Char('e')]);
    let shown = lines(&mut top, 80, 40);
    has(&shown, "Blocked port 23/tcp");
    has(&shown, "total 4500 packets");
    has(&shown, "port 23/tcp telnet");
    has(&shown, "class well-known (0-1023)");
    has(&shown, "Mirai");
    has(&shown, "advice close");
}

#[test]
fn an_outcome_is_explained() {
    let mut top = busy();
    press(&mut top, &[Key::Tab, Key::Enter]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "Outcome default-pass");
    has(
        &shown,
        "no rule decided, and the policy says `default: pass`",
    );
    has(
        &shown,
        "share 0.0 % of the packets of this moment, 26.7 % of all",
    );
}

#[test]
fn help_lists_the_keys_and_scrolls_where_it_does_not_fit() {
    let mut top = busy();
    press(&mut top, &[Key::Char('?')]);
    let shown = lines(&mut top, 80, 24);
    for key in ["up, down", "Tab", "Enter, e", "pause", "q, Ctrl-C"] {
        has(&shown, key);
    }
    let small = lines(&mut top, 40, 10);
    has(&small, "Keys");
    assert!(!small.iter().any(|line| line.contains("q, Ctrl-C")));
    press(&mut top, &[Key::End]);
    let small = lines(&mut top, 40, 10);
    has(&small, "on the right.");
}

#[test]
fn no_size_is_too_small() {
    let mut tops = [
        busy(),
        busy(),
        busy(),
        sources::with_senders(),
        sources::with_senders(),
    ];
    press(&mut tops[4], &[Key::Enter]);
    press(&mut tops[1], &[Key::Char('?')]);
    press(&mut tops[2], &[Key::Tab, Key::Char('/'), Key::Char('x')]);
    for top in &mut tops {
        for (width, height) in [(1, 1), (2, 3), (1, 24), (80, 1), (80, 2), (9, 5), (300, 4)] {
            let shown = lines(top, width, height);
            assert_eq!(shown.len(), usize::from(height));
        }
    }
}

#[test]
fn long_names_are_cut_and_numbers_are_not() {
    let mut long = report(10.0, 0);
    long.counters.rules = vec![rule(&"long-".repeat(50), "limit", 123_456_789)];
    long.status.degraded = vec!["reason ".repeat(50)];
    let mut top = Top::new(long);
    for width in [40, 80, 200] {
        let shown = lines(&mut top, width, 24);
        has(&shown, "… limit 0");
        has(&shown, "123M");
        assert!(
            shown
                .iter()
                .any(|line| line.starts_with("DEGRADED") && line.ends_with('…'))
        );
    }
}

#[test]
fn what_others_name_cannot_command_the_terminal() {
    let mut evil = report(10.0, 0);
    evil.status.degraded = vec!["file `\x1b[2Jx\u{7}`".into()];
    evil.status.policy = PathBuf::from("/tmp/\x1b]0;title\u{7}.yaml");
    let mut top = Top::new(evil);
    top.update(Message::Lost("line one\n\x1b[1mline two".into()));
    let shown = lines(&mut top, 80, 24);
    let all = shown.concat();
    assert!(!all.contains(char::is_control), "{all:?}");
    has(&shown, "DEGRADED: file `[2Jx`");
}

#[test]
fn ten_thousand_rules_are_paged() {
    let mut many = report(10.0, 0);
    many.counters.rules = (0..10_000)
        .map(|n| rule(&format!("rule-{n:05}"), "drop", 20_000 - n))
        .collect();
    let mut top = Top::new(many);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "[Rules 10000]");
    has(&shown, "> rule-00000 drop");
    press(&mut top, &[Key::End]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "> rule-09999 drop 0 10.0k");
    assert!(!shown.iter().any(|line| line.contains("rule-00000")));
    press(
        &mut top,
        &[
            Key::Char('/'),
            Key::Char('7'),
            Key::Char('7'),
            Key::Char('7'),
        ],
    );
    has(&lines(&mut top, 80, 24), "rule-00777 drop");
}

#[test]
fn colours_are_drawn_unless_they_are_not_wanted() {
    let colours = |look: &Look| {
        let mut top = busy();
        let mut wrong = report(13.0, 4500);
        wrong.status.degraded = vec!["reason".into()];
        tell(&mut top, wrong);
        let buffer = drawn(&mut top, 80, 24, look);
        let cells = buffer.content.iter();
        cells
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert!(colours(&look()) > 0);
    let unwanted = Look::new(true, environment(XTERM)).expect("a terminal");
    assert_eq!(colours(&unwanted), 0);
    let variable: &[(&str, &str)] = &[("TERM", "xterm"), ("NO_COLOR", "1")];
    let unwanted = Look::new(false, environment(variable)).expect("a terminal");
    assert_eq!(colours(&unwanted), 0);
    // The selected row is seen all the same, by its marker and reversed.
    let buffer = drawn(&mut busy(), 80, 24, &unwanted);
    let row: Vec<_> = buffer.content.chunks(80).nth(5).expect("a row").to_vec();
    assert_eq!(row[0].symbol(), ">");
    assert!(
        row.iter()
            .all(|cell| cell.modifier.contains(Modifier::REVERSED))
    );
    // A variable that is set to nothing is not set (no-color.org).
    let empty: &[(&str, &str)] = &[("TERM", "xterm"), ("NO_COLOR", "")];
    assert!(colours(&Look::new(false, environment(empty)).expect("a terminal")) > 0);
}

#[test]
fn without_a_locale_of_utf8_everything_is_ascii() {
    for pairs in [
        &[("TERM", "vt100")] as &[_],
        &[("TERM", "vt100"), ("LANG", "C")],
        &[("TERM", "vt100"), ("LANG", "C.UTF-8"), ("LC_ALL", "POSIX")],
    ] {
        let look = Look::new(false, environment(pairs)).expect("a terminal");
        let shown = lines_of(&drawn(&mut busy(), 80, 24, &look));
        assert!(shown.concat().is_ascii(), "{pairs:?}: {shown:?}");
        has(&shown, "> no-ssh drop 3.00k =# 4.50k");
    }
    let pairs: &[(&str, &str)] = &[("TERM", "vt100"), ("LC_CTYPE", "de_DE.utf8"), ("LANG", "C")];
    let look = Look::new(false, environment(pairs)).expect("a terminal");
    has(&lines_of(&drawn(&mut busy(), 80, 24, &look)), "▄█");
}

#[test]
fn a_terminal_without_a_cursor_is_told_what_to_do_instead() {
    for pairs in [&[("TERM", "dumb")] as &[_], &[("TERM", "")], &[]] {
        let failure = Look::new(false, environment(pairs)).expect_err("no terminal");
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        let text = failure.to_string();
        assert!(text.contains("`portguard counters --follow`"), "{text}");
    }
}

#[test]
fn numbers_are_short() {
    for (number, text) in [
        (0.0, "0"),
        (0.2, "0.2"),
        (4.0, "4"),
        (9.94, "9.9"),
        (9.96, "10"),
        (999.4, "999"),
        (999.6, "1.00k"),
        (1234.0, "1.23k"),
        (9_994.0, "9.99k"),
        (9_996.0, "10.0k"),
        (99_960.0, "100k"),
        (999_600.0, "1.00M"),
        (u64::MAX as f64, "18.4E"),
    ] {
        assert_eq!(table::short(number), text, "{number}");
    }
}
