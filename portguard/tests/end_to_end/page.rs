//! The web page: what it shows is what was counted, who may read it, and that nobody who reads it holds up anybody.

mod browser;
mod chromium;
mod hostile;
pub(crate) mod server_sent;

use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4, in_time};
use serde_json::Value;

use crate::metrics::http::{Reply, get, request};
use crate::metrics::send;
use crate::{binary, entry, rule_packets, stderr, stdout};

use self::server_sent::Reader;

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

const ADDRESS: &str = "127.0.0.1:9477";

const RULES: &str = "  - name: closed
    action: drop
    ports: [9000/udp]
  - {name: few, action: limit, ports: [9002/udp], rate: 1/m, burst: 2, per: rule}
  - {name: later, action: drop, ports: [9003/udp], enforce: false}
";

/// The line of the first rule in [`policy`].
const FIRST_RULE: usize = 6;

/// A policy with these rules, events, and a page.
fn policy(listen: &str, page: &str, rules: &str) -> String {
    format!(
        "version: 1\ninterfaces: [srv0]\nevents: {{ rate: 1000/s }}\nmetrics: {{ listen: {listen}, page: {page} }}\nrules:\n{rules}"
    )
}

fn shown(rules: &str) -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let policy = policy(ADDRESS, "true", rules);
    let daemon = Daemon::start(binary(), &bed.server, &policy).expect("a daemon");
    (bed, daemon)
}

/// Asks by a method for a path, and says that the host is this one.
fn ask(bed: &Bed, method: &str, path: &str, host: &str) -> Reply {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    request(bed, ADDRESS, &text)
}

/// Packets of a line of the policy in a report.
fn line_packets(report: &Value, line: usize) -> [u64; 3] {
    let lines = report["lines"].as_array().expect("lines");
    let found = lines.iter().find(|one| one["line"] == line);
    let number = |key: &str| found.map_or(0, |line| line[key].as_u64().expect("a number"));
    ["packets", "limited", "shadow"].map(number)
}

#[test]
fn figures_of_the_stream_are_those_of_the_counters() {
    // After a gap of some seconds the page begins anew.
    in_time(|| {
        let (bed, daemon) = shown(RULES);
        let mut reader = Reader::open(&bed, ADDRESS);
        let text = reader.policy();
        assert_eq!(text["generation"], 1);
        let lines = text["files"][0]["lines"].as_array().expect("lines");
        assert_eq!(lines[FIRST_RULE - 1], "  - name: closed");
        send(&bed, &[(9000, 7), (9002, 6), (9003, 3)]);
        let report = reader.report_when("packets", |report| {
            entry(&report["rules"]["rows"], "later")["shadow"] == 3
        });
        // Nothing was sent since to ports that rules name.
        let counters = daemon.counters().expect("counters");
        for (name, line) in [("closed", 6), ("few", 9), ("later", 10)] {
            let counted = entry(&counters["rules"], name);
            let row = entry(&report["rules"]["rows"], name);
            let expected = [
                &counted["packets"],
                &counted["limited"]["packets"],
                &counted["shadow"]["packets"],
            ];
            assert_eq!(
                [&row["packets"], &row["limited"], &row["shadow"]],
                expected,
                "{name}"
            );
            assert_eq!(
                line_packets(&report, line).map(Value::from).each_ref(),
                expected,
                "{name}"
            );
        }
        assert_eq!(rule_packets(&counters, "closed"), 7);
        let ports = &report["ports"]["rows"];
        assert_eq!(entry(ports, "9000/udp")["packets"], 7);
        assert_eq!(entry(ports, "9002/udp")["packets"], 4);
        let drops = counters["drops"].as_array().expect("a list");
        let sum: u64 = drops
            .iter()
            .map(|drop| drop["packets"].as_u64().expect("a number"))
            .sum();
        assert_eq!(report["dropped"], sum);
        let status = daemon.status().expect("status");
        assert_eq!(report["status"]["interfaces"], status["interfaces"]);
        assert_eq!(report["status"]["generation"], 1);

        // Rates, and graphs that end in them.
        let row = entry(&report["rules"]["rows"], "closed");
        let series = row["series"].as_array().expect("a series");
        assert_eq!(series.last(), Some(&row["per_second"]));
        assert_eq!(
            series.len(),
            report["frames_series"].as_array().expect("a list").len()
        );

        // All events come, though perhaps with a later report.
        let all = reader.report_when("events", |report| report["sources"]["events"] == 11);
        let sources = all["sources"]["rows"].as_array().expect("a list");
        assert_eq!(sources[0]["address"], CLIENT_V4.to_string());
        assert_eq!(sources[0]["events"], 11);
        // As many as were dropped at the same moment.
        assert_eq!(all["sources"]["account"]["would_be"], all["dropped"]);
    });
}

