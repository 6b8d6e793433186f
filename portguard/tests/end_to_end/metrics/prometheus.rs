//! Prometheus itself, and what is shipped for it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::Bed;
use serde_json::Value;

use crate::{stderr, stdout};

use super::http::{Reply, connect, get, request};
use super::{ADDRESS, PATIENCE, RULES, a_thousand_rules, scraped, send};

/// Where Prometheus listens, in the namespace of the test.
const PROMETHEUS: &str = "127.0.0.1:9090";

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(path)
}

fn promtool(words: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`promtool` of the package `prometheus` runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(input.as_bytes()).expect("writes");
    drop(pipe);
    child.wait_with_output().expect("ends")
}

#[test]
fn promtool_has_nothing_to_say_about_a_scrape() {
    for rules in [RULES, &a_thousand_rules()] {
        let (bed, _daemon) = scraped(rules);
        send(&bed, &[(9000, 1)]);
        let text = get(&bed, ADDRESS, "/metrics").body;
        let output = promtool(&["check", "metrics"], &text);
        let said = stdout(&output) + &stderr(&output);
        assert!(output.status.success(), "{said}\n{text}");
        assert_eq!(said, "");
    }
}

#[test]
fn the_alerts_fire_when_they_should() {
    let rules = config("prometheus/portguard.rules.yml");
    let rules = rules.to_str().expect("UTF-8");
    let output = promtool(&["check", "rules", rules], "");
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let tests = folder.path().join("tests.yml");
    let text = include_str!("alerts.yml").replace("RULES", rules);
    fs::write(&tests, text).expect("writes");
    let output = promtool(&["test", "rules", tests.to_str().expect("UTF-8")], "");
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

/// A Prometheus server in the namespace of the guarded host, which ends with the test.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(bed: &Bed) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = fs::canonicalize(config("prometheus/portguard.rules.yml")).expect("rules");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ['{}']
scrape_configs:
  - job_name: portguard
    static_configs: [{{ targets: ['{ADDRESS}'] }}]
",
            rules.display()
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, text).expect("writes");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let child = bed
            .server
            .command("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={PROMETHEUS}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`prometheus` of the package of this name runs");
        let mut server = Self { child, folder };
        // It listens before it can answer: 503 until then.
        server.wait("ready", || {
            connect(bed, PROMETHEUS).is_ok() && Self::get(bed, "/-/ready").status == 200
        });
        server
    }

    /// What it answers, behind which it closes.
    fn get(bed: &Bed, path: &str) -> Reply {
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        request(bed, PROMETHEUS, &text)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The result of an expression.
    fn query(bed: &Bed, expression: &str) -> Vec<Value> {
        let form: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let path = format!("/api/v1/query?query={form}");
        let reply = Self::get(bed, &path);
        assert_eq!(reply.status, 200, "{expression}: {}", reply.body);
        // A long answer comes in chunks.
        let body = match reply.header("transfer-encoding") {
            Some("chunked") => unchunked(&reply.body),
            _ => reply.body,
        };
        let value: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(value["status"], "success", "{expression}: {value}");
        value["data"]["result"].as_array().cloned().expect("a list")
    }

    /// Asks until there is a result.
    fn wait_for(&mut self, bed: &Bed, expression: &str) -> Vec<Value> {
        let mut result = Vec::new();
        self.wait(expression, || {
            result = Self::query(bed, expression);
            !result.is_empty()
        });
        result
    }

    /// Asks until it is so.
    fn wait(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            let is_running = self.child.try_wait().expect("asks").is_none();
            assert!(
                is_running && begin.elapsed() < 3 * PATIENCE,
                "{what}: {}",
                self.log()
            );
            sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Our own child; it may have ended by itself.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        whole.push_str(&rest[..length]);
        text = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

fn number(result: &Value) -> &str {
    result["value"][1].as_str().expect("a number")
}

#[test]
fn a_prometheus_server_scrapes_it_and_understands_every_expression_that_is_shipped() {
    let (bed, _daemon) = scraped(RULES);
    send(&bed, &[(9000, 7)]);
    let mut server = Server::start(&bed);
    let up = server.wait_for(&bed, "up{job=\"portguard\"} == 1");
    assert_eq!(number(&up[0]), "1");
    let closed = "portguard_rule_packets_total{rule=\"closed\",result=\"dropped\"}";
    assert_eq!(number(&server.wait_for(&bed, closed)[0]), "7");
    // It asked for OpenMetrics, and knows the types.
    let rate = server.wait_for(&bed, "rate(portguard_received_packets_total[1m])");
    assert_eq!(rate[0]["metric"]["job"], "portguard");

    let dashboard = fs::read_to_string(config("grafana/portguard.json")).expect("a dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 10);
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let annotations = dashboard["annotations"]["list"].as_array().expect("a list");
    for target in targets.chain(annotations) {
        let expression = target["expr"].as_str().expect("an expression");
        let expression = expression
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m")
            .replace("$__range", "5m");
        assert!(!expression.contains('$'), "{expression}");
        let result = Server::query(&bed, &expression);
        // Without a function over time there is something at once.
        assert!(
            expression.contains('[') || !result.is_empty(),
            "{expression}"
        );
    }
    let alerts = server.wait_for(&bed, "count(portguard_build_info)");
    assert_eq!(number(&alerts[0]), "1");
}
