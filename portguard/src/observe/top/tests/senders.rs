//! Who sends what is dropped, in the view.

use super::*;
use crate::control::EventSettings;
use crate::observe::fixtures::event;
use crate::observe::sources::{Period, Sources};

/// A report of a policy with events, of which these senders sent so many each.
fn sampled(uptime_s: f64, sources: &mut Sources, senders: &[(&str, usize)]) -> Report {
    for (address, events) in senders {
        sources.add(std::iter::repeat_n(
            event(address, Some("telnet"), 23),
            *events,
        ));
    }
    sources.close(Period {
        seconds: 1.0,
        would_be: 100,
    });
    let mut report = report(uptime_s, &[("alpha", 1)]);
    report.status.events = Some(EventSettings {
        rate: "100/s".into(),
        snap_bytes: 128,
    });
    report.senders.sampled = sources.sampled(10);
    report
}

#[test]
fn senders_are_sorted_filtered_selected_and_paused_as_all_rows_are() {
    let mut sources = Sources::default();
    let first = [("192.0.2.10", 9), ("192.0.2.9", 1), ("2001:db8::1", 2)];
    let mut top = Top::new(sampled(1.0, &mut sources, &first));
    press(&mut top, &[Key::BackTab]);
    assert_eq!((top.pane(), top.count(Pane::Sources)), (Pane::Sources, 3));
    let second = [("192.0.2.9", 4), ("2001:db8::2", 1)];
    told(&mut top, sampled(2.0, &mut sources, &second));
    // Of this second, then of all samples, then by address.
    assert_eq!(names(&top), ["192.0.2.9", "2001:db8::/64", "192.0.2.10"]);
    let view = top.view();
    let numbers: Vec<_> = view
        .rows
        .iter()
        .map(|row| (row.rate(), row.packets()))
        .collect();
    assert_eq!(numbers, [(4.0, 5), (1.0, 3), (0.0, 9)]);
    let subject = view.rows[0].subject.clone();
    assert_eq!(top.picture().series(&subject), [1.0, 4.0]);
    typed(&mut top, "s");
    assert_eq!(names(&top), ["192.0.2.10", "192.0.2.9", "2001:db8::/64"]);
    typed(&mut top, "sr");
    assert_eq!(names(&top), ["2001:db8::/64", "192.0.2.10", "192.0.2.9"]);
    typed(&mut top, "/2001");
    press(&mut top, &[Key::Enter]);
    assert_eq!(names(&top), ["2001:db8::/64"]);
    typed(&mut top, "p");
    told(&mut top, sampled(3.0, &mut sources, &[("2001:db8::1", 5)]));
    assert_eq!(top.view().rows[0].packets(), 3);
    assert_eq!(top.picture().senders.sampled.would_be, 200);
    typed(&mut top, "p");
    assert_eq!(top.view().rows[0].packets(), 8);
    assert_eq!(top.picture().senders.sampled.would_be, 300);
    // By what dropped them, too.
    typed(&mut top, "/");
    press(&mut top, &[Key::Escape]);
    typed(&mut top, "/TELN");
    assert_eq!(names(&top).len(), 3);
}

#[test]
fn senders_take_no_room_among_the_graphs_and_go_with_the_policy_that_tells_of_them() {
    let mut sources = Sources::default();
    let senders = [("192.0.2.10", 9)];
    let mut top = Top::new(sampled(1.0, &mut sources, &senders));
    told(&mut top, sampled(2.0, &mut sources, &senders));
    assert_eq!(top.picture().history.subjects(), 0);
    assert_eq!(top.count(Pane::Sources), 1);
    let mut without = sampled(3.0, &mut sources, &senders);
    without.status.events = None;
    told(&mut top, without);
    assert_eq!(top.count(Pane::Sources), 0);
    assert_eq!(top.picture().senders, Senders::default());
}
