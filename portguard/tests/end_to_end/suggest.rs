//! `portguard suggest`

use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use portguard_testbed::traffic::{Seen, probe_udp};
use portguard_testbed::{Bed, Daemon, SERVER_V4, SERVER_V6};

use crate::debian::{self, OTHER, POSTGRES, REDIS, SSH, WEB};
use crate::listen::NO_SOCKET;
use crate::lockout::ssh::quoted;
use crate::{binary, stderr, stdout};

const LONG: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(400);
const CLIENT: &str = "192.0.2.2";
const SERVER: &str = "192.0.2.1";

#[test]
fn what_was_used_still_works_and_a_scan_sees_nothing_else() {
    let bed = Bed::new().expect("a bed");
    let host = debian::Host::start(&bed.server);
    let mut session = host.sshd.session(&bed.client, CLIENT, SERVER, SSH);
    // Used while it is watched; Redis is not.
    let connect = |port| {
        let connected = bed.client.enter(|| TcpStream::connect((SERVER_V4, port)));
        connected.expect("enters").expect("connects")
    };
    let used = [WEB, POSTGRES].map(connect);
    let words = format!(
        "{} suggest --watch 1s --socket {NO_SOCKET}",
        quoted(binary())
    );
    let output = host.sshd.run(&bed.client, CLIENT, SERVER, SSH, &words);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    drop(used);
    let policy = stdout(&output);
    assert!(
        stderr(&output).contains("there is nothing to compare it with"),
        "{}",
        stderr(&output)
    );
    for lines in [
        "version: 1\ninterfaces: [srv0]\ndefault: drop\n",
        "\nreplies: pass\n",
        "\nessential: pass\n",
        "\n  - name: ssh\n    action: pass\n    ports: [22/tcp]\n\n",
        "\n  - name: http\n    action: pass\n    ports: [80/tcp]\n\n",
        "\n  - name: postgresql\n    action: pass\n    ports: [5432/tcp]\n    from: [192.0.2.0/24]\n",
        "\n  - name: port-7777\n    action: pass\n    ports: [7777/udp]\n\n",
        "\n  # nobody was connected while it was watched\n  # - name: redis\n",
        "\nassert:\n  - pass: \"tcp 192.0.2.2 -> :22\"\n",
    ] {
        assert!(policy.contains(lines), "{lines}\n{policy}");
    }

    let daemon = Daemon::start(binary(), &bed.server, &policy).expect("a daemon");
    assert!(session.goes_on(LONG), "{policy}");
    let opens = |server: IpAddr, port, patience| {
        let connected = bed
            .client
            .enter(|| TcpStream::connect_timeout(&(server, port).into(), patience));
        connected.expect("enters").is_ok()
    };
    for server in [IpAddr::from(SERVER_V4), IpAddr::from(SERVER_V6)] {
        assert!(opens(server, SSH, LONG) && opens(server, WEB, LONG));
        assert!(!opens(server, REDIS, SILENCE));
        let asked = probe_udp(&bed.client, server, OTHER, 1, 8, LONG).expect("a probe");
        assert_eq!(asked, Seen::Answer);
    }
    assert!(opens(SERVER_V4.into(), POSTGRES, LONG));
    assert_eq!(scanned(&bed), [SSH, WEB, POSTGRES]);

    // Seen from the policy in force, which it would loosen.
    let socket = daemon.folder().join("control.sock");
    let output = bed
        .server
        .command(binary())
        .args(["suggest", "--socket"])
        .arg(socket)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let changes = stderr(&output);
    assert!(
        changes.starts_with("what it changes in the present policy:\n"),
        "{changes}"
    );
}

/// The ports that a scanner sees open from the next namespace.
fn scanned(bed: &Bed) -> Vec<u16> {
    let output = bed
        .client
        .command("nmap")
        .args([
            "-Pn",
            "-n",
            "-sS",
            "-p-",
            "--min-rate",
            "20000",
            "--max-retries",
            "1",
            "-oG",
            "-",
            SERVER,
        ])
        .output()
        .expect("nmap is installed; `cargo xtask test` does that");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let ports = text
        .split("Ports: ")
        .nth(1)
        .unwrap_or_else(|| panic!("no ports in {text}"));
    let ports = ports.split('\t').next().expect("a list");
    let mut open: Vec<u16> = ports
        .split(", ")
        .filter(|own| own.contains("/open/"))
        .map(|own| {
            own.split('/')
                .next()
                .expect("a port")
                .parse()
                .expect("a number")
        })
        .collect();
    open.sort_unstable();
    open
}
