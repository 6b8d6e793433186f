//! The view, key by key and report by report.

mod senders;

use std::path::PathBuf;

use super::super::fixtures::{count, rule};
use super::*;
use crate::control::{DropCount, EventAccount, OutcomeCount, RuleCount};

fn dropped(port: u16, service: &str, packets: u64) -> DropCount {
    DropCount {
        protocol: "tcp".into(),
        port: Some(port),
        service: Some(service.into()),
        packets,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        policy: PathBuf::from("/etc/portguard/policy.yaml"),
        generation: 2,
        rules: 3,
        enforce: true,
        interfaces: Vec::new(),
        last_reload: None,
        trial_s: None,
        events: None,
        event_account: EventAccount::default(),
        degraded: Vec::new(),
    }
}

/// A report of rules alone, which are all frames.
fn report(uptime_s: f64, rules: &[(&str, u64)]) -> Report {
    Report {
        status: status(),
        counters: Counters {
            unix_time: 1_767_225_600.0,
            uptime_s,
            generation: 2,
            frames: count(rules.iter().map(|(_, packets)| packets).sum()),
            outcomes: Vec::new(),
            rules: rules
                .iter()
                .map(|(name, packets)| rule(name, *packets))
                .collect(),
            events: EventAccount::default(),
            drops: Vec::new(),
        },
        senders: Senders::default(),
    }
}

fn told(top: &mut Top, report: Report) {
    assert_eq!(top.update(Message::Report(Box::new(report))), Next::Stay);
}

/// Presses keys that do not quit.
fn press(top: &mut Top, keys: &[Key]) {
    for key in keys {
        assert_eq!(top.update(Message::Key(*key)), Next::Stay, "{key:?}");
    }
}

fn typed(top: &mut Top, text: &str) {
    let keys: Vec<Key> = text.chars().map(Key::Char).collect();
    press(top, &keys);
}

fn names(top: &Top) -> Vec<String> {
    let rows = top.view().rows;
    rows.iter().map(|row| row.subject.to_string()).collect()
}

fn selected(top: &Top) -> String {
    let view = top.view();
    view.selected_row().expect("a row").subject.to_string()
}

/// Rates 3, 30 and 0 a second; totals 1006, 70 and 500.
fn three() -> Top {
    let before = [("alpha", 1000), ("beta", 10), ("Gamma", 500)];
    let now = [("alpha", 1006), ("beta", 70), ("Gamma", 500)];
    let mut top = Top::new(report(10.0, &before));
    told(&mut top, report(12.0, &now));
    top
}

#[test]
fn rows_are_sorted_by_rate_then_by_total_then_by_name_and_back() {
    let mut top = three();
    assert_eq!(top.sort(), Sort::Rate);
    assert_eq!(names(&top), ["beta", "alpha", "Gamma"]);
    typed(&mut top, "s");
    assert_eq!(top.sort(), Sort::Total);
    assert_eq!(names(&top), ["alpha", "Gamma", "beta"]);
    typed(&mut top, "s");
    assert_eq!(top.sort(), Sort::Name);
    assert_eq!(names(&top), ["Gamma", "alpha", "beta"]);
    typed(&mut top, "r");
    assert!(top.is_reversed());
    assert_eq!(names(&top), ["beta", "alpha", "Gamma"]);
    typed(&mut top, "rs");
    assert_eq!((top.sort(), top.is_reversed()), (Sort::Rate, false));
    let view = top.view();
    let rates: Vec<f64> = view.rows.iter().map(|row| row.rate()).collect();
    let totals: Vec<u64> = view.rows.iter().map(|row| row.packets()).collect();
    assert_eq!((rates, totals), (vec![30.0, 3.0, 0.0], vec![70, 1006, 500]));
}

#[test]
fn equally_fast_rows_come_by_total_and_then_by_name() {
    let same = [("c", 5), ("a", 5), ("b", 9)];
    let top = Top::new(report(1.0, &same));
    assert_eq!(names(&top), ["b", "a", "c"]);
}

#[test]
fn a_first_report_has_totals_and_no_rate() {
    let top = Top::new(report(1.0, &[("alpha", 7)]));
    assert_eq!(top.picture().rate, None);
    assert_eq!(top.picture().frames, count(7));
    assert_eq!(top.view().rows[0].packets(), 7);
    assert_eq!(top.view().rows[0].rate(), 0.0);
    assert_eq!(top.picture().history.frames().count(), 0);
}

