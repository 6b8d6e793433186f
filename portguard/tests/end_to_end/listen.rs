//! `portguard listen`

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use portguard_testbed::{Bed, Daemon, Namespace, SERVER_V4};
use serde_json::{Value, json};

use crate::{binary, program_for_everyone, stderr, stdout};

/// Where no daemon is.
pub(crate) const NO_SOCKET: &str = "/nonexistent/control.sock";

/// What `listen` tells of a host without a daemon.
fn listening(host: &Namespace, arguments: &[&str]) -> Value {
    let output = host
        .command(binary())
        .args(["listen", "--format", "json", "--socket", NO_SOCKET])
        .args(arguments)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

fn rows(told: &Value) -> &Vec<Value> {
    told["sockets"].as_array().expect("a list")
}

fn at_port(told: &Value, port: u16) -> &Value {
    let found = rows(told).iter().find(|own| own["port"] == port);
    found.unwrap_or_else(|| panic!("no socket at {port} in {told}"))
}

/// A row as `ss` has it: protocol, state, local end, processes.
fn as_ss(own: &Value) -> String {
    let text = |key: &str| own[key].as_str().expect("text").to_owned();
    let address = text("address");
    let place = match (text("family").as_str(), address.as_str()) {
        ("both", "::") => "*".to_owned(),
        ("ipv6" | "both", _) => format!("[{address}]"),
        _ => address,
    };
    let device = own["device"]
        .as_str()
        .map_or(String::new(), |own| format!("%{own}"));
    let state = match text("state").as_str() {
        "listen" => "LISTEN",
        _ => "UNCONN",
    };
    let processes = own["processes"].as_array().expect("a list").iter();
    let mut processes: Vec<String> = processes
        .map(|own| format!("{} {}", own["name"].as_str().expect("a name"), own["pid"]))
        .collect();
    processes.sort();
    format!(
        "{} {state} {place}{device}:{} {}",
        text("protocol"),
        own["port"],
        processes.join(",")
    )
}

/// The rows of `ss -tulpn` in the same form.
fn of_ss(host: &Namespace) -> Vec<String> {
    let output = host
        .command("ss")
        .args(["-H", "-tulpn"])
        .output()
        .expect("iproute2 is installed");
    assert!(output.status.success(), "{output:?}");
    let mut rows: Vec<String> = stdout(&output)
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let users = line.split_once("users:(").map_or("", |(_, rest)| rest);
            let mut processes: Vec<String> = users
                .split("(\"")
                .filter_map(|own| {
                    let (name, rest) = own.split_once("\",pid=")?;
                    Some(format!("{name} {}", rest.split_once(',')?.0))
                })
                .collect();
            processes.sort();
            processes.dedup();
            format!(
                "{} {} {} {}",
                words[0],
                words[1],
                words[4],
                processes.join(",")
            )
        })
        .collect();
    rows.sort();
    rows
}

/// A socket of IPv6 that takes no IPv4.
fn only_v6(address: SocketAddr) -> TcpListener {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let made = socket_with(
        AddressFamily::INET6,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket");
    sockopt::set_ipv6_v6only(&made, true).expect("sets");
    bind(&made, &address).expect("binds");
    listen(&made, 8).expect("listens");
    made.into()
}

fn raw_icmp() -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
    let (family, kind) = (AddressFamily::INET, SocketType::RAW);
    socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::ICMP)).expect("a socket")
}

