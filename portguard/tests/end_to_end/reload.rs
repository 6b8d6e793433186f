//! Reloads that succeed, and those that must change nothing (cases M08, M09, R02, R04, C01, C07).

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, Daemon, SERVER_V4, soon};
use rustix::process::Signal;

use crate::{binary, guarded, policy, program_for_everyone, rule_packets, stderr, stdout};

const THREE_RULES: &str = "  - {name: one, action: drop, ports: [1001/tcp]}
  - {name: two, action: drop, ports: [1002/tcp]}
  - {name: three, action: drop, ports: [1003/tcp]}
";

const PATIENCE: Duration = Duration::from_millis(400);

const SERVER: IpAddr = IpAddr::V4(SERVER_V4);

/// Asserts that the three rules are enforced, on real packets.
fn three_rules_hold(bed: &Bed) {
    for port in [1001, 1002, 1003] {
        let seen = probe_tcp(&bed.client, SERVER, port, PATIENCE).expect("probe");
        assert_eq!(seen, Seen::Silence, "port {port}");
    }
    let other = probe_tcp(&bed.client, SERVER, 1004, PATIENCE).expect("probe");
    assert_eq!(other, Seen::Refused);
}

#[test]
fn a_changed_policy_is_in_force_when_the_command_returns() {
    let (bed, daemon) = guarded("  - {name: a, action: drop, ports: [80/tcp]}\n");
    let _servers = Servers::start(&bed.server, &[80, 81], &[]).expect("servers");
    let probe = |port| probe_tcp(&bed.client, SERVER, port, PATIENCE).expect("probe");
    assert_eq!((probe(80), probe(81)), (Seen::Silence, Seen::Answer));
    daemon
        .write_policy(&policy("  - {name: a, action: drop, ports: [81/tcp]}\n"))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("generation 2 is in force"),
        "{}",
        stdout(&output)
    );
    assert_eq!((probe(80), probe(81)), (Seen::Answer, Seen::Silence));
}