#[test]
fn a_rule_is_what_it_decided_what_was_beyond_its_limit_and_what_it_would_have_dropped() {
    let limit = |decided, limited, shadow| {
        let mut report = report(0.0, &[]);
        report.counters.rules = vec![RuleCount {
            action: Some("limit".into()),
            limited: count(limited),
            shadow: count(shadow),
            ..rule("ssh", decided)
        }];
        report
    };
    let mut now = limit(14, 6, 2);
    now.counters.uptime_s = 2.0;
    let mut top = Top::new(limit(10, 0, 0));
    told(&mut top, now);
    let view = top.view();
    let row = view.rows[0];
    assert_eq!((row.packets(), row.rate()), (22, 6.0));
    assert_eq!(row.note, "limit");
    let parts: Vec<_> = row
        .parts
        .iter()
        .map(|part| (part.kind, part.packets, part.packets_per_second, part.bytes))
        .collect();
    assert_eq!(
        parts,
        [
            (PartKind::Decided, 14, 2.0, Some((1400, 200.0))),
            (PartKind::Limited, 6, 3.0, Some((600, 300.0))),
            (PartKind::Shadow, 2, 1.0, Some((200, 100.0))),
        ]
    );
}

#[test]
fn a_filter_is_typed_kept_and_taken_away() {
    let mut top = three();
    typed(&mut top, "/ALP");
    assert!(top.is_typing());
    assert_eq!(names(&top), ["alpha"], "upper or lower case");
    press(&mut top, &[Key::Backspace, Key::Backspace]);
    assert_eq!(top.filter(), "A");
    assert_eq!(names(&top), ["beta", "alpha", "Gamma"]);
    // While it is typed, letters are letters.
    typed(&mut top, "qsrp");
    assert_eq!((top.filter(), names(&top).len()), ("Aqsrp", 0));
    assert_eq!(top.view().selected, None);
    press(&mut top, &[Key::Enter, Key::Down, Key::End]);
    assert!(!top.is_typing() && top.overlay().is_none());
    press(&mut top, &[Key::Char('/'), Key::Escape]);
    assert_eq!((top.filter(), top.is_typing()), ("", false));
    assert_eq!(names(&top).len(), 3);
}

#[test]
fn what_a_filter_finds_first_is_selected_unless_the_selected_row_is_found() {
    let mut top = three();
    press(&mut top, &[Key::End]);
    assert_eq!(selected(&top), "Gamma");
    typed(&mut top, "/m");
    assert_eq!(selected(&top), "Gamma");
    press(&mut top, &[Key::Backspace]);
    typed(&mut top, "t");
    assert_eq!(selected(&top), "beta");
    press(&mut top, &[Key::Escape]);
    assert_eq!(
        (names(&top)[0].as_str(), selected(&top)),
        ("beta", "beta".into())
    );
}

#[test]
fn a_filter_finds_actions_and_services_too() {
    let mut first = report(1.0, &[("alpha", 1)]);
    first.counters.drops = vec![dropped(23, "telnet", 4), dropped(445, "microsoft-ds", 9)];
    let mut top = Top::new(first);
    typed(&mut top, "/drop");
    assert_eq!(names(&top), ["alpha"]);
    press(&mut top, &[Key::Escape]);
    press(&mut top, &[Key::Tab, Key::Tab]);
    assert_eq!(top.pane(), Pane::Ports);
    typed(&mut top, "/telnet");
    assert_eq!(names(&top), ["23/tcp"]);
}

#[test]
fn tab_goes_through_the_panes_and_each_keeps_its_row() {
    let mut first = report(1.0, &[("alpha", 3), ("beta", 2)]);
    first.counters.outcomes = vec![
        OutcomeCount {
            name: "default-pass".into(),
            count: count(7),
        },
        OutcomeCount {
            name: "banned".into(),
            count: count(0),
        },
    ];
    first.counters.drops = vec![dropped(1000, "x", 4), dropped(23, "telnet", 4)];
    let mut top = Top::new(first);
    press(&mut top, &[Key::Down, Key::Tab]);
    assert_eq!(top.pane(), Pane::Outcomes);
    assert_eq!(
        names(&top),
        ["default-pass"],
        "what never happened is not listed"
    );
    press(&mut top, &[Key::Tab]);
    assert_eq!(names(&top), ["23/tcp", "1000/tcp"], "ports by number");
    press(&mut top, &[Key::Tab]);
    assert_eq!((top.pane(), names(&top).len()), (Pane::Sources, 0));
    press(&mut top, &[Key::Tab]);
    assert_eq!((top.pane(), selected(&top)), (Pane::Rules, "beta".into()));
    press(&mut top, &[Key::BackTab]);
    assert_eq!(top.pane(), Pane::Sources);
    let counts = Pane::ALL.map(|pane| top.count(pane));
    assert_eq!(counts, [2, 1, 2, 0]);
}

