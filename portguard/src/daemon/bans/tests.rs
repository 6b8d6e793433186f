use std::fs;

use super::*;

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_BOOT: &str = "99999999-2222-3333-4444-555555555555";

/// An hour after the boot.
const NOW: Now = Now {
    boot_ns: 3_600_000_000_000,
    unix_ms: 1_700_000_000_000,
};

const SECOND_NS: u64 = 1_000_000_000;

struct Place {
    _parent: tempfile::TempDir,
    folder: StateFolder,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(parent.path().join("state"));
        Self {
            _parent: parent,
            folder,
        }
    }

    fn open(&self, boot: &str, now: Now) -> (Journal, Found) {
        Journal::open(&self.folder, boot, now)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path("bans")).unwrap()
    }

    fn set_text(&self, text: &str) {
        fs::write(self.folder.path("bans"), text).unwrap();
    }

    /// A journal with a ban for a minute, one for good, and one that was taken back.
    fn filled(&self) -> Journal {
        let (mut journal, found) = self.open(BOOT, NOW);
        assert!(found.bans.is_empty() && found.is_exact);
        let bans = [
            (
                "192.0.2.1",
                NOW.boot_ns + 60 * SECOND_NS,
                Some("tries\npasswords"),
            ),
            ("2001:db8::/64", FOREVER, None),
            ("198.51.100.0/24", FOREVER, None),
        ];
        for (text, end, reason) in bans {
            add(&mut journal, text, end, reason, NOW);
        }
        journal.add_unbans(&["198.51.100.0/24".parse().unwrap()]);
        assert_eq!(journal.trouble(), None);
        journal
    }
}

fn add(journal: &mut Journal, text: &str, end: u64, reason: Option<&str>, now: Now) {
    let ban = Ban {
        end,
        reason: reason.map(Arc::from),
    };
    journal.add_bans([(text.parse().unwrap(), &ban)].into_iter(), now);
}

fn ends(found: &Found) -> Vec<(String, u64)> {
    let bans = found.bans.iter();
    bans.map(|(target, ban)| (target.to_string(), ban.end))
        .collect()
}

fn later(seconds: u64, unix_seconds: i64) -> Now {
    Now {
        boot_ns: NOW.boot_ns + seconds * SECOND_NS,
        unix_ms: NOW
            .unix_ms
            .checked_add_signed(unix_seconds * 1_000)
            .unwrap(),
    }
}

#[test]
fn within_a_boot_a_ban_ends_by_the_clock_that_nobody_sets() {
    let place = Place::new();
    place.filled();
    for unix_seconds in [20, -1_000_000, 1_000_000] {
        let (_, found) = place.open(BOOT, later(20, unix_seconds));
        assert_eq!(
            ends(&found),
            [
                ("192.0.2.1".into(), NOW.boot_ns + 60 * SECOND_NS),
                ("2001:db8::/64".into(), FOREVER)
            ]
        );
        let reason = found.bans.values().next().unwrap().reason.as_deref();
        assert_eq!(reason, Some("tries\npasswords"));
        assert_eq!(found.is_exact, unix_seconds == 20, "{unix_seconds}");
    }
}

#[test]
fn once_the_clock_on_the_wall_is_set_the_ends_are_written_by_it() {
    let place = Place::new();
    let mut journal = place.filled();
    // It is corrected by little all the time.
    for unix_seconds in [15, 20, 25] {
        assert!(!journal.is_by_another_clock(later(20, unix_seconds)));
    }
    for unix_seconds in [-3_600, 0, 40, 3_600] {
        assert!(journal.is_by_another_clock(later(20, unix_seconds)));
    }
    let set = later(20, 3_600);
    let (_, found) = place.open(BOOT, set);
    let bans = found.bans.iter().map(|(target, ban)| (*target, ban));
    journal.rewrite(bans, set);
    assert!(!journal.is_by_another_clock(set));
    assert!(place.open(BOOT, set).1.is_exact);
    // What is left after a restart of the host, 10 s later by the clock that was set.
    let now = Now {
        boot_ns: 5 * SECOND_NS,
        ..later(0, 3_610)
    };
    let (_, found) = place.open(OTHER_BOOT, now);
    assert_eq!(ends(&found)[0].1, (5 + 30) * SECOND_NS);
}

#[test]
fn after_a_reboot_a_ban_has_what_is_left_by_the_clock_on_the_wall() {
    let place = Place::new();
    place.filled();
    let after = |unix_seconds: i64| {
        let now = Now {
            boot_ns: 5 * SECOND_NS,
            ..later(0, unix_seconds)
        };
        let (_, found) = place.open(OTHER_BOOT, now);
        assert!(!found.is_exact, "to be written anew for this boot");
        ends(&found)[0].1
    };
    assert_eq!(after(20), (5 + 40) * SECOND_NS);
    assert_eq!(after(60), 5 * SECOND_NS, "it is over");
    assert_eq!(after(600), 5 * SECOND_NS, "it is over");
    // A clock that is wrong gives no ban more than its time.
    assert_eq!(after(-1_000_000_000), (5 + 60) * SECOND_NS);
}

