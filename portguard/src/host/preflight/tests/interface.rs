//! Findings about an interface.

use portguard_policy::AttachMode;

use super::super::facts::{Device, Interface, Neighbour, Owner, PeerEnd, Program, Wanted};
use super::super::finding::{Check, Finding, Severity};
use super::super::judge_interface;
use super::{only, verdict};
use crate::dataplane::Channels;
use crate::dataplane::features::{DeviceFeatures, Offload, TagOffload};
use crate::dataplane::foreign::Holder;
use crate::dataplane::interfaces::{self, ForeignMode, Link, Peer};
use crate::dataplane::xdp_features::XdpFeatures;

use Severity::{Note, Ok, Problem, Warning};

const NO_TAGS: TagOffload = TagOffload {
    customer: Offload {
        strips: false,
        inserts: false,
    },
    service: Offload {
        strips: false,
        inserts: false,
    },
};

/// An interface on which nothing is to be said.
pub(super) fn device() -> Device {
    Device {
        link: Link {
            interface: interfaces::Interface::ethernet(2, "eth0"),
            is_up: true,
            virtual_kind: None,
            peer: None,
        },
        features: Result::Ok(DeviceFeatures {
            driver: Some("ixgbe".into()),
            channels: Some(Channels {
                receiving: 4,
                most: 8,
                combined: true,
            }),
            tags: NO_TAGS,
            large_receive: false,
            hardware_gro: false,
        }),
        xdp: Some(XdpFeatures {
            native: true,
            multi_buffer: true,
        }),
        program: None,
        controller: None,
        members: Vec::new(),
        lower: None,
        peer: None,
    }
}

fn wanted(attach: AttachMode) -> Wanted {
    Wanted {
        attach,
        ..Wanted::default()
    }
}

pub(super) fn findings(device: Device, wanted: Wanted) -> Vec<Finding> {
    let interface = Interface::Present(Box::new(device));
    judge_interface::judge("eth0", &interface, wanted, Some((6, 18)), Some(4))
}

/// The finding of a check about a device that differs in this.
fn about(check: Check, attach: AttachMode, change: impl FnOnce(&mut Device)) -> Finding {
    let mut facts = device();
    change(&mut facts);
    only(findings(facts, wanted(attach)), check)
}

fn features(device: &mut Device) -> &mut DeviceFeatures {
    device.features.as_mut().unwrap()
}

#[test]
fn an_interface_as_it_should_be_has_nothing_but_ok() {
    for finding in findings(device(), Wanted::default()) {
        assert_eq!(verdict(&finding), (Ok, None), "{finding:?}");
    }
}

#[test]
fn one_that_does_not_exist_is_missed_or_waited_for() {
    for (insisted, severity) in [(true, Problem), (false, Warning)] {
        let interface = Interface::Absent {
            insisted,
            others: vec!["lo".into(), "eth1".into()],
        };
        let found = judge_interface::judge("eth0", &interface, Wanted::default(), None, None);
        let finding = only(found, Check::Interface);
        assert_eq!(finding.severity, severity);
        assert!(finding.text.contains("`lo`, `eth1`"), "{finding:?}");
    }
}

#[test]
fn without_an_ethernet_header_nothing_else_matters() {
    let mut facts = device();
    facts.link.interface.has_ethernet_header = false;
    facts.link.interface.kind = "none".into();
    features(&mut facts).large_receive = true;
    let found = findings(facts, Wanted::default());
    assert_eq!(only(found.clone(), Check::EthernetHeader).severity, Problem);
    assert!(found.iter().all(|finding| finding.check != Check::Lro));
}

#[test]
fn one_that_is_down_is_noted() {
    let finding = about(Check::Up, AttachMode::Auto, |device| {
        device.link.is_up = false
    });
    assert_eq!(verdict(&finding), (Note, Some("ip link set dev eth0 up")));
}

