//! `portguard counters`: rates, names of ports, and many who follow.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4, in_time};
use serde_json::Value;

use crate::{entry, guarded, stderr, stdout};

const RULES: &str = "  - {name: blocked, action: drop, ports: [1-100/udp]}
  - {name: open, action: pass, ports: [9001/udp]}
";

/// Length of the frames that are sent.
const FRAME_BYTES: f64 = 14.0 + 20.0 + 8.0 + 4.0;

/// Sends one UDP packet to each of these ports.
fn send(bed: &Bed, ports: impl Iterator<Item = u16>) {
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    let socket = RawSocket::open(&bed.client, "cli0").expect("a sender");
    for port in ports {
        let frame = udp_frame(ends, &[], port, b"rate").expect("a frame");
        socket.send(&frame).expect("sends");
    }
}

fn json(daemon: &Daemon, words: &[&str]) -> Value {
    let words = [&["counters", "--format", "json"], words].concat();
    let output = daemon.client(&words).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("one object")
}

#[test]
fn rates_are_those_of_the_interval() {
    in_time(|| {
        let (bed, daemon) = guarded(RULES);
        send(&bed, 1..=50);
        let once = json(&daemon, &[]);
        assert_eq!(once["rates"], Value::Null);
        assert_eq!(entry(&once["rules"], "blocked")["packets"], 50);
        // What was counted before the interval is in no rate.
        let report = thread::scope(|scope| {
            let report = scope.spawn(|| json(&daemon, &["--interval", "2s"]));
            thread::sleep(Duration::from_millis(700));
            send(&bed, (0..30).map(|_| 53));
            send(&bed, (0..10).map(|_| 9001));
            report.join().expect("a report")
        });
        let rates = &report["rates"];
        let seconds = rates["seconds"].as_f64().expect("a number");
        assert!(seconds >= 2.0, "{seconds}");
        let per_second =
            |value: &Value, key: &str| value[key].as_f64().expect("a number") * seconds;
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        let blocked = entry(&rates["rules"], "blocked");
        assert!(
            close(per_second(blocked, "packets_per_second"), 30.0),
            "{rates}"
        );
        assert!(
            close(per_second(blocked, "bytes_per_second"), 30.0 * FRAME_BYTES),
            "{rates}"
        );
        let open = entry(&rates["rules"], "open");
        assert!(
            close(per_second(open, "packets_per_second"), 10.0),
            "{rates}"
        );
        let drops = rates["drops"].as_array().expect("a list");
        let [drop] = &drops[..] else {
            panic!("one port was blocked in this time: {rates}")
        };
        assert_eq!(
            (&drop["protocol"], &drop["port"]),
            (&"udp".into(), &53.into())
        );
        assert_eq!(drop["service"], "domain");
        assert!(
            close(per_second(drop, "packets_per_second"), 30.0),
            "{rates}"
        );
        assert_eq!(entry(&report["rules"], "blocked")["packets"], 80);
    });
}

#[test]
fn a_table_has_the_names_of_ports_and_all_of_them_if_asked() {
    let (bed, daemon) = guarded(RULES);
    send(&bed, 1..=60);
    send(&bed, (0..3).map(|_| 53));
    let table = |words: &[&str]| {
        let output = daemon
            .client(&[&["counters"], words].concat())
            .expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let top = table(&[]);
    assert!(top.contains("53/udp (domain) "), "{top}");
    assert!(top.contains("and 40 more: `--all` lists them"), "{top}");
    assert!(!top.contains("PACKETS/S"), "{top}");
    assert_eq!(top.matches("/udp").count(), 20, "{top}");
    let all = table(&["--all", "--interval", "100ms"]);
    assert_eq!(all.matches("/udp").count(), 60, "{all}");
    assert!(
        all.contains("PACKETS/S") && all.contains("BYTES/S"),
        "{all}"
    );
}

/// Follows the counters for some reports.
fn follow(daemon: &Daemon, reports: usize) -> Vec<Value> {
    let path = daemon.policy_path().with_file_name("control.sock");
    let mut stream = UnixStream::connect(path).expect("connects");
    stream
        .write_all(b"{\"command\":\"counters\",\"interval_ms\":200}\n")
        .expect("sends");
    let lines = BufReader::new(stream).lines().take(reports);
    let reports = lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"));
    reports.collect()
}

#[test]
fn all_who_follow_get_the_same_reading_of_the_same_moment() {
    in_time(|| {
        let (_bed, daemon) = guarded(RULES);
        const FOLLOWERS: usize = 20;
        const REPORTS: usize = 6;
        let all: Vec<Vec<Value>> = thread::scope(|scope| {
            let followers: Vec<_> = (0..FOLLOWERS)
                .map(|number| {
                    // They do not begin at the same time.
                    thread::sleep(Duration::from_millis(13));
                    let daemon = &daemon;
                    scope.spawn(move || (number, follow(daemon, REPORTS)))
                })
                .collect();
            let reports = followers
                .into_iter()
                .map(|follower| follower.join().expect("reports").1);
            reports.collect()
        });
        // The first report comes at once, to each its own.
        let mut readings: BTreeMap<String, usize> = BTreeMap::new();
        for report in all.iter().flat_map(|reports| &reports[1..]) {
            *readings.entry(report["uptime_s"].to_string()).or_default() += 1;
        }
        let given: usize = readings.values().sum();
        assert_eq!(given, FOLLOWERS * (REPORTS - 1));
        // Each began within two intervals of the first: so many moments at most, and some for a machine that stands still.
        assert!(
            readings.len() <= 2 * (REPORTS + 2),
            "{} readings: {readings:?}",
            readings.len()
        );
        assert!(
            readings.values().any(|shared| *shared >= FOLLOWERS / 2),
            "{readings:?}"
        );
    });
}
