//! Judgements over facts written by hand.

use std::path::PathBuf;

use portguard_policy::AttachMode;

use super::facts::{
    Capabilities, Cpus, Device, Host, Interface, Neighbour, Owner, PeerEnd, Pins, Program, Setting,
    Wanted,
};
use super::finding::{Check, Finding, Severity};
use super::{judge_host, judge_interface};
use crate::dataplane::Channels;
use crate::dataplane::features::{DeviceFeatures, Offload, TagOffload};
use crate::dataplane::foreign::Holder;
use crate::dataplane::interfaces::{self, ForeignMode, Link, Peer};
use crate::dataplane::xdp_features::XdpFeatures;

use Severity::{Note, Ok, Problem, Warning};

/// A host on which nothing is to be said.
fn host() -> Host {
    Host {
        kernel: Some((6, 18)),
        has_bpf: true,
        has_btf: true,
        jit: Setting::Is(1),
        jit_harden: Setting::Is(0),
        unprivileged_bpf_disabled: Setting::Is(2),
        pins_path: PathBuf::from("/sys/fs/bpf/portguard"),
        pins: Pins::Bpf {
            writable: true,
            read_only: false,
        },
        capabilities: Capabilities {
            missing: Vec::new(),
            is_root: true,
            sys_admin: true,
            sys_resource: true,
        },
        locked_memory: Some(65_536),
        cpus: Some(Cpus {
            possible: 4,
            online: 4,
        }),
    }
}

/// The finding of a check about a host that differs in this.
fn about_host(check: Check, change: impl FnOnce(&mut Host)) -> Finding {
    let mut facts = host();
    change(&mut facts);
    only(judge_host::judge(&facts), check)
}

/// The one finding of a check.
fn only(findings: Vec<Finding>, check: Check) -> Finding {
    let mut of_check: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.check == check)
        .collect();
    assert_eq!(of_check.len(), 1, "{of_check:?}");
    of_check.remove(0)
}

fn verdict(finding: &Finding) -> (Severity, Option<&str>) {
    (finding.severity, finding.command.as_deref())
}

#[test]
fn a_host_as_it_should_be_has_nothing_but_ok() {
    for finding in judge_host::judge(&host()) {
        assert_eq!(verdict(&finding), (Ok, None), "{finding:?}");
    }
}

#[test]
fn the_kernel_is_held_against_what_each_version_brought() {
    for (version, severity, word) in [
        (Some((5, 10)), Problem, "5.12"),
        (Some((5, 12)), Note, "5.18"),
        (Some((5, 17)), Note, "5.18"),
        (Some((5, 18)), Note, "6.6"),
        (Some((6, 5)), Note, "6.6"),
        (Some((6, 6)), Ok, "6.6"),
        (Some((7, 0)), Ok, "7.0"),
        (None, Warning, "5.12"),
    ] {
        let finding = about_host(Check::Kernel, |host| host.kernel = version);
        assert_eq!(finding.severity, severity, "{version:?}");
        assert!(finding.text.contains(word), "{finding:?}");
    }
}

#[test]
fn a_kernel_without_bpf_is_a_problem_and_without_btf_none() {
    let finding = about_host(Check::BpfSyscall, |host| host.has_bpf = false);
    assert_eq!(finding.severity, Problem);
    let finding = about_host(Check::Btf, |host| host.has_btf = false);
    assert_eq!(finding.severity, Ok);
}

#[test]
fn settings_of_the_kernel_come_with_the_command_that_changes_them() {
    let jit = |setting| about_host(Check::Jit, |host| host.jit = setting);
    assert_eq!(
        verdict(&jit(Setting::Is(0))),
        (Warning, Some("sysctl -w net.core.bpf_jit_enable=1"))
    );
    assert_eq!(verdict(&jit(Setting::Absent)), (Note, None));
    assert_eq!(jit(Setting::Hidden).severity, Note);

    let harden = |setting| about_host(Check::JitHarden, |host| host.jit_harden = setting);
    assert_eq!(verdict(&harden(Setting::Is(1))), (Ok, None));
    assert_eq!(
        verdict(&harden(Setting::Is(2))),
        (Note, Some("sysctl -w net.core.bpf_jit_harden=1"))
    );

    let everybody = about_host(Check::UnprivilegedBpf, |host| {
        host.unprivileged_bpf_disabled = Setting::Is(0);
    });
    assert_eq!(
        verdict(&everybody),
        (Note, Some("sysctl -w kernel.unprivileged_bpf_disabled=2"))
    );
}

