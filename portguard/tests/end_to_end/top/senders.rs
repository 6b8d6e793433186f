//! Who sends what is dropped.

use portguard_testbed::raw::{Ends, udp_frame};
use portguard_testbed::{SERVER_V4, SERVER_V6};

use super::{RULES, Terminal, line_with};
use crate::events::Sender;
use crate::{guarded, policy, stderr};

#[test]
fn senders_are_listed_by_what_drop_events_tell_once_the_policy_has_some() {
    let (bed, daemon) = guarded(RULES);
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    terminal.wait_for("[Rules 2]");
    terminal.press(&["BTab"]);
    let screen = terminal.wait_for("This policy tells no drop events");
    let asked = screen.lines().find(|line| line.starts_with("events:"));
    // What it says to write does what it says.
    let asked = asked.unwrap_or_else(|| panic!("no line to add:\n{screen}"));
    daemon
        .write_policy(&format!("{}{asked}\n", policy(RULES)))
        .expect("writes");
    let reloaded = daemon.reload().expect("runs");
    assert!(reloaded.status.success(), "{}", stderr(&reloaded));
    terminal.wait_for("no dropped packet was told of lately");

    // Fewer than a second's budget, so that all are told.
    let sender = Sender::new(&bed);
    let from = |address: &str, packets| {
        let ends = Ends {
            from: address.parse().expect("an address"),
            to: match address.contains(':') {
                true => SERVER_V6.into(),
                false => SERVER_V4.into(),
            },
            ..sender.ends
        };
        let frame = udp_frame(ends, &[], 23, b"top").expect("a frame");
        for _ in 0..packets {
            sender.send_frame(&frame);
        }
    };
    from("198.51.100.7", 30);
    // Two hosts of one network.
    from("2001:db8:0:7::1", 12);
    from("2001:db8:0:7:ffff::2", 8);
    from("203.0.113.9", 10);
    let screen = terminal.wait_for("a sample: 60 of 60 dropped packets of the last");
    assert!(screen.contains("[Sources 3]"), "{screen}");
    let listed = |screen: &str| -> Vec<(String, String)> {
        let rows = screen.lines().skip_while(|line| !line.contains("SOURCE"));
        let words = rows.skip(1).take(3).map(|row| {
            let words: Vec<&str> = row.trim_start_matches('>').split_whitespace().collect();
            let last = words.last().copied().unwrap_or_default();
            (words[0].to_owned(), last.to_owned())
        });
        words.collect()
    };
    let all = [
        ("198.51.100.7", "30"),
        ("2001:db8:0:7::/64", "20"),
        ("203.0.113.9", "10"),
    ]
    .map(|(name, events)| (name.to_owned(), events.to_owned()));
    assert_eq!(listed(&screen), all, "{screen}");

    terminal.press(&["Home", "Enter"]);
    let screen = terminal.wait_for("Source 198.51.100.7");
    let said = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("events 30 of it in the last ") && said.contains("50.0 % of all that were"),
        "{screen}"
    );
    assert!(
        said.contains("drop rule blocked policy.yaml:4 udp")
            && said.contains(&format!("-> {SERVER_V4}:23 ")),
        "{screen}"
    );
    terminal.press(&["Enter", "/", "2", "0", "3"]);
    let screen = terminal.wait_until("one row", |screen| !screen.contains("198.51.100.7"));
    assert_eq!(line_with(&screen, "203.0.113.9")[0], ">", "{screen}");
    // What follows an Escape at once would be a key with Alt.
    terminal.press(&["Enter", "q"]);
    assert_eq!(terminal.given_back(), "0");
}
