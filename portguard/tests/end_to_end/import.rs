//! `portguard import`

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{binary, stderr, stdout};

const RULES: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -s 203.0.113.0/24 -p udp -m udp --dport 53 -j ACCEPT
COMMIT
";

fn import(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .arg("import")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command line that is refused reads nothing.
    let _closed = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn check(policy: &Path) -> Output {
    let output = Command::new(binary()).arg("check").arg(policy).output();
    output.expect("runs")
}

#[test]
fn a_policy_comes_out_that_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.yaml");
    let path = policy.to_str().expect("UTF-8");
    let output = import(&["iptables", "-", "--interface", "eth0", "-o", path], RULES);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "");
    let told = stderr(&output);
    assert!(
        told.ends_with("wider than the original: 0; stricter: 0; notes: 2\n"),
        "{told}"
    );
    let text = fs::read_to_string(&policy).expect("written");
    let rules = "\
  # standard input:6: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
  - name: \"INPUT-6\"
    action: pass
    protocol: tcp
    ports: 22
    from: 0.0.0.0/0
  # standard input:7: -A INPUT -s 203.0.113.0/24 -p udp -m udp --dport 53 -j ACCEPT
  - name: \"INPUT-7\"
    action: pass
    protocol: udp
    ports: 53
    from: 203.0.113.0/24
";
    assert!(text.contains(rules), "{text}");
    assert!(text.contains("\ndefault: drop\nreplies: pass\n"), "{text}");
    let checked = check(&policy);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");

    // The policy may be in force: it is not replaced.
    let output = import(&["iptables", "-", "-o", path], RULES);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("is not replaced"), "{output:?}");
    assert_eq!(fs::read_to_string(&policy).expect("there"), text);
}

#[test]
fn what_is_wider_is_told_and_has_an_exit_code() {
    let rules = RULES.replace(
        "-A INPUT -p tcp",
        "-A INPUT -m mark --mark 0x7 -j DROP\n-A INPUT -p tcp",
    );
    let output = import(&["iptables", "-"], &rules);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let finding = "\
wider: standard input:6: portguard cannot tell `--mark 0x7`
  -A INPUT -m mark --mark 0x7 -j DROP
  its packets are not dropped: they go on to rule `INPUT-7`, rule `INPUT-8`, `default: drop`
";
    assert!(stderr(&output).contains(finding), "{output:?}");
    assert!(
        stdout(&output).contains("\n# WIDER than the original:\n"),
        "{output:?}"
    );

    let output = import(&["iptables", "-", "--strict"], &rules);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        stderr(&output).contains("stricter: standard input:6"),
        "{output:?}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (tool, text, expected) in [
        (
            "nft",
            "table inet filter {\n}\n",
            "nft -j list ruleset > rules.json",
        ),
        (
            "nft",
            "{\"nftables\": [\n  {\"table\": ]}",
            "standard input:2:",
        ),
        (
            "iptables",
            "*filter\n-A INPUT -s nowhere -j DROP\n",
            "standard input:2:13: `nowhere`",
        ),
        (
            "iptables",
            "Chain INPUT (policy DROP)\n",
            "standard input:1:1: ",
        ),
        (
            "firewalld",
            "<zone>\n<service/></zone>",
            "standard input:2:1: `<service>` needs `name`",
        ),
    ] {
        let output = import(&[tool, "-"], text);
        assert_eq!(output.status.code(), Some(2), "{tool}: {output:?}");
        assert!(stderr(&output).contains(expected), "{tool}: {output:?}");
        assert_eq!(stdout(&output), "");
    }
    let output = import(&["ufw", "/nowhere"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("cannot read `/nowhere`"),
        "{output:?}"
    );
}

#[test]
fn an_interface_that_is_none_is_refused() {
    let output = import(&["iptables", "-", "--interface", "a name"], RULES);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(stdout(&output), "");
    assert!(
        stderr(&output).contains("interfaces: [\"a name\"]"),
        "{output:?}"
    );
}
