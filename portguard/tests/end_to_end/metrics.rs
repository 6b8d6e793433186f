//! Metrics: what is scraped is what was counted, and whoever scrapes holds up nobody.

pub(crate) mod http;
mod prometheus;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4, in_time};
use serde_json::Value;

use crate::{binary, rule_packets, stderr, stdout};

use self::http::{Reply, connect, get, request, series};

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

const ADDRESS: &str = "127.0.0.1:9477";

const RULES: &str = "  - {name: closed, action: drop, ports: [9000/udp]}
  - {name: open, action: pass, ports: [9001/udp]}
  - {name: few, action: limit, ports: [9002/udp], rate: 1/m, burst: 2, per: rule}
  - {name: later, action: drop, ports: [9003/udp], enforce: false}
  - {name: range, action: drop, ports: [9100-9200/udp]}
";

fn policy(listen: &str, rules: &str) -> String {
    format!("version: 1\ninterfaces: [srv0]\nmetrics: {{ listen: {listen} }}\nrules:\n{rules}")
}

fn scraped(rules: &str) -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &policy(ADDRESS, rules)).expect("a daemon");
    (bed, daemon)
}

/// Sends UDP packets to ports of the server, so many to each.
pub(crate) fn send(bed: &Bed, packets: &[(u16, usize)]) {
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    let socket = RawSocket::open(&bed.client, "cli0").expect("a sender");
    for (port, number) in packets {
        let frame = udp_frame(ends, &[], *port, b"counted").expect("a frame");
        (0..*number).for_each(|_| socket.send(&frame).expect("sends"));
    }
}

fn scrape(bed: &Bed) -> BTreeMap<String, f64> {
    let reply = get(bed, ADDRESS, "/metrics");
    assert_eq!(reply.status, 200, "{reply:?}");
    series(&reply.body)
}