#[test]
fn a_trial_a_refusal_and_another_policy_are_told() {
    let (bed, daemon) = shown(RULES);
    let mut reader = Reader::open(&bed, ADDRESS);
    assert_eq!(reader.policy()["generation"], 1);
    let next = daemon.folder().join("next.yaml");
    let text = policy(
        ADDRESS,
        "true",
        "  - {name: only, action: drop, ports: 1}\n",
    );
    std::fs::write(&next, &text).expect("writes");
    let next = next.to_str().expect("UTF-8");
    let applied = daemon
        .client(&["apply", next, "--confirm", "300s"])
        .expect("runs");
    assert!(applied.status.success(), "{}", stderr(&applied));
    // The same connection: the listener stays.
    let other = reader.policy();
    assert_eq!(other["generation"], 2);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(other["files"][0]["lines"], serde_json::json!(lines));
    let report = reader.report_when("trial", |report| report["status"]["trial_s"] != Value::Null);
    for (rule, note) in [("only", "drop"), ("closed", "removed")] {
        assert_eq!(entry(&report["rules"]["rows"], rule)["note"], note);
    }
    let first = report["status"]["trial_s"].as_u64().expect("seconds");
    assert!((200..=300).contains(&first), "{first}");
    reader.report_when("fewer seconds", |report| {
        let left = report["status"]["trial_s"].as_u64();
        left.is_some_and(|left| left < first)
    });
    assert!(daemon.client(&["revert"]).expect("runs").status.success());
    assert_eq!(reader.policy()["generation"], 1);
    daemon.write_policy("version: 2\n").expect("writes");
    assert_eq!(daemon.reload().expect("runs").status.code(), Some(1));
    let report = reader.report_when("refusal", |report| {
        report["status"]["last_reload"]["ok"] == false
    });
    assert_eq!(
        report["status"]["degraded"],
        serde_json::json!(["the last reload failed"])
    );

    // A reload without the page ends it.
    let without = policy(ADDRESS, "false", RULES);
    daemon.write_policy(&without).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    reader.ends();
    assert_eq!(ask(&bed, "GET", "/", ADDRESS).status, 404);
    assert_eq!(ask(&bed, "GET", "/stream", ADDRESS).status, 404);
    assert_eq!(get(&bed, ADDRESS, "/metrics").status, 200);
}

#[test]
fn the_page_is_for_browsers_that_ask_by_its_own_name_and_change_nothing() {
    let (bed, _daemon) = shown(RULES);
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/stream", "text/event-stream"),
    ] {
        // The stream has no end; its head is the same.
        let method = if path == "/stream" { "HEAD" } else { "GET" };
        for host in [ADDRESS, "localhost:8080", "[::1]"] {
            let reply = ask(&bed, method, path, host);
            assert_eq!(reply.status, 200, "{path} {host}");
            assert_eq!(reply.header("content-type"), Some(content_type));
        }
        let strangers = ["evil.example", "localhost.evil.example:9477", "192.0.2.9"];
        for host in strangers {
            assert_eq!(ask(&bed, "GET", path, host).status, 421, "{path} {host}");
        }
        let nameless = request(&bed, ADDRESS, &format!("GET {path} HTTP/1.1\r\n\r\n"));
        assert_eq!(nameless.status, 421, "{path}");
        let absolute = format!("GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(request(&bed, ADDRESS, &absolute).status, 421, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let reply = ask(&bed, method, path, ADDRESS);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
        // What is refused has them, too.
        for reply in [
            ask(&bed, method, path, ADDRESS),
            ask(&bed, "GET", path, "evil.example"),
            ask(&bed, "POST", path, ADDRESS),
        ] {
            let header = |name| reply.header(name).unwrap_or_default();
            assert_eq!(
                header("content-security-policy"),
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin");
            assert_eq!(header("access-control-allow-origin"), "");
        }
    }
    for other in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        let text = format!("GET /stream HTTP/1.1\r\nHost: {ADDRESS}\r\n{other}\r\n\r\n");
        assert_eq!(request(&bed, ADDRESS, &text).status, 403, "{other}");
    }
    for path in ["/index.html", "/page.html", "//", "/../page.js", "/stream/"] {
        assert_eq!(ask(&bed, "GET", path, ADDRESS).status, 404, "{path}");
    }
    // Scrapers may have any name for it.
    assert_eq!(ask(&bed, "GET", "/metrics", "evil.example").status, 200);
}

