//! What feeds bans from elsewhere: the files of `config/` as they are delivered.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::{stderr, stdout};

fn delivered(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(path)
}

/// Runs an action of the file for fail2ban as fail2ban does, with a program that says what it is asked.
fn action(name: &str, tags: &[(&str, &str)]) -> Output {
    let text = std::fs::read_to_string(delivered("fail2ban/portguard.conf")).expect("reads");
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("{name} =")));
    let first = lines.next().expect("the action");
    let first = first.split_once('=').expect("a value").1;
    let more = lines.take_while(|line| line.starts_with(' '));
    let script: Vec<&str> = std::iter::once(first).chain(more).collect();
    let mut script = script.join("\n").replace("%%", "%");
    for (tag, value) in tags {
        script = script.replace(&format!("<{tag}>"), value);
    }
    assert!(!script.contains('<'), "a tag is left: {script}");
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .output()
        .expect("runs")
}

/// Seconds since 1970 as fail2ban writes them, so many from now.
fn time(from_now: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("before the year 9999");
    format!("{}.25", now + from_now)
}

#[test]
fn fail2ban_bans_for_what_is_left() {
    let program = [
        ("portguard", "echo"),
        ("target", "192.0.2.1"),
        ("name", "sshd"),
    ];
    let ban = |time: &str, lasts: &str| {
        let tags = [&program[..], &[("time", time), ("bantime", lasts)]].concat();
        let output = action("actionban", &tags);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let fresh = ban(&time(0), "600");
    let seconds = fresh
        .strip_prefix("ban 192.0.2.1 --for ")
        .and_then(|rest| rest.strip_suffix("s --reason fail2ban: sshd\n"));
    let seconds: u64 = seconds.expect(&fresh).parse().expect("a number");
    assert!((590..=600).contains(&seconds), "{seconds}");
    // One that is restored, one that is over, one without an end.
    assert!(ban(&time(-500), "600.0").contains("--for 1"));
    assert_eq!(ban(&time(-700), "600"), "");
    assert_eq!(
        ban(&time(0), "-1"),
        "ban 192.0.2.1 --reason fail2ban: sshd\n"
    );
    assert_eq!(
        stdout(&action("actionunban", &program)),
        "unban 192.0.2.1\n"
    );
}

fn decisions(csv: &str) -> Output {
    let mut child = Command::new(delivered("crowdsec/portguard-decisions"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(csv.as_bytes()).expect("writes");
    drop(input);
    child.wait_with_output().expect("ends")
}

#[test]
fn decisions_become_a_list_with_times() {
    let output = decisions(
        "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id\n\
         1,crowdsec,Ip:203.0.113.7,crowdsecurity/ssh-bf,ban,US,\"64496 EXAMPLE, Inc.\",6,3h59m57.3s,false,3\n\
         2,cscli,Range:198.51.100.0/24,manual,ban,,,1,59m1s,false,4\n\
         3,cscli,Country:XX,manual,ban,XX,,1,1h,false,5\n\
         4,cscli,Ip:203.0.113.9,manual,captcha,,,1,1h,false,6\n\
         5,cscli,Ip:203.0.113.10,manual,ban,,,1,-3s,false,7\n\
         6,cscli,Ip:2001:db8::2,manual,ban,,,1,48h,false,8\n",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "203.0.113.7 14397s\n198.51.100.0/24 3541s\n2001:db8::2 172800s\n"
    );
    let other = decisions("a,b\n1,2\n");
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("no columns"));
}
