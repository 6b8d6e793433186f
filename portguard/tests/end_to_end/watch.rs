//! A changed policy file takes effect by itself, once (cases W01, W02, W04, R02).

use std::fs::{self, File};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, probe_tcp};
use portguard_testbed::{Bed, Daemon, SERVER_V4, in_time, soon};
use rustix::process::Signal;

use crate::{binary, policy, rule_packets, stderr, stdout};

const SERVER: IpAddr = IpAddr::V4(SERVER_V4);

/// How long a probe waits for the answer of a closed port, which comes at once.
const PROBE: Duration = Duration::from_millis(150);

/// Within which a change takes effect, and some for a busy machine.
const SOON: Duration = Duration::from_millis(2_500);

/// Longer than two looks at the files: what was not applied by then is not applied.
const LONG: Duration = Duration::from_millis(2_500);

fn rule(port: u16) -> String {
    format!("  - {{name: a, action: drop, ports: [{port}/tcp]}}\n")
}

/// A daemon that watches, in a bed of its own, and what its state should be.
struct Watched {
    bed: Bed,
    daemon: Daemon,
    generation: u64,
}

impl Watched {
    fn start(text: &str) -> Self {
        let bed = Bed::new().expect("a bed");
        let daemon = Daemon::start_watching(binary(), &bed.server, text).expect("a daemon");
        Self {
            bed,
            daemon,
            generation: 1,
        }
    }

    fn path(&self) -> PathBuf {
        self.daemon.policy_path()
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path().with_file_name(name)
    }

    fn seen(&self, port: u16) -> Seen {
        probe_tcp(&self.bed.client, SERVER, port, PROBE).expect("probe")
    }

    fn generation(&self) -> u64 {
        self.daemon.status().expect("status")["generation"]
            .as_u64()
            .expect("a number")
    }

    fn refusals(&self) -> usize {
        self.daemon.log().matches("reload: refused").count()
    }

    /// Asserts that exactly one more policy takes effect, soon.
    fn changes(&mut self) {
        self.generation += 1;
        assert!(
            soon(SOON, || self.generation() >= self.generation),
            "generation {} is not in force:\n{}",
            self.generation,
            self.daemon.log()
        );
        assert_eq!(self.generation(), self.generation);
    }

    /// Asserts that exactly one more policy takes effect, soon, and that it blocks this port.
    fn applied(&mut self, blocked: u16) {
        self.changes();
        assert_eq!(self.seen(blocked), Seen::Silence, "port {blocked}");
        assert_eq!(self.seen(blocked + 1), Seen::Refused);
    }

    /// Asserts that so many policies are refused in all, soon, and that no more follow.
    fn refused(&self, count: usize) {
        assert!(
            soon(SOON, || self.refusals() >= count),
            "{}",
            self.daemon.log()
        );
        self.stays();
        assert_eq!(self.refusals(), count, "{}", self.daemon.log());
    }

    /// Asserts that nothing changes for a while.
    fn stays(&self) {
        sleep(LONG);
        assert_eq!(self.generation(), self.generation, "{}", self.daemon.log());
    }

    fn write(&self, text: &str) {
        self.daemon.write_policy(text).expect("writes");
    }
}

#[test]
fn w01_every_way_to_save_is_applied_once() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    let path = watched.path();
    for port in [1010, 1020, 1030] {
        watched.write(&policy(&rule(port)));
        watched.applied(port);
    }
    let sed = Command::new("sed")
        .args(["-i", "s/1030/1040/"])
        .arg(&path)
        .status();
    assert!(sed.expect("runs").success());
    watched.applied(1040);
    let mut file = File::options().append(true).open(&path).expect("opens");
    file.write_all(b"  - {name: b, action: drop, ports: [1050/tcp]}\n")
        .expect("writes");
    drop(file);
    watched.applied(1050);
    fs::write(&path, policy(&rule(1060))).expect("writes");
    watched.applied(1060);
    watched.stays();
}