#[test]
fn arrows_letters_and_pages_move_within_the_rows() {
    let rules: Vec<(String, u64)> = (0..30).map(|n| (format!("r{n:02}"), 100 - n)).collect();
    let rules: Vec<(&str, u64)> = rules.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    let mut top = Top::new(report(1.0, &rules));
    top.fit(Fit {
        rows: 10,
        hidden_lines: 0,
    });
    let mut after = |keys: &[Key]| {
        press(&mut top, keys);
        selected(&top)
    };
    assert_eq!(after(&[]), "r00");
    assert_eq!(after(&[Key::Up]), "r00");
    assert_eq!(after(&[Key::Down, Key::Char('j')]), "r02");
    assert_eq!(after(&[Key::Char('k')]), "r01");
    assert_eq!(after(&[Key::PageDown]), "r11");
    assert_eq!(after(&[Key::PageDown, Key::PageDown]), "r29");
    assert_eq!(after(&[Key::Down]), "r29");
    assert_eq!(after(&[Key::PageUp]), "r19");
    assert_eq!(after(&[Key::Home]), "r00");
    assert_eq!(after(&[Key::End]), "r29");
}

#[test]
fn a_chosen_row_stays_selected_where_others_overtake_it() {
    let mut top = three();
    press(&mut top, &[Key::Down]);
    assert_eq!(selected(&top), "alpha");
    let now = [("alpha", 1006), ("beta", 100), ("Gamma", 900)];
    told(&mut top, report(13.0, &now));
    assert_eq!(names(&top), ["Gamma", "beta", "alpha"]);
    assert_eq!(selected(&top), "alpha");
}

#[test]
fn without_a_choice_the_first_row_is_selected_whatever_it_is() {
    let mut top = three();
    assert_eq!(selected(&top), "beta");
    let now = [("alpha", 9006), ("beta", 70), ("Gamma", 500)];
    told(&mut top, report(13.0, &now));
    assert_eq!(selected(&top), "alpha");
}

#[test]
fn where_the_chosen_rule_vanishes_the_one_in_its_place_is_selected() {
    let mut top = three();
    press(&mut top, &[Key::Down]);
    told(&mut top, report(13.0, &[("beta", 80), ("Gamma", 500)]));
    assert_eq!(selected(&top), "Gamma");
    told(&mut top, report(14.0, &[("beta", 90)]));
    assert_eq!(selected(&top), "beta");
    told(&mut top, report(15.0, &[]));
    assert_eq!(top.view().selected, None);
    press(&mut top, &[Key::Down, Key::Home, Key::Enter]);
}

#[test]
fn a_removed_rule_says_so() {
    let mut first = report(1.0, &[("alpha", 3)]);
    first.counters.rules[0].action = None;
    assert_eq!(Top::new(first).view().rows[0].note, "removed");
}

#[test]
fn the_history_has_the_last_sixty_samples() {
    let mut top = Top::new(report(0.0, &[("alpha", 0), ("quiet", 0)]));
    let mut total = 0;
    for second in 1..=100_u32 {
        total += u64::from(second);
        told(
            &mut top,
            report(f64::from(second), &[("alpha", total), ("quiet", 0)]),
        );
    }
    let expected: Vec<f64> = (41..=100).map(f64::from).collect();
    let history = &top.picture().history;
    assert_eq!(history.of(&Subject::Rule("alpha".into())), expected);
    assert_eq!(history.frames().collect::<Vec<_>>(), expected);
    assert_eq!(
        history.of(&Subject::Rule("quiet".into())),
        vec![0.0; SAMPLES]
    );
    assert_eq!(history.subjects(), 1, "what is quiet takes no room");
}

#[test]
fn what_begins_late_was_quiet_before_and_what_ends_is_forgotten() {
    let mut top = Top::new(report(0.0, &[]));
    told(&mut top, report(1.0, &[]));
    told(&mut top, report(2.0, &[("new", 5)]));
    told(&mut top, report(3.0, &[]));
    let new = Subject::Rule("new".into());
    assert_eq!(top.picture().history.of(&new), [0.0, 5.0, 0.0]);
    for second in 4..=62 {
        told(&mut top, report(f64::from(second), &[]));
    }
    assert_eq!(top.picture().history.subjects(), 0);
}

