//! `portguard ports`

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::{binary, stderr, stdout};

fn ports(arguments: &[&str]) -> Output {
    Command::new(binary())
        .arg("ports")
        .args(arguments)
        .output()
        .expect("runs")
}

/// What a search finds, which must be something.
fn found(arguments: &[&str]) -> Value {
    let output = ports(&[arguments, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stderr(&output), "");
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

fn numbers(entries: &Value) -> Vec<u64> {
    let entries = entries.as_array().expect("a list");
    let number = |entry: &Value| entry["port"].as_u64().expect("a number");
    entries.iter().map(number).collect()
}

#[test]
fn one_port_is_told_in_full() {
    let output = ports(&["593"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = "\
port      593/tcp http-rpc-epmap
class     well-known (0-1023)
purpose   Windows RPC over HTTP
abuse     worms (2003): leads to the same RPC services as 135, and to the same
          holes (MS03-026)
advice    close: RPC belongs in the local network at most
profiles  windows-services, worms
";
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
    let documented = include_str!("../../../docs/ports.md");
    assert!(documented.contains(expected), "docs/ports.md shows this");
}

#[test]
fn a_port_without_a_name_and_one_of_two_protocols() {
    let output = ports(&["2745"]);
    assert!(
        stdout(&output).starts_with("port      2745/tcp\nclass     registered (1024-49151)\n"),
        "{output:?}"
    );
    let output = ports(&["445/udp"]);
    assert!(
        stdout(&output).starts_with("port      445/tcp,udp microsoft-ds (smb, cifs)\n"),
        "{output:?}"
    );
    let output = ports(&["512"]);
    let text = stdout(&output);
    let (first, second) = text.split_once("\n\n").expect("two entries");
    assert!(first.starts_with("port      512/tcp exec\n"), "{text}");
    assert!(
        second.starts_with("port      512/udp biff (comsat)\n"),
        "{text}"
    );
}

#[test]
fn for_programs() {
    let shown = found(&["7306"]);
    assert_eq!(
        shown,
        json!({
            "entries": [{
                "port": 7306,
                "protocols": ["tcp"],
                "service": null,
                "aliases": [],
                "class": "registered",
                "purpose": "none",
                "abuse": [
                    {"name": "NetSpy", "year": null, "text": "a trojan that listens here, in version 3.0"}
                ],
                "advice": "close",
                "why": "no service has it",
                "profiles": ["trojans"],
            }],
            "related": [],
            "nearest": [],
        })
    );
    let smb = &found(&["smb"])["entries"][0];
    assert_eq!(smb["port"], 445);
    assert_eq!(smb["protocols"], json!(["tcp", "udp"]));
    assert_eq!(smb["aliases"], json!(["smb", "cifs"]));
    let wannacry = smb["abuse"].as_array().expect("a list").iter();
    let mut wannacry = wannacry.filter(|own| own["name"] == "WannaCry");
    assert_eq!(wannacry.next().expect("it is told")["year"], 2017);
}

#[test]
fn by_name_by_threat_and_by_range() {
    for (query, expected) in [
        ("RDP", vec![3389]),
        ("blaster", vec![69, 135, 4444]),
        ("CVE-2017-17215", vec![37215]),
        (
            "6000-6010",
            vec![6000, 6001, 6002, 6003, 6004, 6005, 6006, 6007],
        ),
    ] {
        assert_eq!(numbers(&found(&[query])["entries"]), expected, "{query}");
    }
    let mirai = numbers(&found(&["mirai"])["entries"]);
    for port in [23, 2323, 7547] {
        assert!(mirai.contains(&port), "{port} in {mirai:?}");
    }
    // What else speaks of the words stands beneath a service of that name.
    let ftp = found(&["ftp"]);
    assert_eq!(numbers(&ftp["entries"]), [21]);
    assert!(numbers(&ftp["related"]).contains(&990));
    let text = stdout(&ports(&["ftp"]));
    let see_also = text.split("\n\n").last().expect("a last part");
    assert!(see_also.starts_with("see also  "), "{text}");
    assert!(see_also.contains("990/tcp (ftps)"), "{text}");
}

#[test]
fn all_ports_are_a_table_of_80_columns() {
    let output = ports(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.starts_with("PORT "), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.ends_with(' '), "{line:?}");
    }
    let everything = found(&[]);
    let count = everything["entries"].as_array().expect("a list").len();
    assert!(count > 400, "{count}");
    // A heading, a blank line and a summary stand beside the ports.
    assert_eq!(text.lines().count(), count + 3);
    let summary = format!("{count} entries; `portguard ports PORT` tells more of one");
    assert_eq!(text.lines().last(), Some(summary.as_str()));
    let telnet = text.lines().find(|line| line.starts_with("23/tcp "));
    let telnet: Vec<&str> = telnet.expect("telnet").split_whitespace().collect();
    assert_eq!(telnet[..4], ["23/tcp", "telnet", "close", "remote"]);
}

#[test]
fn profiles_and_classes_narrow() {
    let trojans = found(&["--profile", "trojans"]);
    assert_eq!(
        numbers(&trojans["entries"]),
        [79, 99, 1024, 5554, 7306, 7626, 8011]
    );
    let dynamic = numbers(&found(&["--class", "dynamic"])["entries"]);
    assert!(dynamic.contains(&52869) && dynamic.iter().all(|port| *port >= 49152));
    let both = found(&["--profile", "worms", "--class", "registered"]);
    // 3389/udp is an entry of its own, of which `worms` drops nothing.
    assert_eq!(numbers(&both["entries"]), [1025, 2745, 3127, 3389, 6129]);
    let narrowed = found(&["sasser", "--class", "well-known"]);
    assert_eq!(numbers(&narrowed["entries"]), [445]);
}

#[test]
fn nothing_found_is_told_with_what_may_have_been_meant() {
    for (arguments, message) in [
        (
            vec!["sasserr"],
            "error: the catalogue has no service `sasserr`, and no purpose or threat with these words; did you mean \
             `sasser`?\n",
        ),
        (
            vec!["50001"],
            "error: the catalogue has no port `50001`: it is a dynamic one (49152-65535), and nothing is known of it\n",
        ),
        (
            vec!["50001-50005"],
            "error: the catalogue has no port in `50001-50005`\n",
        ),
        (
            vec!["445/sctp"],
            "error: the catalogue has no `445/sctp`, but 445/tcp,udp (microsoft-ds)\n",
        ),
        (
            vec!["445", "--profile", "iot", "--class", "dynamic"],
            "error: the catalogue knows `445`, but not in profile `iot` and class dynamic\n",
        ),
        (
            vec!["--profile", "trojans", "--class", "dynamic"],
            "error: the catalogue has no port of profile `trojans` and class dynamic\n",
        ),
    ] {
        let output = ports(&arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_eq!(stderr(&output), message, "{arguments:?}");
        let output = ports(&[arguments.as_slice(), &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!(shown["entries"], json!([]));
    }
    let output = ports(&["sasserr", "--format", "json"]);
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(shown["nearest"], json!(["sasser"]));
}

#[test]
fn what_cannot_be_looked_for_is_a_wrong_command_line() {
    for (arguments, expected) in [
        (vec!["70000"], "`70000` is no port and no range"),
        (vec!["010"], "`010` is no port and no range"),
        (vec!["9-5"], "the range `9-5` begins above its end"),
        (vec!["80/http"], "`http` is no protocol with ports"),
        (vec![""], "nothing is asked"),
        (vec!["--profile", "worm"], "worms"),
        (
            vec!["--class", "private"],
            "well-known, registered, dynamic",
        ),
        (vec!["22", "80"], "unexpected argument '80'"),
    ] {
        let output = ports(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = Command::new(binary())
        .arg("ports")
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}