#[test]
fn w01_a_removed_file_unloads_nothing_and_is_applied_when_it_is_back() {
    in_time(|| {
        let mut watched = Watched::start(&policy(&rule(1000)));
        let path = watched.path();
        let log = watched.daemon.log();
        fs::remove_file(&path).expect("removes");
        sleep(Duration::from_secs(2));
        assert_eq!(watched.generation(), 1);
        assert_eq!(watched.seen(1000), Seen::Silence);
        let new = watched.daemon.log();
        let new: Vec<&str> = new[log.len()..].lines().collect();
        assert_eq!(new.len(), 1, "{new:?}");
        assert!(
            new[0].contains("policy.yaml` is gone: the policy in force stays"),
            "{new:?}"
        );
        fs::write(&path, policy(&rule(1010))).expect("writes");
        watched.applied(1010);
        // An editor that removes the old file first is no removal.
        let log = watched.daemon.log();
        fs::remove_file(&path).expect("removes");
        sleep(Duration::from_millis(100));
        fs::write(&path, policy(&rule(1010))).expect("writes");
        watched.stays();
        assert_eq!(watched.daemon.log(), log);
    });
}

#[test]
fn r02_what_is_half_written_never_takes_effect_although_it_is_a_valid_policy() {
    let rules = |extra: &str| {
        format!(
            "# changed {extra}\nversion: 1\ninterfaces: [srv0]\nrules:\n{}{}{}",
            "  - {name: one, action: drop, ports: [1001/tcp]}\n",
            "  - {name: two, action: drop, ports: [1002/tcp]}\n",
            "  - {name: three, action: drop, ports: [1003/tcp]}\n"
        )
    };
    let mut watched = Watched::start(&rules("no"));
    let hold = |watched: &Watched| {
        for port in [1001, 1002, 1003] {
            assert_eq!(watched.seen(port), Seen::Silence, "port {port}");
        }
        assert_eq!(watched.seen(1004), Seen::Refused);
        assert_eq!(watched.generation(), watched.generation);
        assert_eq!(watched.refusals(), 0, "{}", watched.daemon.log());
    };
    for pause in [300, 1_500] {
        let pause = Duration::from_millis(pause);
        let whole = rules(&format!("{pause:?}"));
        let half = whole.find("  - {name: two").expect("the second rule");
        let check = |text: &str| {
            fs::write(watched.beside("half.yaml"), text).expect("writes");
            let output = Command::new(binary())
                .arg("check")
                .arg(watched.beside("half.yaml"))
                .output();
            output.expect("runs").status.success()
        };
        assert!(check(&whole[..half]), "the half is a valid policy");
        // Opened with truncation, as a shell's `>` does.
        let mut file = File::create(watched.path()).expect("opens");
        let rest = |begin: Instant| sleep(pause.saturating_sub(begin.elapsed()));
        let begin = Instant::now();
        hold(&watched);
        rest(begin);
        file.write_all(&whole.as_bytes()[..half]).expect("writes");
        let begin = Instant::now();
        hold(&watched);
        rest(begin);
        file.write_all(&whole.as_bytes()[half..]).expect("writes");
        drop(file);
        watched.applied(1003);
        hold(&watched);
    }
    watched.stays();
}

#[test]
fn a_writer_that_stalls_is_reported_once_and_who_asks_is_not_kept_waiting() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    let mut file = File::create(watched.path()).expect("opens");
    file.write_all(policy(&rule(1010)).as_bytes())
        .expect("writes");
    sleep(Duration::from_secs(14));
    assert_eq!(watched.generation(), 1);
    let log = watched.daemon.log();
    assert_eq!(log.matches("has been open for writing").count(), 1, "{log}");
    let output = watched.daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    watched.applied(1010);
    drop(file);
    watched.stays();
}

/// A folder as the kubelet makes it: the file is a link through `..data`, which is a link to a dated folder.
struct ConfigMap(PathBuf);

impl ConfigMap {
    fn new(folder: &Path, policy: &str) -> Self {
        fs::create_dir(folder).expect("makes");
        let map = Self(folder.into());
        map.publish("..2026_01", policy);
        symlink("..data/policy.yaml", folder.join("policy.yaml")).expect("links");
        map
    }

    fn publish(&self, name: &str, policy: &str) {
        let old = fs::read_link(self.0.join("..data")).ok();
        fs::create_dir(self.0.join(name)).expect("makes");
        fs::write(self.0.join(name).join("policy.yaml"), policy).expect("writes");
        symlink(name, self.0.join("..data_tmp")).expect("links");
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).expect("renames");
        if let Some(old) = old {
            fs::remove_dir_all(self.0.join(old)).expect("removes");
        }
    }
}