/// Scrapes until a series has a value: figures may be 100 ms old.
fn scrape_until(bed: &Bed, name: &str, value: f64) -> BTreeMap<String, f64> {
    let begin = Instant::now();
    loop {
        let series = scrape(bed);
        if series.get(name) == Some(&value) {
            return series;
        }
        let found = series.get(name);
        assert!(
            begin.elapsed() < PATIENCE,
            "{name} is {found:?}, not {value}"
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_scraped_is_what_was_sent() {
    let (bed, daemon) = scraped(RULES);
    send(
        &bed,
        &[(9000, 7), (9001, 5), (9002, 6), (9003, 3), (9150, 4)],
    );
    let frame = 14 + 20 + 8 + 7;
    let passed = "portguard_rule_packets_total{rule=\"range\",result=\"dropped\"}";
    let series = scrape_until(&bed, passed, 4.0);
    for (rule, result, packets) in [
        ("closed", "dropped", 7.0),
        ("open", "passed", 5.0),
        ("few", "passed", 2.0),
        ("few", "limited", 4.0),
        ("later", "shadow", 3.0),
        ("range", "dropped", 4.0),
    ] {
        let labels = format!("{{rule=\"{rule}\",result=\"{result}\"}}");
        let counted = series.get(&format!("portguard_rule_packets_total{labels}"));
        assert_eq!(counted, Some(&packets), "{labels}");
        let counted = series.get(&format!("portguard_rule_bytes_total{labels}"));
        assert_eq!(counted, Some(&(packets * f64::from(frame))), "{labels}");
    }
    for (port, packets) in [
        ("9000", 7.0),
        ("9001", 0.0),
        ("9002", 4.0),
        ("9003", 0.0),
        ("other", 4.0),
    ] {
        let name = format!("portguard_dropped_packets_total{{protocol=\"udp\",port=\"{port}\"}}");
        assert_eq!(series.get(&name), Some(&packets), "{name}");
    }
    assert_eq!(series["portguard_policy_generation"], 1.0);
    assert_eq!(series["portguard_policy_rules"], 5.0);
    assert_eq!(series["portguard_degraded_reasons"], 0.0);
    let attached: Vec<_> = series
        .iter()
        .filter(|(name, _)| name.starts_with("portguard_interface_attached"))
        .collect();
    let [(name, &1.0)] = attached[..] else {
        panic!("one interface is attached: {attached:?}")
    };
    assert!(name.contains("interface=\"srv0\""), "{name}");

    // Nothing was sent since to ports that rules name: both ways to ask tell the same.
    let counters = daemon.counters().expect("counters");
    assert_eq!(rule_packets(&counters, "closed"), 7);
    let sum = |names: &[&str]| -> f64 {
        let counted = series.iter().filter(|(name, _)| {
            names.iter().any(|start| name.starts_with(start)) && !name.contains("shadow")
        });
        counted.map(|(_, value)| value).sum()
    };
    let parts = [
        "portguard_outcome_packets_total",
        "portguard_malformed_packets_total",
        "portguard_rule_packets_total",
    ];
    assert_eq!(sum(&parts), series["portguard_received_packets_total"]);
}

#[test]
fn reloads_are_counted_with_their_results() {
    let (bed, daemon) = scraped(RULES);
    assert!(daemon.reload().expect("runs").status.success());
    daemon.write_policy("version: 2\n").expect("writes");
    assert_eq!(daemon.reload().expect("runs").status.code(), Some(1));
    let refused = scrape_until(&bed, "portguard_reloads_total{result=\"failure\"}", 1.0);
    assert_eq!(
        refused["portguard_reloads_total{result=\"unchanged\"}"],
        1.0
    );
    assert_eq!(refused["portguard_reloads_total{result=\"success\"}"], 0.0);
    assert_eq!(refused["portguard_last_reload_successful"], 0.0);
    assert_eq!(refused["portguard_degraded_reasons"], 1.0);
    assert_eq!(refused["portguard_reload_duration_seconds_count"], 1.0);
    let changed = refused["portguard_policy_last_change_timestamp_seconds"];

    let rules = "  - {name: only, action: drop, ports: [9000/udp]}\n";
    daemon
        .write_policy(&policy(ADDRESS, rules))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let good = scrape_until(&bed, "portguard_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(good["portguard_last_reload_successful"], 1.0);
    assert_eq!(good["portguard_degraded_reasons"], 0.0);
    assert_eq!(good["portguard_policy_generation"], 2.0);
    assert_eq!(good["portguard_policy_rules"], 1.0);
    assert!(good["portguard_policy_last_change_timestamp_seconds"] > changed);
    // A rule that the policy does not have any more has no series.
    assert!(!good.keys().any(|name| name.contains("rule=\"closed\"")));

    let next = daemon.folder().join("next.yaml");
    std::fs::write(&next, policy(ADDRESS, RULES)).expect("writes");
    let next = next.to_str().expect("UTF-8");
    let output = daemon
        .client(&["apply", next, "--confirm", "60s"])
        .expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let trial = scrape_until(&bed, "portguard_trial_active", 1.0);
    let left = trial["portguard_trial_remaining_seconds"];
    assert!(left > 0.0 && left <= 60.0, "{left}");
    let banned = daemon.client(&["ban", "203.0.113.7"]).expect("runs");
    assert!(banned.status.success(), "{}", stderr(&banned));
    assert!(daemon.client(&["revert"]).expect("runs").status.success());
    let after = scrape_until(&bed, "portguard_trial_active", 0.0);
    assert_eq!(after["portguard_policy_generation"], 2.0);
    assert_eq!(after["portguard_bans"], 1.0);
}

#[test]
fn everything_but_the_metrics_is_refused() {
    let (bed, _daemon) = scraped(RULES);
    for path in [
        "/",
        "/metric",
        "/metrics/",
        "/metrics2",
        "//metrics",
        "/../metrics",
    ] {
        assert_eq!(get(&bed, ADDRESS, path).status, 404, "{path}");
    }
    assert_eq!(get(&bed, ADDRESS, "/metrics?name=x").status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let reply = request(
            &bed,
            ADDRESS,
            &format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        );
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    }
    let head = request(&bed, ADDRESS, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length: usize = head
        .header("content-length")
        .expect("a length")
        .parse()
        .expect("a number");
    assert!(length > 1_000);

    let plain = get(&bed, ADDRESS, "/metrics");
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let asked = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    let open = request(&bed, ADDRESS, asked);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
}

#[test]
fn a_reload_moves_and_removes_the_listener() {
    let (bed, daemon) = scraped(RULES);
    let reload = |text: &str| {
        daemon.write_policy(text).expect("writes");
        let output = daemon.reload().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output) + &stderr(&output)
    };
    // To all addresses with the same port: the one before makes room for it.
    let warnings = reload(&policy("0.0.0.0:9477", RULES));
    assert!(
        warnings.contains("whoever reaches 0.0.0.0:9477 can read the metrics"),
        "{warnings}"
    );
    assert_eq!(
        daemon.status().expect("status")["degraded"],
        serde_json::json!([])
    );
    assert_eq!(get(&bed, ADDRESS, "/metrics").status, 200);
    reload(&policy("[127.0.0.1:9478, \"[::1]:9477\"]", RULES));
    assert_eq!(get(&bed, "127.0.0.1:9478", "/metrics").status, 200);
    assert_eq!(get(&bed, "[::1]:9477", "/metrics").status, 200);
    connect(&bed, ADDRESS).expect_err("nobody listens there any more");
    reload(&format!("version: 1\ninterfaces: [srv0]\nrules:\n{RULES}"));
    connect(&bed, "127.0.0.1:9478").expect_err("nobody listens any more");
}

#[test]
fn an_address_that_is_taken_degrades_the_daemon_until_it_is_free() {
    let bed = Bed::new().expect("a bed");
    let taken = bed
        .server
        .listen(ADDRESS.parse().expect("an address"))
        .expect("listens");
    let daemon = Daemon::start(binary(), &bed.server, &policy(ADDRESS, RULES)).expect("a daemon");
    let status = daemon.status().expect("status");
    let reasons = status["degraded"].as_array().expect("a list");
    let [Value::String(reason)] = &reasons[..] else {
        panic!("one reason: {reasons:?}")
    };
    assert!(
        reason.contains(
            "metrics cannot be scraped: cannot listen at 127.0.0.1:9477: Address already in use"
        ),
        "{reason}"
    );
    // The filter is at work.
    send(&bed, &[(9000, 3)]);
    let begin = Instant::now();
    while rule_packets(&daemon.counters().expect("counters"), "closed") != 3 {
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20));
    }
    drop(taken);
    let begin = Instant::now();
    while daemon.status().expect("status")["degraded"] != serde_json::json!([]) {
        assert!(begin.elapsed() < 2 * PATIENCE);
        sleep(Duration::from_millis(200));
    }
    scrape_until(&bed, "portguard_degraded_reasons", 0.0);
}

/// Asserts that a scrape is answered, and that the control socket and the filter are as they were.
fn others_do_not_notice(bed: &Bed, daemon: &Daemon, sent: &mut u64) {
    in_time(|| {
        let begin = Instant::now();
        scrape(bed);
        assert_eq!(daemon.status().expect("status")["generation"], 1);
        send(bed, &[(9000, 2)]);
        *sent += 2;
        while rule_packets(&daemon.counters().expect("counters"), "closed") != *sent {
            assert!(begin.elapsed() < PATIENCE);
        }
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn hostile_clients_change_nothing() {
    let (bed, daemon) = scraped(RULES);
    let mut sent = 0;
    let open = || connect(&bed, ADDRESS).expect("connects");

    // A header that does not end: refused, or cut off.
    let mut huge = open();
    let header = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n", "x".repeat(1 << 20));
    let _cut = huge.write_all(header.as_bytes());
    let said = all(huge);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431 "),
        "{said}"
    );
    let mut many = open();
    let headers: String = (0..500)
        .map(|number| format!("X-{number}: x\r\n"))
        .collect();
    let _cut = many.write_all(format!("GET /metrics HTTP/1.1\r\n{headers}\r\n").as_bytes());
    let said = all(many);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431 "),
        "{said}"
    );
    others_do_not_notice(&bed, &daemon, &mut sent);

    // What is no HTTP.
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\n\n\n\n",
        b"status\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = open();
        let _cut = stream.write_all(garbage);
        let _cut = stream.shutdown(Shutdown::Write);
        let said = all(stream);
        assert!(!said.contains("200 OK"), "{said}");
    }
    others_do_not_notice(&bed, &daemon, &mut sent);

    // More connections than there are places, all silent: a scrape gets through at once, again and again.
    let idle: Vec<TcpStream> = (0..300).map(|_| open()).collect();
    for _ in 0..5 {
        others_do_not_notice(&bed, &daemon, &mut sent);
    }
    // A byte at a time, and one that asks and does not read.
    let mut drip = open();
    let mut deaf = open();
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sends");
    let begin = Instant::now();
    while drip.write_all(b"G").is_ok() {
        assert!(begin.elapsed() < PATIENCE, "a byte a second goes on");
        others_do_not_notice(&bed, &daemon, &mut sent);
        sleep(Duration::from_secs(1));
    }
    for stream in idle {
        assert!(!all(stream).contains("200 OK"));
    }
    others_do_not_notice(&bed, &daemon, &mut sent);
}

/// What comes on a connection until its end, which comes in time.
fn all(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        // It had not read all that we sent.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection stays open: {error}"),
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// A policy of a thousand rules.
fn a_thousand_rules() -> String {
    (0..1_000)
        .map(|number| {
            format!(
                "  - {{name: rule-{number}, action: drop, ports: [{}/udp]}}\n",
                9000 + number
            )
        })
        .collect()
}

#[test]
fn a_thousand_rules_are_scraped_in_fewer_than_two_thousand_series() {
    let (bed, _daemon) = scraped(&a_thousand_rules());
    send(&bed, &[(9000, 3), (9999, 2)]);
    let last = "portguard_rule_packets_total{rule=\"rule-999\",result=\"dropped\"}";
    let series = scrape_until(&bed, last, 2.0);
    assert!(series.len() < 2_000, "{}", series.len());
    assert!(series.len() > 1_800, "{}", series.len());
    assert_eq!(
        series["portguard_exporter_folded{what=\"rule_bytes\"}"],
        300.0
    );
    // Not faster than it must be read, so that each is read anew.
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            sleep(Duration::from_millis(110));
            let begin = Instant::now();
            let Reply { status, .. } = get(&bed, ADDRESS, "/metrics");
            assert_eq!(status, 200);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    // It takes milliseconds where nobody else is at work.
    assert!(times[10] < Duration::from_millis(250), "{times:?}");
}
