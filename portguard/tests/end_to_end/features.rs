//! What a device does with VLAN tags.

use portguard::dataplane::Mode;
use portguard::dataplane::features::{Offload, TagOffload, tag_offload};
use portguard_testbed::raw::{Ends, RawSocket, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, Namespace, SERVER_V4};

use crate::{binary, policy, rule_packets};

const FEATURES: [&str; 4] = [
    "rx-vlan-hw-parse",
    "tx-vlan-hw-insert",
    "rx-vlan-stag-hw-parse",
    "tx-vlan-stag-hw-insert",
];

fn offload(features: [bool; 4]) -> TagOffload {
    let [strips, inserts, strips_service, inserts_service] = features;
    TagOffload {
        customer: Offload { strips, inserts },
        service: Offload {
            strips: strips_service,
            inserts: inserts_service,
        },
    }
}

fn ask(host: &Namespace, device: &str) -> std::io::Result<TagOffload> {
    host.enter(|| tag_offload(device)).expect("enters")
}

fn run(host: &Namespace, words: &[&str]) {
    let output = host.command(words[0]).args(&words[1..]).output();
    let output = output.expect("ethtool runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_feature_is_told_and_the_remedy_works() {
    let bed = Bed::new().expect("a bed");
    for bits in 0..16 {
        let features = [0, 1, 2, 3].map(|place| bits >> place & 1 == 1);
        let mut command = vec!["ethtool", "-K", "srv0"];
        for (name, on) in FEATURES.into_iter().zip(features) {
            command.extend([name, if on { "on" } else { "off" }]);
        }
        run(&bed.server, &command);
        let found = ask(&bed.server, "srv0").expect("asks");
        assert_eq!(found, offload(features));

        let remedy = found.remedy("srv0");
        assert_eq!(remedy.is_some(), found.strips(), "{features:?}");
        if let Some(remedy) = remedy {
            run(&bed.server, &remedy.split(' ').collect::<Vec<_>>());
            let [_, inserts, _, inserts_service] = features;
            let left = offload([false, inserts, false, inserts_service]);
            assert_eq!(ask(&bed.server, "srv0").expect("asks"), left);
        }
    }
}

#[test]
fn a_tag_is_lost_where_nothing_puts_it_back() {
    for (features, native, generic) in [
        ([false, false, false, false], false, false),
        ([false, true, false, true], false, false),
        ([true, true, true, true], true, false),
        ([true, false, false, false], true, true),
        ([true, false, true, true], true, true),
        ([false, false, true, false], true, true),
        ([false, false, true, true], true, false),
    ] {
        let offload = offload(features);
        assert_eq!(offload.strips(), native, "{features:?}");
        let lost = [Mode::Native, Mode::Generic].map(|mode| offload.loses_on_answer(mode));
        assert_eq!(lost, [native, generic], "{features:?}");
    }
}

#[test]
fn the_remedy_names_what_is_on() {
    assert_eq!(
        offload([true; 4]).remedy("eth0").expect("a command"),
        "ethtool -K eth0 rx-vlan-hw-parse off rx-vlan-stag-hw-parse off"
    );
    assert_eq!(offload([false, true, false, true]).remedy("eth0"), None);
}

#[test]
fn the_loopback_device_strips_nothing_and_no_device_is_an_error() {
    let host = Namespace::new().expect("a namespace");
    assert_eq!(ask(&host, "lo").expect("asks"), offload([false; 4]));
    for name in ["none0", "a-name-of-more-than-15-bytes", ""] {
        let error = ask(&host, name).expect_err(name);
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{name}");
    }
}

/// A rule by VLAN matched nothing where the device had taken the tag out, and nothing said so.
#[test]
fn p08_a_rule_by_vlan_is_warned_of_offload_and_matches_without() {
    let bed = Bed::new().expect("a bed");
    let text = policy("  - {name: ten, action: drop, ports: [7000/udp], vlan: 10}\n");
    let without = policy("  - {name: any, action: drop, ports: [7000/udp]}\n");
    let warning = "ethtool -K srv0 rx-vlan-hw-parse off";
    for (state, text, warned) in [
        ("on", &text, true),
        ("on", &without, false),
        ("off", &text, false),
    ] {
        for (host, device) in [(&bed.server, "srv0"), (&bed.client, "cli0")] {
            let mut command = vec!["ethtool", "-K", device];
            for name in FEATURES {
                command.extend([name, state]);
            }
            run(host, &command);
        }
        let daemon = Daemon::start(binary(), &bed.server, text).expect("a daemon");
        assert_eq!(daemon.log().contains(warning), warned, "{}", daemon.log());
    }
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    let sender = RawSocket::open(&bed.client, "cli0").expect("a sender");
    for tags in [
        &[][..],
        &[(0x8100, 10)],
        &[(0x8100, 11)],
        &[(0x8100, 0), (0x88a8, 10)],
    ] {
        sender
            .send(&udp_frame(ends, tags, 7000, b"marker").expect("a frame"))
            .expect("sends");
    }
    let counters = daemon.counters().expect("counters");
    assert_eq!(rule_packets(&counters, "ten"), 2, "{counters}");
}