#[test]
fn w02_each_swap_of_a_config_map_is_applied_once() {
    let bed = Bed::new().expect("a bed");
    let folder = tempfile::tempdir().expect("a folder");
    let map = ConfigMap::new(&folder.path().join("map"), &policy(&rule(1000)));
    // A link further up, too.
    symlink("map", folder.path().join("etc")).expect("links");
    let daemon = Daemon::start_watching(binary(), &bed.server, &policy(&rule(1)));
    let daemon = daemon.expect("a daemon");
    let mut watched = Watched {
        bed,
        daemon,
        generation: 1,
    };
    // The daemon's file becomes a link: a change like others.
    symlink(
        folder.path().join("etc/policy.yaml"),
        watched.beside("link"),
    )
    .expect("links");
    fs::rename(watched.beside("link"), watched.path()).expect("renames");
    watched.applied(1000);
    map.publish("..2026_02", &policy(&rule(1010)));
    watched.applied(1010);
    map.publish("..2026_03", &policy(&rule(1020)));
    watched.applied(1020);
    // The same content at another place is no change.
    map.publish("..2026_04", &policy(&rule(1020)));
    watched.stays();
    // The link further up leads elsewhere.
    ConfigMap::new(&folder.path().join("other"), &policy(&rule(1030)));
    symlink("other", folder.path().join("new")).expect("links");
    fs::rename(folder.path().join("new"), folder.path().join("etc")).expect("renames");
    watched.applied(1030);
    watched.stays();
    let log = watched.daemon.log();
    assert!(
        !log.contains("is gone") && !log.contains("refused"),
        "{log}"
    );
}

#[test]
fn w04_what_is_touched_or_written_as_it_was_is_no_change() {
    let text = policy(&rule(1000));
    let watched = Watched::start(&text);
    watched.seen(1000);
    let packets = || rule_packets(&watched.daemon.counters().expect("counters"), "a");
    let before = packets();
    assert!(before > 0);
    let log = watched.daemon.log();
    let status = watched.daemon.status().expect("status");
    for time in 0..60 {
        let touched = Command::new("touch").arg(watched.path()).status();
        assert!(touched.expect("runs").success());
        match time {
            20 => fs::write(watched.path(), &text).expect("writes"),
            40 => watched.write(&text),
            _ => {}
        }
        sleep(Duration::from_millis(200));
    }
    watched.stays();
    assert_eq!(watched.daemon.status().expect("status"), status);
    assert_eq!(watched.daemon.log(), log);
    assert_eq!(packets(), before);
}

#[test]
fn a_refused_policy_is_reported_once_for_each_content_and_a_good_one_is_applied() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    let broken = policy("  - {name: a, action: drop, ports: [65558]}\n");
    watched.write(&broken);
    watched.refused(1);
    let status = watched.daemon.status().expect("status");
    assert_eq!(status["last_reload"]["ok"], false);
    // Who asks is told, each time.
    let output = watched.daemon.reload().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("`65558`"), "{}", stderr(&output));
    assert_eq!(watched.refusals(), 2);
    for _ in 0..3 {
        watched.write(&broken);
        sleep(Duration::from_millis(500));
    }
    watched.refused(2);
    // Another content with the same mistake.
    watched.write(&format!("{broken}# not yet\n"));
    watched.refused(3);
    assert_eq!(watched.seen(1000), Seen::Silence);
    watched.write(&policy(&rule(1010)));
    watched.applied(1010);
    let status = watched.daemon.status().expect("status");
    assert_eq!(status["last_reload"]["ok"], true);
}