#[test]
fn it_agrees_with_ss_on_every_row() {
    let bed = Bed::new().expect("a bed");
    let listen = |address: &str| {
        let address = address.parse().expect("an address");
        bed.server.listen(address).expect("listens")
    };
    let udp = |address: &str| {
        let bound = bed.server.enter(|| UdpSocket::bind(address));
        bound.expect("enters").expect("binds")
    };
    let _listeners = [
        "0.0.0.0:80",
        "[::]:443",
        "127.0.0.1:5432",
        "[::1]:6379",
        "192.0.2.1:8080",
        "[2001:db8::1]:8080",
        "127.0.0.2:5432",
    ]
    .map(listen);
    let _v6_only = bed
        .server
        .enter(|| only_v6("[::]:8443".parse().expect("an address")))
        .expect("enters");
    let _sockets = [
        "0.0.0.0:5000",
        "[::]:5001",
        "127.0.0.1:5002",
        "[2001:db8::1]:0",
    ]
    .map(udp);
    let connected = udp("192.0.2.1:5003");
    connected.connect("192.0.2.2:53").expect("connects");
    let _bound = bed
        .server
        .enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:5004").expect("binds");
            rustix::net::sockopt::set_socket_reuseaddr(&socket, true).expect("sets");
            socket
        })
        .expect("enters");

    let _raw = bed.server.enter(raw_icmp).expect("enters");

    // What another test starts has our descriptors for a moment: both look again then.
    let (mut told, mut ours, mut theirs) = (Value::Null, Vec::new(), vec![String::new()]);
    for _ in 0..20 {
        if ours == theirs {
            break;
        }
        told = listening(&bed.server, &[]);
        ours = rows(&told)
            .iter()
            .filter(|own| own["protocol"] != "raw")
            .map(as_ss)
            .collect();
        ours.sort();
        theirs = of_ss(&bed.server);
    }
    assert_eq!(ours, theirs);
    assert_eq!(theirs.len(), 13, "{theirs:?}");

    // What `ss` tells in other ways, or not at all.
    assert_eq!(told["policy"], Value::Null);
    let raw = rows(&told).iter().find(|own| own["protocol"] == "raw");
    let raw = raw.expect("the raw socket");
    assert_eq!(
        (&raw["ip_protocol"], &raw["port"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(raw["family"], "ipv4");
    assert_eq!(at_port(&told, 443)["family"], "both");
    assert_eq!(at_port(&told, 443)["service"], "https");
    assert_eq!(at_port(&told, 8443)["family"], "ipv6");
    assert_eq!(at_port(&told, 6379)["from_outside"], false);
    assert_eq!(at_port(&told, 5432)["from_outside"], false);
    assert_eq!(at_port(&told, 8080)["from_outside"], true);
    assert_eq!(at_port(&told, 8080)["interface"], "srv0");
    assert_eq!(at_port(&told, 80)["fates"][0]["reachable"], "anywhere");
    assert_eq!(
        at_port(&told, 80)["fates"][0]["unfiltered"],
        json!(["srv0"])
    );
    assert!(!rows(&told).iter().any(|own| own["port"] == 5003), "{told}");
}

#[test]
fn connections_have_their_states() {
    let bed = Bed::new().expect("a bed");
    let listener = bed
        .server
        .listen(([0, 0, 0, 0], 80).into())
        .expect("listens");
    let client = bed
        .client
        .enter(|| TcpStream::connect((SERVER_V4, 80)))
        .expect("enters")
        .expect("connects");
    let (_accepted, peer) = listener.accept().expect("accepts");
    let told = listening(&bed.server, &["--all"]);
    let found = rows(&told).iter().find(|own| own["state"] == "established");
    let found = found.expect("the connection");
    assert_eq!(found["peer"], peer.to_string());
    assert_eq!(found["address"], "192.0.2.1");
    assert_eq!(found["fates"], json!([]));
    drop(client);
    let told = listening(&bed.server, &[]);
    assert_eq!(rows(&told).len(), 1, "{told}");
}

const OFFICE: &str = "\
version: 1
interfaces: [srv0]
default: drop
rules:
  - { name: ssh, action: pass, ports: [22/tcp], from: [10.0.0.0/8, \"2001:db8::/32\"] }
  - { name: web, action: pass, ports: [80/tcp] }
";

#[test]
fn the_policy_in_force_says_what_becomes_of_packets_and_from_where() {
    let bed = Bed::new().expect("a bed");
    let _listeners = ["[::]:22", "0.0.0.0:80", "0.0.0.0:81", "127.0.0.1:82"].map(|address| {
        let address = address.parse().expect("an address");
        bed.server.listen(address).expect("listens")
    });
    let daemon = Daemon::start(binary(), &bed.server, OFFICE).expect("a daemon");
    // The file is not what is in force any more.
    daemon
        .write_policy("version: 1\ninterfaces: [srv0]\nrules: []\n")
        .expect("writes");
    let socket = daemon.folder().join("control.sock");
    let listen = |words: &[&str]| {
        let mut command = bed.server.command(binary());
        command
            .arg("listen")
            .args(words)
            .arg("--socket")
            .arg(&socket);
        command.output().expect("runs")
    };
    let output = listen(&["--format", "json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(told["policy"]["generation"], 1);
    assert_eq!(told["policy"]["interfaces"], json!(["srv0"]));
    let reachable = |port| at_port(&told, port)["fates"][0]["reachable"].clone();
    assert_eq!(reachable(22), "some");
    assert_eq!(reachable(80), "anywhere");
    assert_eq!(reachable(81), "nobody");
    assert_eq!(at_port(&told, 82)["fates"], json!([]));
    let ssh = &at_port(&told, 22)["fates"][0]["by_source"];
    assert_eq!(ssh[0]["from"], json!(["10.0.0.0/8", "2001:db8::/32"]));
    assert_eq!(ssh[0]["decisions"][0]["rule"]["name"], "ssh");
    assert_eq!(ssh[0]["decisions"][0]["rule"]["line"], 5);
    assert_eq!(ssh[1]["from"], Value::Null);
    assert_eq!(ssh[1]["decisions"][0]["outcome"], "default-drop");

    let text = stdout(&listen(&[]));
    for line in [
        "    passed from 10.0.0.0/8 and 2001:db8::/32 by rule `ssh` (line 5); dropped\n    from everywhere else by `default: drop`: no rule matches\n",
        "    passed from everywhere by rule `web` (line 6)\n",
        "    dropped from everywhere by `default: drop`: no rule matches\n",
        "    only this host itself can reach it\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // A file is judged by, whatever is in force.
    let file = daemon.policy_path().display().to_string();
    let output = listen(&["--format", "json", "--policy", &file]);
    let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(told["policy"]["generation"], Value::Null);
    assert_eq!(at_port(&told, 22)["fates"][0]["reachable"], "anywhere");
}

#[test]
fn who_may_not_see_is_told_what_is_hidden() {
    let bed = Bed::new().expect("a bed");
    let _listener = bed
        .server
        .listen(([0, 0, 0, 0], 80).into())
        .expect("listens");
    let (_folder, program) = program_for_everyone();
    let output = bed
        .server
        .command("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["listen", "--socket", NO_SOCKET])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("80/tcp  http     any IPv4  not seen, user 0"),
        "{text}"
    );
    assert!(
        text.contains("\nwhose 1 socket of user 0 are cannot be seen: "),
        "{text}"
    );
    assert!(
        text.contains("no policy is in force: no daemon answers at `/nonexistent/control.sock`\n"),
        "{text}"
    );
}

#[test]
fn a_broken_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "version: 1\nrules: [{ name: a, action: fly }]\n").expect("writes");
    for verb in ["listen", "audit", "suggest"] {
        let output = std::process::Command::new(binary())
            .args([verb, "--policy"])
            .arg(&file)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(1), "{verb}: {output:?}");
        assert!(
            stderr(&output).contains("policy.yaml:2:28"),
            "{}",
            stderr(&output)
        );
    }
}
