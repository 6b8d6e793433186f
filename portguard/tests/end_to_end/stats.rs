//! `portguard stats`

use portguard_testbed::{Bed, Namespace, SERVER_V4};
use serde_json::Value;

use crate::{binary, stdout};

fn stats(host: &Namespace, arguments: &[&str]) -> String {
    let output = host
        .command(binary())
        .arg("stats")
        .args(arguments)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(&output)
}

#[test]
fn interfaces_and_protocols_count_what_comes() {
    let bed = Bed::new().expect("a bed");
    let told = || -> Value {
        serde_json::from_str(&stats(&bed.server, &["--format", "json"])).expect("JSON")
    };
    let number = |told: &Value, path: &str| told.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let before = told();
    bed.client
        .enter(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("binds");
            for _ in 0..7 {
                // The host says at once that nobody listens, which is no matter here.
                let _refused = socket.send_to(b"x", (SERVER_V4, 9));
            }
        })
        .expect("enters");
    let after = told();
    let more = |path: &str| number(&after, path) - number(&before, path);
    assert_eq!(more("/protocols/Udp/NoPorts"), 7);
    assert!(more("/protocols/Ip/InReceives") >= 7);
    assert_eq!(more("/protocols/Icmp/OutDestUnreachs").min(1), 1);
    let links = after["interfaces"].as_array().expect("a list");
    let names: Vec<&Value> = links.iter().map(|own| &own["name"]).collect();
    let place = names
        .iter()
        .position(|name| *name == "srv0")
        .expect("the cable");
    // The kernel's other programs say the same.
    let shown = bed
        .server
        .ip("-json -stats link show dev srv0")
        .expect("ip");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let theirs = &shown[0]["stats64"];
    for (ours, own) in [("received", "rx"), ("sent", "tx")] {
        for field in ["packets", "bytes", "errors", "dropped"] {
            assert!(theirs[own][field].is_u64(), "{theirs}");
            let now = &told()["interfaces"][place][ours][field];
            assert!(
                now.as_u64() >= theirs[own][field].as_u64(),
                "{ours} {field}"
            );
            assert!(
                links[place][ours][field].as_u64() <= theirs[own][field].as_u64(),
                "{ours} {field}"
            );
        }
    }
    assert!(links[place]["received"]["packets"].as_u64() >= Some(7));

    let text = stats(&bed.server, &[]);
    assert!(text.starts_with("INTERFACE       PACKETS"), "{text}");
    assert!(text.contains("\nUdp\n"), "{text}");
    assert!(
        !text.lines().any(|line| line.ends_with(" 0")
            && line.starts_with("  ")
            && !line.contains(" in ")
            && !line.contains(" out ")),
        "{text}"
    );
}