#[test]
fn r08_a_connection_to_a_port_that_is_blocked_is_cut_and_the_reload_says_so() {
    use std::io::{Read as _, Write as _};
    let (bed, daemon) = guarded("  - {name: a, action: drop, ports: [80/tcp]}\n");
    let listener = bed.server.listen((SERVER, 81).into()).expect("a server");
    let mut client = bed
        .client
        .enter(|| std::net::TcpStream::connect((SERVER, 81)))
        .expect("enters")
        .expect("connects");
    let (mut server, _peer) = listener.accept().expect("accepts");
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(b"1").expect("writes");
    server.read_exact(&mut [0]).expect("arrives");
    let reload = |rules: &str| {
        daemon.write_policy(&policy(rules)).expect("writes");
        let output = daemon.reload().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let shown = reload("  - {name: a, action: drop, ports: [80-82/tcp, 53/udp]}\n");
    assert!(
        shown.contains("and not before: tcp 81-82; udp 53; connections that were opened"),
        "{shown}"
    );
    client.write_all(b"2").expect("the kernel takes it");
    let cut = server.read_exact(&mut [0]).expect_err("nothing arrives");
    assert_eq!(cut.kind(), std::io::ErrorKind::WouldBlock);
    // What is opened, or blocked as before, is not listed.
    let shown = reload("  - {name: a, action: drop, ports: [82/tcp, 53/udp]}\n");
    assert!(!shown.contains("note"), "{shown}");
    let many: Vec<String> = (0..20)
        .map(|port| format!("{}/tcp", 1000 + 2 * port))
        .collect();
    let shown = reload(&format!(
        "  - {{name: a, action: drop, ports: [{}]}}\n",
        many.join(", ")
    ));
    assert!(
        shown.contains(
            "tcp 1000, 1002, 1004, 1006, 1008, 1010, 1012, 1014, 1016, 1018 and more (20 ports);"
        ),
        "{shown}"
    );
    // A dry run cuts nothing.
    daemon
        .write_policy(&format!(
            "enforce: false\n{}",
            policy("  - {name: b, action: drop, ports: [90]}\n")
        ))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(
        !stdout(&output).contains("blocked now"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn r02_what_cannot_be_read_or_is_half_written_keeps_the_old_policy() {
    let (bed, daemon) = guarded(THREE_RULES);
    let path = daemon.policy_path();
    let whole = fs::read_to_string(&path).expect("reads");
    let half = &whole[..whole.len() - THREE_RULES.len() / 2 - 10];
    let cases: [(&str, &dyn Fn()); 8] = [
        ("empty", &|| fs::write(&path, "").expect("writes")),
        ("comments only", &|| {
            fs::write(&path, "# nothing\n").expect("writes")
        }),
        ("half written", &|| fs::write(&path, half).expect("writes")),
        ("no UTF-8", &|| {
            fs::write(&path, b"version: 1\n\xff\n").expect("writes")
        }),
        ("removed", &|| fs::remove_file(&path).expect("removes")),
        ("a directory", &|| fs::create_dir(&path).expect("makes")),
        ("a pipe", &|| {
            fs::remove_dir(&path).expect("removes");
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.expect("runs").success());
        }),
        ("broken YAML", &|| {
            fs::remove_file(&path).expect("removes");
            fs::write(&path, "version: [1\n").expect("writes");
        }),
    ];
    for (name, prepare) in cases {
        prepare();
        let output = daemon.reload().expect("runs");
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("policy.yaml"),
            "{name}: {}",
            stderr(&output)
        );
        let status = daemon.status().expect("status");
        assert_eq!(status["generation"], 1, "{name}");
        assert_eq!(status["last_reload"]["ok"], false, "{name}");
        three_rules_hold(&bed);
    }
    fs::write(&path, &whole).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(stdout(&output).contains("unchanged"), "{}", stdout(&output));
}

#[test]
fn r02_a_file_that_is_truncated_and_written_slowly_never_loosens_the_policy() {
    let (bed, daemon) = guarded(THREE_RULES);
    let path = daemon.policy_path();
    let whole = fs::read_to_string(&path).expect("reads") + "# changed\n";
    for part in ["", &whole[..whole.len() / 2]] {
        fs::write(&path, part).expect("writes");
        daemon.signal(Signal::HUP).expect("signal");
        thread::sleep(Duration::from_millis(300));
        three_rules_hold(&bed);
        assert_eq!(daemon.status().expect("status")["generation"], 1);
    }
    fs::write(&path, &whole).expect("writes");
    daemon.signal(Signal::HUP).expect("signal");
    wait_for_generation(&daemon, 2);
    three_rules_hold(&bed);
}

#[test]
fn r02_an_intended_empty_policy_is_said_so() {
    let (bed, daemon) = guarded(THREE_RULES);
    daemon
        .write_policy("version: 1\ninterfaces: [srv0]\nrules: []\n")
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let seen = probe_tcp(&bed.client, SERVER, 1001, PATIENCE).expect("probe");
    assert_eq!(seen, Seen::Refused);
}

#[test]
fn r04_a_refused_reload_names_the_line_and_leaves_the_daemon_up() {
    let (bed, mut daemon) = guarded(THREE_RULES);
    let pid = daemon.pid();
    daemon
        .write_policy(&policy("  - {name: x, action: drop, ports: [65558]}\n"))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("policy.yaml:4:37") && text.contains("`65558`"),
        "{text}"
    );
    let status = daemon.client(&["status"]).expect("runs");
    assert!(
        stdout(&status).contains("THE LAST RELOAD FAILED"),
        "{}",
        stdout(&status)
    );
    assert!(
        stdout(&status).contains("policy.yaml:4:37"),
        "{}",
        stdout(&status)
    );
    assert!(daemon.is_running());
    assert_eq!(daemon.pid(), pid);
    three_rules_hold(&bed);
}

#[test]
fn a_policy_that_breaks_its_own_assertion_is_refused() {
    let (bed, daemon) = guarded(THREE_RULES);
    let broken = format!(
        "{}assert:\n  - drop: tcp -> :1001\n  - drop: tcp -> :1004\n",
        policy(THREE_RULES)
    );
    daemon.write_policy(&broken).expect("writes");
    let check = std::process::Command::new(binary())
        .arg("check")
        .arg(daemon.policy_path())
        .output()
        .expect("runs");
    let reload = daemon.reload().expect("runs");
    for (output, text) in [(&check, stdout(&check)), (&reload, stderr(&reload))] {
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("policy.yaml:9:11"), "{text}");
        assert!(!text.contains("policy.yaml:8"), "{text}");
        assert!(
            text.contains("`tcp 203.0.113.7:40000 -> 192.0.2.1:1004` is passed by `default: pass`"),
            "{text}"
        );
    }
    assert_eq!(daemon.status().expect("status")["generation"], 1);
    three_rules_hold(&bed);
    daemon
        .write_policy(&broken.replace(":1004", ":1002"))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(daemon.status().expect("status")["generation"], 2);
}