#[test]
fn the_page_is_at_loopback_addresses_unless_it_is_exposed() {
    let (bed, daemon) = shown(RULES);
    let public = format!("{SERVER_V4}:9477");
    let from_outside = |path: &str, host: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        request(&bed, &public, &text).status
    };
    daemon
        .write_policy(&policy(&public, "true", RULES))
        .expect("writes");
    let refused = daemon.reload().expect("runs");
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(
        text.contains("the page is served at loopback addresses alone, and `listen` has none"),
        "{text}"
    );
    assert_eq!(ask(&bed, "GET", "/", ADDRESS).status, 200);

    let both = format!("[{ADDRESS}, {public}]");
    daemon
        .write_policy(&policy(&both, "true", RULES))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert_eq!(ask(&bed, "GET", "/", ADDRESS).status, 200);
    assert_eq!(from_outside("/metrics", &public), 200);
    assert_eq!(from_outside("/", &public), 404);

    let exposed = "{ exposed: true, hosts: fw.example.net }";
    daemon
        .write_policy(&policy("0.0.0.0:9477", exposed, RULES))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    let warned = stdout(&output) + &stderr(&output);
    assert!(
        warned.contains("whoever reaches 0.0.0.0:9477 can read the metrics and the page"),
        "{warned}"
    );
    for (host, status) in [
        (public.as_str(), 200),
        ("fw.example.net", 200),
        ("192.0.2.7", 421),
        ("evil.example", 421),
    ] {
        assert_eq!(from_outside("/", host), status, "{host}");
    }
}

/// Descriptors that a daemon holds.
fn descriptors(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/fd", daemon.pid());
    std::fs::read_dir(folder).expect("descriptors").count()
}

/// The same once what has just ended is closed.
fn settled_descriptors(daemon: &Daemon) -> usize {
    let mut found = descriptors(daemon);
    let mut same = 0;
    while same < 10 {
        sleep(Duration::from_millis(20));
        let now = descriptors(daemon);
        same = if now == found { same + 1 } else { 0 };
        found = now;
    }
    found
}

fn wait_for_descriptors(daemon: &Daemon, wanted: usize) {
    let begin = Instant::now();
    while descriptors(daemon) != wanted {
        let found = descriptors(daemon);
        assert!(
            begin.elapsed() < 2 * PATIENCE,
            "{found} descriptors, not {wanted}"
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn readers_who_go_leave_nothing_behind() {
    let (bed, daemon) = shown(RULES);
    // Whatever the first one has the daemon open stays.
    Reader::open(&bed, ADDRESS).report();
    let before = settled_descriptors(&daemon);
    for _ in 0..2 {
        let mut readers: Vec<Reader> = (0..16).map(|_| Reader::open(&bed, ADDRESS)).collect();
        for reader in &mut readers {
            assert_eq!(reader.policy()["generation"], 1);
        }
        // There is no place for another one, and the others notice nothing.
        let reply = ask(&bed, "GET", "/stream", ADDRESS);
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("retry-after"), Some("5"));
        assert_eq!(ask(&bed, "GET", "/", ADDRESS).status, 200);
        for reader in &mut readers {
            reader.report();
        }
        wait_for_descriptors(&daemon, before + 16);
        drop(readers);
        wait_for_descriptors(&daemon, before);
    }
    // With nobody who reads, drops are still counted, and the next reader has them.
    send(&bed, &[(9000, 5)]);
    let mut reader = Reader::open(&bed, ADDRESS);
    reader.report_when("packets", |report| {
        entry(&report["rules"]["rows"], "closed")["packets"] == 5
    });
}