#[test]
fn files_of_sets_are_watched_also_those_of_a_new_or_refused_policy() {
    let with = |name: &str, port: u16| {
        format!(
            "version: 1\ninterfaces: [srv0]\nsets:\n  from: {{ file: {name} }}\nrules:\n  \
             - {{name: a, action: drop, ports: [{port}/tcp], from: $from}}\n"
        )
    };
    let mut watched = Watched::start(&policy(&rule(1000)));
    let all = "0.0.0.0/0\n";
    let none = "203.0.113.1\n";
    // A policy that is refused because its set is missing is applied once the set is there.
    watched.write(&with("one.txt", 1010));
    watched.refused(1);
    fs::write(watched.beside("one.txt"), all).expect("writes");
    watched.applied(1010);
    // A set that changes alone, in place and by renaming.
    fs::write(watched.beside("one.txt"), none).expect("writes");
    watched.changes();
    assert_eq!(watched.seen(1010), Seen::Refused);
    fs::write(watched.beside("new"), all).expect("writes");
    fs::rename(watched.beside("new"), watched.beside("one.txt")).expect("renames");
    watched.applied(1010);
    // The same addresses in other words: no other policy.
    fs::write(watched.beside("one.txt"), format!("# all\n{all}")).expect("writes");
    watched.stays();
    // Another file takes its place; the first one matters no more.
    fs::write(watched.beside("two.txt"), all).expect("writes");
    watched.write(&with("two.txt", 1020));
    watched.applied(1020);
    fs::write(watched.beside("one.txt"), "nonsense\n").expect("writes");
    watched.refused(1);
    // A set that is removed changes nothing and is reported once.
    fs::remove_file(watched.beside("two.txt")).expect("removes");
    watched.refused(2);
    assert_eq!(watched.seen(1020), Seen::Silence);
    fs::write(watched.beside("two.txt"), all).expect("writes");
    watched.refused(2);
}

/// Runs a shell in the mount namespace of the daemon.
fn in_its_mounts(daemon: &Daemon, script: &str) {
    let output = Command::new("nsenter")
        .arg(format!("--mount=/proc/{}/ns/mnt", daemon.pid()))
        .args(["sh", "-ec", script])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_mounted_over_the_policy_is_followed() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source.yaml");
    fs::write(&source, policy(&rule(1010))).expect("writes");
    // A mount makes no event.
    in_its_mounts(
        &watched.daemon,
        &format!(
            "mount --bind '{}' '{}'",
            source.display(),
            watched.path().display()
        ),
    );
    watched.applied(1010);
    // Written in place, where it came from.
    fs::write(&source, policy(&rule(1020))).expect("writes");
    watched.applied(1020);
    in_its_mounts(
        &watched.daemon,
        &format!("umount '{}'", watched.path().display()),
    );
    watched.applied(1000);
    watched.stays();
}

#[test]
fn a_folder_on_the_way_may_be_replaced() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    let outer = tempfile::tempdir().expect("a folder");
    let make = |name: &str, port: u16| {
        fs::create_dir_all(outer.path().join(name)).expect("makes");
        fs::write(
            outer.path().join(name).join("policy.yaml"),
            policy(&rule(port)),
        )
        .expect("writes");
    };
    make("etc", 1010);
    make("etc.new", 1020);
    symlink(outer.path().join("etc/policy.yaml"), watched.beside("link")).expect("links");
    fs::rename(watched.beside("link"), watched.path()).expect("renames");
    watched.applied(1010);
    fs::rename(outer.path().join("etc"), outer.path().join("etc.old")).expect("renames");
    fs::rename(outer.path().join("etc.new"), outer.path().join("etc")).expect("renames");
    watched.applied(1020);
    watched.stays();
}

#[test]
fn who_asks_for_a_reload_right_after_saving_gets_the_result_of_it() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    for round in 0..20_u16 {
        let port = 1010 + 10 * round;
        watched.write(&policy(&rule(port)));
        // Before, while and after the watch applies it.
        sleep(Duration::from_millis(u64::from(round) * 3));
        let output = watched.daemon.reload().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        watched.generation += 1;
        let generation = format!("generation {}", watched.generation);
        assert!(stdout(&output).contains(&generation), "{}", stdout(&output));
        assert_eq!(watched.seen(port), Seen::Silence);
    }
    watched.stays();
}

#[test]
fn reloads_that_are_asked_for_at_once_each_get_their_result() {
    let mut watched = Watched::start(&policy(&rule(1000)));
    watched.write(&policy(&rule(1010)));
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| watched.daemon.reload().expect("runs")))
            .collect();
        for _ in 0..5 {
            watched.daemon.signal(Signal::HUP).expect("signal");
        }
        for asker in askers {
            let output = asker.join().expect("a thread");
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(
                stdout(&output).contains("generation 2"),
                "{}",
                stdout(&output)
            );
        }
    });
    watched.applied(1010);
    watched.write("version: [1\n");
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| watched.daemon.reload().expect("runs")))
            .collect();
        for asker in askers {
            let output = asker.join().expect("a thread");
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        }
    });
    watched.stays();
}