#[test]
fn l01_a_foreign_program_is_named_with_the_command_that_removes_it() {
    let carrying = |holder, owner, mode| {
        about(Check::Program, AttachMode::Auto, |device| {
            device.program = Some(Program {
                id: 42,
                mode,
                name: Some("xdp_guest".into()),
                holder,
                owner,
            });
        })
    };
    let native = ForeignMode::Native;
    let linked = carrying(Holder::Link(7), Owner::Foreign, native);
    assert_eq!(
        verdict(&linked),
        (Problem, Some("bpftool link detach id 7"))
    );
    for word in ["`xdp_guest`", "ID 42", "native mode"] {
        assert!(linked.text.contains(word), "{linked:?}");
    }
    let generic = carrying(Holder::Nothing, Owner::Foreign, ForeignMode::Generic);
    let command = "ip link set dev eth0 xdpgeneric off";
    assert_eq!(verdict(&generic), (Problem, Some(command)));
    let unknown = carrying(Holder::Unknown, Owner::Foreign, native);
    let command = "ip link set dev eth0 xdpdrv off";
    assert_eq!(verdict(&unknown), (Problem, Some(command)));
    assert!(unknown.text.contains("bpftool link"), "{unknown:?}");

    let ours = carrying(Holder::Link(7), Owner::Daemon, native);
    assert_eq!(verdict(&ours), (Ok, None));
    let kept = carrying(Holder::Link(7), Owner::Kept, native);
    assert_eq!(verdict(&kept), (Note, Some("portguard detach")));
    let hidden = carrying(Holder::Unknown, Owner::Unknown, native);
    assert_eq!(hidden.severity, Note);
}

#[test]
fn l05_a_driver_without_native_mode_matters_as_the_policy_says() {
    for (attach, severity) in [
        (AttachMode::Native, Problem),
        (AttachMode::Auto, Warning),
        (AttachMode::Generic, Ok),
    ] {
        let finding = about(Check::NativeMode, attach, |device| {
            device.xdp = Some(XdpFeatures {
                native: false,
                multi_buffer: false,
            });
        });
        assert_eq!(finding.severity, severity, "{attach:?}");
    }
    let untold = about(Check::NativeMode, AttachMode::Native, |device| {
        device.xdp = None;
    });
    assert_eq!(untold.severity, Note);
    assert!(untold.text.contains("`ixgbe`"), "{untold:?}");
}

#[test]
fn l05_an_mtu_is_too_large_where_a_frame_must_fit_one_buffer() {
    let mtu = |attach, bytes, multi_buffer| {
        about(Check::Mtu, attach, |device| {
            device.link.interface.mtu = bytes;
            device.xdp = Some(XdpFeatures {
                native: true,
                multi_buffer,
            });
        })
    };
    assert_eq!(mtu(AttachMode::Native, 1500, false).severity, Ok);
    assert_eq!(mtu(AttachMode::Native, 9000, true).severity, Ok);
    assert_eq!(mtu(AttachMode::Generic, 9000, false).severity, Ok);
    let warning = mtu(AttachMode::Auto, 9000, false);
    assert_eq!(
        verdict(&warning),
        (Warning, Some("ip link set dev eth0 mtu 3400"))
    );
    assert!(warning.text.contains("9000"), "{warning:?}");
    let native = mtu(AttachMode::Native, 9000, false);
    assert_eq!(native.severity, Warning);
    assert!(native.text.contains("attaching fails"), "{native:?}");

    // Before 5.18, no driver takes more.
    let mut facts = device();
    facts.link.interface.mtu = 9000;
    let interface = Interface::Present(Box::new(facts));
    let native = wanted(AttachMode::Native);
    let found = judge_interface::judge("eth0", &interface, native, Some((5, 17)), None);
    assert_eq!(only(found, Check::Mtu).severity, Warning);
}

#[test]
fn l05_segments_that_the_device_joins_stand_in_the_way_of_native_mode() {
    for (check, command) in [
        (Check::Lro, "ethtool -K eth0 lro off"),
        (Check::HardwareGro, "ethtool -K eth0 rx-gro-hw off"),
    ] {
        let joined = |attach| {
            about(check, attach, |device| {
                let features = features(device);
                features.large_receive = check == Check::Lro;
                features.hardware_gro = check == Check::HardwareGro;
            })
        };
        let finding = joined(AttachMode::Auto);
        assert_eq!(verdict(&finding), (Warning, Some(command)));
        assert_eq!(verdict(&joined(AttachMode::Generic)), (Ok, None));
    }
}

#[test]
fn l05_queues_are_held_against_cpus_and_against_what_a_driver_needs_free() {
    let queues = |driver: &str, receiving, most, combined| {
        about(Check::Queues, AttachMode::Native, |device| {
            let features = features(device);
            features.driver = Some(driver.into());
            features.channels = Some(Channels {
                receiving,
                most,
                combined,
            });
        })
    };
    // Four CPUs are online.
    assert_eq!(verdict(&queues("ixgbe", 4, 64, true)), (Ok, None));
    assert_eq!(verdict(&queues("ixgbe", 1, 1, true)), (Ok, None));
    let few = queues("ixgbe", 2, 64, true);
    assert_eq!(verdict(&few), (Note, Some("ethtool -L eth0 combined 4")));
    let few = queues("veth", 1, 3, false);
    assert_eq!(verdict(&few), (Note, Some("ethtool -L eth0 rx 3")));
    let full = queues("ena", 8, 8, true);
    assert_eq!(
        verdict(&full),
        (Problem, Some("ethtool -L eth0 combined 4"))
    );
    assert_eq!(verdict(&queues("ena", 4, 8, true)), (Ok, None));
}

