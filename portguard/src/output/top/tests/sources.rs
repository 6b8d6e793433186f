//! The list of senders, and what is said of one.

use super::*;
use crate::control::{Event, EventSettings};
use crate::observe::fixtures::event;
use crate::observe::sources::{Period, Sources};

/// [`busy`] with a policy that tells events: in the last of two samples 3 and 1 of 40 dropped packets, in the first none of 8.
pub(super) fn with_senders() -> Top {
    let mut sources = Sources::default();
    let period = |would_be| Period {
        seconds: 1.0,
        would_be,
    };
    sources.close(period(8));
    let telnet = |source| event(source, Some("no-telnet"), 23);
    sources.add(std::iter::repeat_n(telnet("203.0.113.7"), 2));
    sources.add([
        Event {
            unix_time: 1_767_225_600.25,
            line: Some(12),
            policy: "/etc/portguard/policy.yaml".into(),
            destination: Some([192, 0, 2, 1].into()),
            source_port: Some(40_000),
            ..telnet("203.0.113.7")
        },
        event("fd12:3456:789a:bcde::1", None, 22),
    ]);
    sources.close(period(40));
    let mut told = report(13.0, 4500);
    told.status.events = Some(EventSettings {
        rate: "100/s".into(),
        snap_bytes: 128,
    });
    told.senders.sampled = sources.sampled(200);
    let mut top = busy();
    tell(&mut top, told);
    press(&mut top, &[Key::BackTab]);
    top
}

#[test]
fn senders_are_shown_with_what_they_are_a_sample_of() {
    let mut top = with_senders();
    let shown = lines(&mut top, 80, 24);
    assert_eq!(
        shown[3],
        " Rules 2  Outcomes 1  Blocked ports 1 [Sources 2]"
    );
    assert_eq!(
        shown[4],
        "  a sample: 4 of 48 dropped packets of the last 2 samples were told"
    );
    assert_eq!(
        words(&shown[5]),
        [
            "SOURCE", "LAST", "RULE", "vRATE/S", "LAST", "20", "SAMPLES", "EVENTS"
        ]
    );
    assert_eq!(
        words(&shown[6]),
        [">", "203.0.113.7", "no-telnet", "3", "█", "3"]
    );
    // The whole network, and what there is room for of what decided.
    assert_eq!(
        words(&shown[7]),
        ["fd12:3456:789a:bcde::/64", "default-d…", "1", "█", "1"]
    );
    let narrow = lines(&mut top, 40, 10);
    assert_eq!(narrow[3], " Rules  Outcomes  Ports [Sources 2]");
    has(&narrow, "a sample: 4 of 48 dropped packets of");
    has(&narrow, "> 203.0.113.7 3 3");
    let unwanted = Look::new(true, environment(XTERM)).expect("a terminal");
    let plain = lines_of(&drawn(&mut top, 80, 24, &unwanted));
    assert_eq!(plain, shown, "nothing is said by colour alone");
}

#[test]
fn a_sender_is_explained() {
    let mut top = with_senders();
    press(&mut top, &[Key::Char('e')]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "Source 203.0.113.7");
    has(
        &shown,
        "meaning a sender of dropped packets; the address may be forged",
    );
    has(
        &shown,
        "events 3 of it in the last 2 samples, 75.0 % of all that were told",
    );
    // 3 * 48 / 4.
    has(
        &shown,
        "packets about 36, if it was sampled as all were, 1 of 12;",
    );
    has(&shown, "rate 3 events/s, 3 at most in these samples");
    // As `portguard events` prints it.
    has(
        &shown,
        "last 2026-01-01T00:00:00.250Z eth0 drop rule no-telnet policy.yaml:12 tcp",
    );
    has(&shown, "203.0.113.7:40000 -> 192.0.2.1:23 60 bytes");
    has(&shown, "more `portguard events --from 203.0.113.7`");
    has(&shown, "ban `portguard ban 203.0.113.7 --for 1h`");
    press(&mut top, &[Key::Escape, Key::Down, Key::Enter]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "Source fd12:3456:789a:bcde::/64");
    has(&shown, "or several in this network");
    // Where all are told nothing is scaled.
    let mut all = with_senders();
    let mut told = report(14.0, 4500);
    told.status = all.status().clone();
    told.senders = all.picture().senders.clone();
    told.senders.sampled.would_be = 4;
    tell(&mut all, told);
    press(&mut all, &[Key::Enter]);
    has(
        &lines(&mut all, 80, 24),
        "packets as many: each dropped packet was told",
    );
}

#[test]
fn why_there_are_no_senders_is_said() {
    let mut top = busy();
    press(&mut top, &[Key::BackTab]);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "[Sources 0]");
    has(&shown, "This policy tells no drop events");
    has(&shown, "events: { rate: 100/s }");
    // A narrow terminal shows all of it, too.
    has(&lines(&mut top, 40, 12), "events: { rate: 100/s }");
    press(&mut top, &[Key::Enter]);
    has(&lines(&mut top, 80, 24), "No row is selected");

    let mut top = with_senders();
    let mut told = report(14.0, 4500);
    told.status = top.status().clone();
    tell(&mut top, told.clone());
    has(
        &lines(&mut top, 80, 24),
        "no dropped packet was told of lately",
    );
    told.senders.trouble = Some("too many clients".into());
    told.senders.missed = 12;
    tell(&mut top, told.clone());
    let shown = lines(&mut top, 80, 24);
    has(
        &shown,
        "NO EVENTS, trying again each second: too many clients",
    );
    has(&shown, "12 events came too fast for this view");
}

#[test]
fn of_many_senders_it_is_said_how_many_there_are() {
    let mut top = with_senders();
    let mut sources = Sources::default();
    sources.add((1..=700_u32).map(|number| {
        let address = std::net::Ipv4Addr::from(number).to_string();
        event(&address, None, 23)
    }));
    let mut told = report(14.0, 4500);
    told.status = top.status().clone();
    told.senders.sampled = sources.sampled(200);
    tell(&mut top, told);
    let shown = lines(&mut top, 80, 24);
    has(&shown, "[Sources 200]");
    has(&shown, "listed are the 200 heaviest of 700 sources");
    press(&mut top, &[Key::End]);
    has(&lines(&mut top, 80, 24), "> 0.0.0.200 default-d… 0 1");
}
