//! Findings about the host.

use std::path::PathBuf;

use super::super::facts::{Capabilities, Cpus, Host, Pins, Setting};
use super::super::finding::{Check, Finding, Severity};
use super::super::judge_host;
use super::{only, verdict};

use Severity::{Note, Ok, Problem, Warning};

/// A host on which nothing is to be said.
pub(super) fn host() -> Host {
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