#[test]
fn tags_that_are_taken_out_matter_to_rules_by_vlan_and_to_answers() {
    let stripped = |by_vlan, rejects| {
        let mut facts = device();
        features(&mut facts).tags.customer.strips = true;
        let wanted = Wanted {
            by_vlan,
            rejects,
            ..Wanted::default()
        };
        let mut found = findings(facts, wanted);
        found.retain(|finding| finding.check == Check::VlanTags);
        found
    };
    let remedy = Some("ethtool -K eth0 rx-vlan-hw-parse off");
    assert_eq!(verdict(&stripped(false, false)[0]), (Ok, None));
    for (by_vlan, rejects, number) in [(true, false, 1), (false, true, 1), (true, true, 2)] {
        let found = stripped(by_vlan, rejects);
        assert_eq!(found.len(), number);
        for finding in found {
            assert_eq!(verdict(&finding), (Warning, remedy));
        }
    }
}

pub(super) fn neighbour(name: &str, kind: &str, guarded: bool) -> Neighbour {
    Neighbour {
        name: name.into(),
        kind: Some(kind.into()),
        guarded,
    }
}

#[test]
fn a_member_and_what_is_above_it_are_not_both_to_be_guarded() {
    let member = |kind, guarded| {
        about(Check::Stacking, AttachMode::Auto, |device| {
            device.controller = Some(neighbour("up0", kind, guarded));
        })
    };
    for kind in ["bond", "team"] {
        assert_eq!(member(kind, false).severity, Note);
        assert_eq!(member(kind, true).severity, Warning);
        assert!(member(kind, false).text.contains("Guard every member"));
    }
    // A bridge sees only what is for the host: to guard it beside its ports has a meaning.
    assert_eq!(member("bridge", false).severity, Note);
    assert_eq!(member("bridge", true).severity, Note);

    let above = |kind: &str, guarded| {
        about(Check::Stacking, AttachMode::Auto, |device| {
            device.link.virtual_kind = Some(kind.into());
            device.members = vec![neighbour("m0", "veth", guarded)];
        })
    };
    for (kind, guarded, severity, word) in [
        ("bond", false, Note, "all its members are"),
        ("team", false, Note, "generic mode alone"),
        ("bridge", false, Note, "guard its ports: `m0`"),
        ("bridge", true, Note, "guard its ports: `m0`"),
        ("bond", true, Warning, "not both"),
    ] {
        let finding = above(kind, guarded);
        assert_eq!(finding.severity, severity, "{kind}");
        assert!(finding.text.contains(word), "{finding:?}");
    }
}

#[test]
fn a_vlan_device_above_a_guarded_port_is_a_warning() {
    let vlan = |guarded| {
        about(Check::Stacking, AttachMode::Auto, |device| {
            device.lower = Some(neighbour("eth9", "", guarded));
        })
    };
    assert_eq!(vlan(false).severity, Note);
    assert_eq!(vlan(true).severity, Warning);
    assert!(vlan(true).text.contains("`eth9`"));
}

#[test]
fn an_answer_reaches_the_other_end_of_a_veth_only_with_a_program_there() {
    let found = |peer: PeerEnd, rejects, attach| {
        let mut facts = device();
        facts.link.virtual_kind = Some("veth".into());
        facts.link.peer = Some(Peer::Elsewhere);
        facts.peer = Some(peer);
        let wanted = Wanted {
            rejects,
            ..wanted(attach)
        };
        let mut found = findings(facts, wanted);
        found.retain(|finding| finding.check == Check::Peer);
        found.first().map(|finding| finding.severity)
    };
    let here = |has_native_program| PeerEnd::Here {
        name: "veth1".into(),
        has_native_program,
    };
    let auto = AttachMode::Auto;
    assert_eq!(found(here(false), true, auto), Some(Warning));
    assert_eq!(found(here(true), true, auto), Some(Ok));
    assert_eq!(found(PeerEnd::Elsewhere, true, auto), Some(Note));
    assert_eq!(found(here(false), false, auto), None);
    assert_eq!(found(here(false), true, AttachMode::Generic), None);
}