#[test]
fn r04_a_hangup_right_after_the_start_does_no_harm() {
    let bed = Bed::new().expect("a bed");
    for _ in 0..5 {
        let mut command = bed.server.command("sh");
        // The shell becomes the daemon; its child hangs up on it, without a pause at first, until long after the start.
        command.args([
            "-c",
            "trap '' HUP; (i=0; while [ $i -lt 50000 ]; do kill -HUP $$; i=$((i+1)); done; \
             for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; kill -HUP $$; done) & \
             exec \"$0\" run \"$@\"",
        ]);
        command.arg(binary());
        // The shell ignores it first: before the daemon has a handler, a hangup would end it.
        let spawned = Daemon::spawn(binary(), command, &policy(THREE_RULES));
        let mut daemon = spawned.expect("a daemon");
        thread::sleep(Duration::from_millis(250));
        assert!(daemon.is_running());
        three_rules_hold(&bed);
    }
}

#[test]
fn r04_reloads_succeed_while_hangups_come_without_a_pause() {
    let (bed, daemon) = guarded(THREE_RULES);
    let is_over = AtomicBool::new(false);
    let blocked = thread::scope(|scope| {
        scope.spawn(|| {
            // At each, since the kernel would choose one, which need not be at work.
            while !is_over.load(Ordering::Relaxed) {
                daemon.signal_other_threads(Signal::HUP).expect("signals");
            }
        });
        let blocked: Vec<_> = (1004..1014)
            .map(|port| {
                let rule = format!("  - {{name: more, action: drop, ports: [{port}/tcp]}}\n");
                daemon.write_policy(&policy(&format!("{THREE_RULES}{rule}")))?;
                let output = daemon.reload()?;
                let seen = probe_tcp(&bed.client, SERVER, port, PATIENCE)?;
                anyhow::Ok((output.status.code(), stderr(&output), seen))
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        blocked
    });
    for result in blocked {
        let result = result.expect("a reload and a probe");
        assert_eq!(result, (Some(0), String::new(), Seen::Silence));
    }
    let log = daemon.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn r04_an_unchanged_file_is_no_reload() {
    let (bed, daemon) = guarded(THREE_RULES);
    probe_tcp(&bed.client, SERVER, 1001, PATIENCE).expect("probe");
    let before = rule_packets(&daemon.counters().expect("counters"), "one");
    assert!(before > 0);
    daemon.signal(Signal::HUP).expect("signal");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success());
    let after = daemon.counters().expect("counters");
    assert_eq!(rule_packets(&after, "one"), before);
    assert_eq!(daemon.status().expect("status")["generation"], 1);
}

#[test]
fn c01_counters_go_on_over_reloads_by_the_name_of_the_rule() {
    const DATAGRAMS: usize = 50;
    let (bed, daemon) = guarded("  - {name: a, action: drop, ports: [1001/udp]}\n");
    let send = || {
        let seen = probe_udp(&bed.client, SERVER, 1001, DATAGRAMS, 10, PATIENCE).expect("probe");
        assert_eq!(seen, Seen::Silence);
    };
    let reload = |rules: &str| {
        daemon.write_policy(&policy(rules)).expect("writes");
        let output = daemon.reload().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let packets = |name: &str| rule_packets(&daemon.counters().expect("counters"), name);
    let other = "  - {name: b, action: drop, ports: [1002/udp]}\n";
    let same = "  - {name: a, action: drop, ports: [1001/udp]}\n";
    send();
    assert_eq!(packets("a"), 50);
    reload(&format!("{other}{same}"));
    assert_eq!(packets("a"), 50);
    send();
    assert_eq!(packets("a"), 100);
    reload(&format!("{same}{other}"));
    send();
    assert_eq!(packets("a"), 150);
    // A removed rule keeps what it counted, and goes on when it comes back.
    reload(other);
    assert_eq!(packets("a"), 150);
    reload(same);
    send();
    assert_eq!(packets("a"), 200);
    let counters = daemon.counters().expect("counters");
    let drops = counters["drops"].as_array().expect("a list");
    let port = drops
        .iter()
        .find(|drop| drop["port"] == 1001)
        .expect("port 1001");
    assert_eq!(
        (&port["protocol"], &port["packets"]),
        (&"udp".into(), &200.into())
    );
}

#[test]
fn c07_taking_tcp_out_of_a_rule_leaves_udp_blocked() {
    let (bed, daemon) = guarded("  - {name: a, action: drop, ports: [54321/tcp, 54321/udp]}\n");
    let _servers = Servers::start(&bed.server, &[54321], &[54321]).expect("servers");
    let tcp = || probe_tcp(&bed.client, SERVER, 54321, PATIENCE).expect("probe");
    let udp = || probe_udp(&bed.client, SERVER, 54321, 1, 10, PATIENCE).expect("probe");
    assert_eq!((tcp(), udp()), (Seen::Silence, Seen::Silence));
    daemon
        .write_policy(&policy("  - {name: a, action: drop, ports: [54321/udp]}\n"))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert_eq!((tcp(), udp()), (Seen::Answer, Seen::Silence));
}

#[test]
fn interfaces_are_added_and_removed_by_a_reload() {
    let (bed, daemon) = guarded(THREE_RULES);
    bed.cable("srv1", "cli1").expect("a cable");
    let with = |names: &str| format!("version: 1\ninterfaces: [{names}]\nrules:\n{THREE_RULES}");
    let attached = |device: &str| {
        let shown = bed
            .server
            .ip(&format!("link show dev {device}"))
            .expect("ip");
        shown.contains("xdp")
    };
    daemon.write_policy(&with("srv0, srv1")).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert!(attached("srv0") && attached("srv1"));
    daemon.write_policy(&with("srv1")).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert!(!attached("srv0") && attached("srv1"));
}

#[test]
fn a_file_that_may_not_be_read_is_refused_to_who_may_not() {
    let (folder, program) = program_for_everyone();
    let file = folder.path().join("policy.yaml");
    fs::write(&file, policy(THREE_RULES)).expect("writes");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .arg("check")
        .arg(&file)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("cannot be read: permission denied"),
        "{}",
        stdout(&output)
    );
}

/// What overlaps was decided by what had been loaded before, or by chance after a restart.
#[test]
fn m09_removing_the_narrow_of_two_rules_leaves_the_wide_one_as_it_was() {
    const WIDE: &str = "192.0.2.0/24";
    const NARROW: &str = "192.0.2.2";
    let rule = |name: &str, action: &str, from: &str| {
        format!("  - {{name: {name}, action: {action}, ports: [1001/tcp], from: {from}}}\n")
    };
    let bed = Bed::new().expect("a bed");
    let _servers = Servers::start(&bed.server, &[1001], &[]).expect("servers");
    let seen = || probe_tcp(&bed.client, SERVER, 1001, PATIENCE).expect("probe");
    for (narrow, wide, with, without) in [
        ("pass", "drop", Seen::Answer, Seen::Silence),
        ("drop", "pass", Seen::Silence, Seen::Answer),
    ] {
        let wide = rule("wide", wide, WIDE);
        let both = policy(&(rule("narrow", narrow, NARROW) + &wide));
        let swapped = policy(&(wide.clone() + &rule("narrow", narrow, NARROW)));
        for _restart in 0..2 {
            let daemon = Daemon::start(binary(), &bed.server, &both).expect("a daemon");
            assert_eq!(seen(), with);
            for (text, expected) in [
                (&policy(&wide), without),
                (&both, with),
                (&swapped, without),
            ] {
                daemon.write_policy(text).expect("writes");
                let output = daemon.reload().expect("runs");
                assert!(output.status.success(), "{}", stderr(&output));
                assert_eq!(seen(), expected, "{text}");
            }
            let counters = daemon.counters().expect("counters");
            assert!(rule_packets(&counters, "narrow") > 0, "{counters}");
            assert!(rule_packets(&counters, "wide") > 0, "{counters}");
        }
    }
}

/// Removing one of two rules for the same prefix took the other one away.
#[test]
fn m08_removing_one_of_two_rules_for_a_prefix_leaves_the_other() {
    const ANY: &str = "  - {name: any, action: pass, protocol: any, from: 192.0.2.0/24}\n";
    const ONE: &str = "  - {name: one, action: pass, ports: [1001/tcp], from: 192.0.2.0/24}\n";
    let text = |rules: &str| format!("default: drop\n{}", policy(rules));
    let bed = Bed::new().expect("a bed");
    let _servers = Servers::start(&bed.server, &[1001, 1002], &[]).expect("servers");
    let probe = |port| probe_tcp(&bed.client, SERVER, port, PATIENCE).expect("probe");
    let seen = || (probe(1001), probe(1002));
    for both in [format!("{ANY}{ONE}"), format!("{ONE}{ANY}")] {
        let daemon = Daemon::start(binary(), &bed.server, &text(&both)).expect("a daemon");
        assert_eq!(seen(), (Seen::Answer, Seen::Answer));
        for (rules, expected) in [
            (ONE, (Seen::Answer, Seen::Silence)),
            (both.as_str(), (Seen::Answer, Seen::Answer)),
            (ANY, (Seen::Answer, Seen::Answer)),
        ] {
            daemon.write_policy(&text(rules)).expect("writes");
            let output = daemon.reload().expect("runs");
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(seen(), expected, "{rules}");
        }
    }
}

fn wait_for_generation(daemon: &Daemon, wanted: u64) {
    let is_in_force = || daemon.status().expect("status")["generation"] == wanted;
    assert!(
        soon(Duration::from_secs(5), is_in_force),
        "generation {wanted} is not in force:\n{}",
        daemon.log()
    );
}