#[test]
fn counters_that_go_back_have_no_rate() {
    let mut top = three();
    told(&mut top, report(13.0, &[("alpha", 4)]));
    assert_eq!(names(&top), ["alpha"]);
    assert_eq!(
        (top.view().rows[0].rate(), top.view().rows[0].packets()),
        (0.0, 4)
    );
    let alpha = Subject::Rule("alpha".into());
    assert_eq!(top.picture().history.of(&alpha), [3.0, 0.0]);
    told(&mut top, report(14.0, &[("alpha", 9)]));
    assert_eq!(top.view().rows[0].rate(), 5.0);
}

#[test]
fn two_daemons_have_no_rate_between_them() {
    // Gone and back: the other one's clock is further on, as if a long time had passed.
    let mut top = three();
    top.update(Message::Lost("the daemon closed the connection".into()));
    assert_eq!(
        *top.link(),
        Link::Lost("the daemon closed the connection".into())
    );
    assert_eq!(names(&top).len(), 3, "what was seen stays");
    told(&mut top, report(500.0, &[("alpha", 2006)]));
    assert_eq!(*top.link(), Link::Live);
    assert_eq!(top.view().rows[0].rate(), 0.0);
    assert_eq!(top.picture().rate, None);
    // Without being noticed: its clock is behind.
    let mut top = three();
    told(&mut top, report(1.0, &[("alpha", 2006)]));
    assert_eq!((top.view().rows[0].rate(), top.picture().rate), (0.0, None));
    assert_eq!(top.picture().history.frames().count(), 1);
}

#[test]
fn silence_is_said_until_a_report_comes() {
    let mut top = three();
    top.update(Message::Silent(3));
    assert_eq!(*top.link(), Link::Silent(3));
    told(&mut top, report(20.0, &[("alpha", 1006)]));
    assert_eq!(*top.link(), Link::Live);
    top.update(Message::Lost("refused".into()));
    top.update(Message::Silent(4));
    assert_eq!(*top.link(), Link::Lost("refused".into()));
}

#[test]
fn a_pause_keeps_the_picture_and_nothing_is_missing_after_it() {
    let mut top = three();
    typed(&mut top, "p");
    assert!(top.is_paused());
    let mut later = report(13.0, &[("alpha", 2006), ("beta", 70)]);
    later.status.trial_s = Some(42);
    told(&mut top, later);
    assert_eq!(names(&top), ["beta", "alpha", "Gamma"]);
    assert_eq!(top.view().rows[1].packets(), 1006);
    assert_eq!(top.picture().history.frames().count(), 1);
    // What the daemon does is told all the same: a trial does not pause.
    assert_eq!(top.status().trial_s, Some(42));
    // The picture can be looked at in other ways.
    typed(&mut top, "s");
    assert_eq!(names(&top), ["alpha", "Gamma", "beta"]);
    typed(&mut top, "p");
    assert!(!top.is_paused());
    assert_eq!(names(&top), ["alpha", "beta"]);
    let alpha = Subject::Rule("alpha".into());
    assert_eq!(top.picture().history.of(&alpha), [3.0, 1000.0]);
}

#[test]
fn q_escape_and_ctrl_c_quit_and_escape_closes_what_is_open_first() {
    for key in [Key::Char('q'), Key::Escape, Key::Interrupt] {
        assert_eq!(three().update(Message::Key(key)), Next::Quit, "{key:?}");
    }
    for open in ['?', 'e', '/'] {
        let mut top = three();
        press(&mut top, &[Key::Char(open), Key::Escape]);
        assert_eq!(top.overlay(), None);
        assert_eq!(top.update(Message::Key(Key::Escape)), Next::Quit);
        press(&mut three(), &[Key::Char(open)]);
        top = three();
        press(&mut top, &[Key::Char(open)]);
        assert_eq!(top.update(Message::Key(Key::Interrupt)), Next::Quit);
    }
}

#[test]
fn an_explanation_opens_closes_and_scrolls_no_further_than_its_end() {
    let mut top = three();
    for open in [Key::Enter, Key::Char('e')] {
        press(&mut top, &[open]);
        assert_eq!(top.overlay(), Some(Overlay::Explanation));
        press(&mut top, &[open]);
        assert_eq!(top.overlay(), None);
    }
    press(&mut top, &[Key::Char('?')]);
    assert_eq!(top.overlay(), Some(Overlay::Help));
    top.fit(Fit {
        rows: 10,
        hidden_lines: 2,
    });
    press(&mut top, &[Key::Down, Key::Down, Key::Down]);
    assert_eq!((top.scroll(), selected(&top)), (2, "beta".into()));
    // The terminal has grown.
    top.fit(Fit {
        rows: 20,
        hidden_lines: 0,
    });
    assert_eq!(top.scroll(), 0);
}