#[test]
fn a_line_that_was_cut_off_is_left_out() {
    let place = Place::new();
    place.filled();
    let text = place.text();
    // In the middle of the line that takes the third ban back.
    place.set_text(&text[..text.len() - 5]);
    let (_, found) = place.open(BOOT, NOW);
    assert_eq!(found.bans.len(), 3);
    assert!(!found.is_exact, "to be written anew");
    assert!(place.folder.path("bans").exists());
}

#[test]
fn a_broken_file_is_set_aside_and_what_can_be_read_goes_on() {
    for (from, to) in [
        ("192.0.2.1", "192.0.2.999"),
        ("\"boot\"", "\"boat\""),
        ("\"version\":1", "\"version\":2"),
        ("{\"unban\"", "\u{0}"),
    ] {
        let place = Place::new();
        place.filled();
        let broken = place.text().replacen(from, to, 1);
        place.set_text(&broken);
        let (mut journal, found) = place.open(BOOT, NOW);
        assert!(!found.is_exact);
        let aside = fs::read_to_string(place.folder.path("bans.broken")).unwrap();
        assert_eq!(aside, broken);
        let bans = found.bans.iter().map(|(target, ban)| (*target, ban));
        journal.rewrite(bans, NOW);
        assert_eq!(ends(&place.open(BOOT, NOW).1), ends(&found), "{from}");
    }
}

#[test]
fn another_ban_adds_a_line_and_what_is_over_goes_in_the_end() {
    let place = Place::new();
    let mut journal = place.filled();
    let before = place.text();
    add(&mut journal, "203.0.113.1", FOREVER, None, NOW);
    let text = place.text();
    assert!(text.starts_with(&before));
    assert_eq!(text.lines().count(), before.lines().count() + 1);
    assert!(!journal.is_mostly_over(3));

    let target: BanTarget = "203.0.113.1".parse().unwrap();
    for _ in 0..600 {
        journal.add_unbans(&[target]);
        add(&mut journal, "203.0.113.1", FOREVER, None, NOW);
    }
    assert!(journal.is_mostly_over(3));
    let (_, found) = place.open(BOOT, NOW);
    let bans = found.bans.iter().map(|(target, ban)| (*target, ban));
    journal.rewrite(bans, NOW);
    assert!(!journal.is_mostly_over(3));
    assert_eq!(place.text().lines().count(), 2 + 3);
    assert_eq!(ends(&place.open(BOOT, NOW).1), ends(&found));
}

#[test]
fn what_cannot_be_written_is_said_and_written_later() {
    let place = Place::new();
    let mut journal = place.filled();
    // A file in the place of the folder.
    let folder = place.folder.path("");
    fs::rename(&folder, folder.with_extension("away")).unwrap();
    fs::write(
        folder.as_os_str().to_str().unwrap().trim_end_matches('/'),
        "",
    )
    .unwrap();
    add(&mut journal, "203.0.113.1", FOREVER, None, NOW);
    let trouble = journal.trouble().unwrap();
    assert!(trouble.contains("is lost when"), "{trouble}");
    assert!(journal.is_behind());

    fs::remove_file(folder.as_os_str().to_str().unwrap().trim_end_matches('/')).unwrap();
    fs::rename(folder.with_extension("away"), &folder).unwrap();
    // One more line would follow what may have been cut off.
    add(&mut journal, "203.0.113.2", FOREVER, None, NOW);
    assert!(journal.is_behind());
    let ban = Ban {
        end: FOREVER,
        reason: None,
    };
    let target: BanTarget = "203.0.113.1".parse().unwrap();
    journal.rewrite([(target, &ban)].into_iter(), NOW);
    assert_eq!(journal.trouble(), None);
    assert_eq!(
        ends(&place.open(BOOT, NOW).1),
        [(target.to_string(), FOREVER)]
    );
}

#[test]
fn a_ban_lasts_as_long_as_is_asked_for() {
    let entry = |for_ms| BanEntry {
        target: "192.0.2.1".into(),
        for_ms,
    };
    assert_eq!(end(&entry(Some(1_500)), NOW), NOW.boot_ns + 1_500_000_000);
    assert_eq!(end(&entry(None), NOW), FOREVER);
    // The longest time that can be written is an end still.
    assert_eq!(end(&entry(Some(u64::MAX)), NOW), FOREVER - 1);
}

#[test]
fn trusted_sources_are_not_banned() {
    let text = "version: 1\ninterfaces: [eth0]\n\
        trusted: [192.0.2.0/28, { from: 10.0.0.0/8, interfaces: [eth0] }]\nrules: []\n";
    let checked = portguard_policy::check(text, &mut portguard_policy::NoFiles).unwrap();
    let policy = checked.policy;
    let targets: Vec<BanTarget> = ["192.0.2.1", "192.0.2.0/24", "10.0.0.0/8", "203.0.113.1"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let objections = admission::objections(&policy, &targets);
    assert_eq!(objections.keys().collect::<Vec<_>>(), [&targets[0]]);
    let notes = admission::notes(&policy, &targets);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("192.0.2.0/24"), "{notes:?}");
}