#[test]
fn a_change_during_a_trial_waits_for_its_end() {
    in_time(|| {
        let mut watched = Watched::start(&policy(&rule(1000)));
        let apply = |watched: &Watched, port: u16, confirm: &[&str]| {
            let file = watched.beside("new.yaml");
            fs::write(&file, policy(&rule(port))).expect("writes");
            let words = [&["apply", file.to_str().expect("text")], confirm].concat();
            let output = watched.daemon.client(&words).expect("runs");
            assert!(output.status.success(), "{}", stderr(&output));
        };
        apply(&watched, 1010, &["--confirm", "5s"]);
        watched.applied(1010);
        watched.write(&policy(&rule(1020)));
        watched.stays();
        assert_eq!(watched.refusals(), 0, "{}", watched.daemon.log());
        // The trial ends: the policy before it is back, then the one that was saved meanwhile.
        let begin = Instant::now();
        while watched.seen(1020) != Seen::Silence {
            assert!(begin.elapsed() < Duration::from_secs(8));
        }
        watched.generation = watched.generation();
        watched.stays();
        // What is applied becomes the policy file, which is no further change.
        apply(&watched, 1030, &[]);
        watched.applied(1030);
        watched.stays();
        apply(&watched, 1040, &["--confirm", "30s"]);
        watched.applied(1040);
        let output = watched.daemon.client(&["confirm"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        let confirmed = watched.generation();
        watched.generation = confirmed;
        watched.stays();
        assert_eq!(watched.seen(1040), Seen::Silence);
        assert_eq!(watched.refusals(), 0, "{}", watched.daemon.log());
    });
}

#[test]
fn drop_ins_that_come_change_and_go_are_noticed() {
    let mut watched = Watched::start(&policy(
        "  - {name: own, action: drop, ports: [7000/tcp]}\n",
    ));
    let folder = watched.beside("policy.d");
    let text = |port: u16| format!("version: 1\nrules:\n{}", rule(port));
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("10-a.yaml"), text(1001)).expect("writes");
    watched.applied(1001);
    fs::write(folder.join("10-a.yaml.new"), text(1003)).expect("writes");
    fs::rename(folder.join("10-a.yaml.new"), folder.join("10-a.yaml")).expect("renames");
    watched.applied(1003);
    // Neither what is the same, nor what is no drop-in, is a change.
    fs::write(folder.join("10-a.yaml"), text(1003)).expect("writes");
    for other in [".20-b.yaml.swp", "20-b.yaml~", "#20-b.yaml", "README"] {
        fs::write(folder.join(other), "no policy").expect("writes");
    }
    watched.stays();
    fs::write(
        folder.join("20-b.yaml"),
        text(1005).replace("name: a", "name: b"),
    )
    .expect("writes");
    watched.applied(1005);
    fs::remove_file(folder.join("10-a.yaml")).expect("removes");
    watched.applied(1005);
    assert_eq!(watched.seen(1003), Seen::Refused);
    fs::write(folder.join("20-b.yaml"), "version: 1\nrules: [{}]\n").expect("writes");
    watched.refused(1);
    assert!(
        watched.daemon.log().contains("20-b.yaml:2:"),
        "{}",
        watched.daemon.log()
    );
    assert_eq!(watched.seen(1005), Seen::Silence);
    fs::remove_dir_all(&folder).expect("removes");
    watched.changes();
    assert_eq!(watched.seen(1005), Seen::Refused);
}

#[test]
fn a_watch_that_is_turned_off_changes_nothing() {
    let bed = Bed::new().expect("a bed");
    // `Daemon::start` gives `--no-watch`.
    let daemon = Daemon::start(binary(), &bed.server, &policy(&rule(1000))).expect("a daemon");
    let watched = Watched {
        bed,
        daemon,
        generation: 1,
    };
    watched.write(&policy(&rule(1010)));
    watched.stays();
    assert!(watched.daemon.reload().expect("runs").status.success());
    assert_eq!(watched.generation(), 2);
}