#[test]
fn things_must_be_pinned_in_a_bpf_file_system_that_can_be_written_to() {
    let pins = |pins: Pins, change: fn(&mut Host)| {
        about_host(Check::Pins, |host| {
            host.pins = pins;
            change(host);
        })
    };
    let bpf = |writable, read_only| Pins::Bpf {
        writable,
        read_only,
    };
    let read_only = pins(bpf(false, true), |_| {});
    assert_eq!(read_only.severity, Warning);
    assert!(
        read_only.text.contains("ReadWritePaths=/sys/fs/bpf"),
        "{read_only:?}"
    );
    assert_eq!(pins(bpf(false, false), |_| {}).severity, Warning);
    let user: fn(&mut Host) = |host| host.capabilities.is_root = false;
    assert_eq!(pins(bpf(false, false), user).severity, Note);
    assert_eq!(pins(Pins::Hidden, user).severity, Note);

    // Where it may, the daemon mounts it itself.
    let mount = Some("mount -t bpf bpf /sys/fs/bpf");
    assert_eq!(verdict(&pins(Pins::NotBpf, |_| {})), (Note, mount));
    let no_mount: fn(&mut Host) = |host| host.capabilities.sys_admin = false;
    assert_eq!(verdict(&pins(Pins::NotBpf, no_mount)), (Warning, mount));
    let elsewhere: fn(&mut Host) = |host| host.pins_path = "/run/pins".into();
    assert_eq!(
        verdict(&pins(Pins::NotBpf, elsewhere)),
        (Warning, Some("mount -t bpf bpf /run/pins"))
    );
}

#[test]
fn root_without_its_power_is_a_problem_and_another_user_is_told() {
    let lacking = |is_root| {
        about_host(Check::Capabilities, |host| {
            host.capabilities.missing = vec!["CAP_BPF", "CAP_PERFMON"];
            host.capabilities.is_root = is_root;
        })
    };
    for (is_root, severity) in [(true, Problem), (false, Note)] {
        let finding = lacking(is_root);
        assert_eq!(finding.severity, severity);
        assert!(
            finding.text.contains("lacks CAP_BPF, CAP_PERFMON"),
            "{finding:?}"
        );
    }
}

#[test]
fn l09_a_limit_of_locked_memory_matters_only_where_the_kernel_asks_for_it() {
    let limit = |kernel, bytes, bound: bool| {
        about_host(Check::LockedMemory, |host| {
            host.kernel = kernel;
            host.locked_memory = bytes;
            host.capabilities.sys_resource = !bound;
        })
    };
    let small = Some(65_536);
    assert_eq!(limit(Some((5, 11)), small, true).severity, Ok);
    assert_eq!(limit(Some((5, 10)), None, true).severity, Ok);
    assert_eq!(limit(Some((5, 10)), small, false).severity, Ok);
    assert_eq!(
        verdict(&limit(Some((5, 10)), small, true)),
        (Problem, Some("ulimit -l unlimited"))
    );
}

#[test]
fn l08_possible_cpus_that_are_not_online_are_noted() {
    let finding = about_host(Check::Cpus, |host| {
        host.cpus = Some(Cpus {
            possible: 128,
            online: 4,
        });
    });
    assert_eq!(finding.severity, Note);
    assert!(finding.text.contains("128"), "{finding:?}");
}

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
fn device() -> Device {
    Device {
        link: Link {
            interface: interfaces::Interface {
                vlan: None,
                index: 2,
                name: "eth0".into(),
                mtu: 1500,
                has_ethernet_header: true,
                kind: "ether".into(),
                lower: None,
                controller: None,
                xdp: None,
            },
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

fn findings(device: Device, wanted: Wanted) -> Vec<Finding> {
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

fn neighbour(name: &str, kind: &str, guarded: bool) -> Neighbour {
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

/// Every check has its row in the documentation, by the name that JSON gives it.
#[test]
fn the_documentation_names_every_check() {
    let documentation = include_str!("../../../../docs/doctor.md");
    let mut facts = device();
    facts.link.virtual_kind = Some("veth".into());
    facts.peer = Some(PeerEnd::Elsewhere);
    facts.lower = Some(neighbour("eth9", "", false));
    let rejects = Wanted {
        rejects: true,
        ..Wanted::default()
    };
    let mut all = judge_host::judge(&host());
    all.extend(findings(facts, rejects));
    all.push(Finding::policy_valid(&PathBuf::from("policy.yaml")));
    assert!(all.len() > 20, "{}", all.len());
    for finding in all {
        let name = serde_json::to_value(finding.check).unwrap();
        let row = format!("| `{}` |", name.as_str().unwrap());
        assert!(documentation.contains(&row), "{row}");
    }
}
