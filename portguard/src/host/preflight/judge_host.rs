//! Findings about the host.

use super::facts::{Capabilities, Cpus, Host, Pins, Setting};
use super::finding::{Check, Finding, Severity};

use Severity::{Note, Ok, Problem, Warning};

/// All findings about a host.
pub(super) fn judge(host: &Host) -> Vec<Finding> {
    let mut findings = vec![kernel(host.kernel), bpf_syscall(host.has_bpf)];
    findings.push(btf(host.has_btf));
    findings.push(jit(host.jit));
    findings.extend(jit_harden(host.jit_harden));
    findings.push(unprivileged(host.unprivileged_bpf_disabled));
    findings.push(pins(host));
    findings.push(capabilities(&host.capabilities));
    findings.push(locked_memory(host));
    findings.extend(host.cpus.map(cpus));
    findings
}

fn kernel(version: Option<(u8, u8)>) -> Finding {
    let Some(version) = version else {
        return Finding::new(
            Check::Kernel,
            Warning,
            "the kernel does not tell its version; portguard needs Linux 5.12 or later",
        );
    };
    let (major, minor) = version;
    let (severity, text) = if version < (5, 12) {
        (
            Problem,
            "portguard needs 5.12 or later, for atomic operations in its programs",
        )
    } else if version < (5, 18) {
        (
            Note,
            "before 5.18, native mode takes no frames of several buffers, and so no large MTU; before 6.6, what leaves is watched by a filter of `clsact` instead of TCX",
        )
    } else if version < (6, 6) {
        (
            Note,
            "before 6.6, what leaves is watched by a filter of `clsact` instead of TCX: a daemon that is killed leaves it behind, and the next one takes it over",
        )
    } else {
        return Finding::new(
            Check::Kernel,
            Ok,
            format!("Linux {major}.{minor} has all that portguard makes use of"),
        );
    };
    let text = format!("this is Linux {major}.{minor}: {text}");
    Finding::new(Check::Kernel, severity, text)
}

fn bpf_syscall(has_bpf: bool) -> Finding {
    if has_bpf {
        Finding::new(Check::BpfSyscall, Ok, "the system call `bpf` is there")
    } else {
        Finding::new(
            Check::BpfSyscall,
            Problem,
            "there is no system call `bpf`: the kernel was built without CONFIG_BPF_SYSCALL, or a sandbox takes it away",
        )
    }
}

fn btf(has_btf: bool) -> Finding {
    let text = if has_btf {
        "the kernel has type information (BTF), which portguard does not need"
    } else {
        "the kernel has no type information (BTF); portguard needs none"
    };
    Finding::new(Check::Btf, Ok, text)
}

fn jit(setting: Setting) -> Finding {
    match setting {
        Setting::Is(0) => Finding::new(
            Check::Jit,
            Warning,
            "the kernel interprets programs instead of compiling them (JIT), which makes the filter several times slower",
        )
        .cure("sysctl -w net.core.bpf_jit_enable=1"),
        Setting::Is(_) => Finding::new(Check::Jit, Ok, "programs are compiled (JIT)"),
        Setting::Absent => Finding::new(
            Check::Jit,
            Note,
            "cannot see whether programs are compiled (JIT): `net.core.bpf_jit_enable` is only shown in the first network namespace, by a kernel with CONFIG_BPF_JIT",
        ),
        Setting::Hidden => hidden(Check::Jit, "net.core.bpf_jit_enable"),
    }
}

fn jit_harden(setting: Setting) -> Option<Finding> {
    Some(match setting {
        // The finding about the JIT says so already.
        Setting::Absent => return None,
        // With 1, only the programs of those without CAP_BPF are hardened.
        Setting::Is(0 | 1) => Finding::new(
            Check::JitHarden,
            Ok,
            "compiled programs of root are not hardened, so they are fast",
        ),
        Setting::Is(_) => Finding::new(
            Check::JitHarden,
            Note,
            "compiled programs are hardened, those of root too: a packet costs more time, and `1` would harden those of others alone",
        )
        .cure("sysctl -w net.core.bpf_jit_harden=1"),
        Setting::Hidden => hidden(Check::JitHarden, "net.core.bpf_jit_harden"),
    })
}

fn unprivileged(setting: Setting) -> Finding {
    match setting {
        Setting::Is(0) => Finding::new(
            Check::UnprivilegedBpf,
            Note,
            "every user may load BPF programs; portguard does not need that, and it makes flaws of the kernel easier to use",
        )
        .cure("sysctl -w kernel.unprivileged_bpf_disabled=2"),
        Setting::Is(_) => Finding::new(
            Check::UnprivilegedBpf,
            Ok,
            "users without capabilities may not load BPF programs",
        ),
        Setting::Absent => Finding::new(
            Check::UnprivilegedBpf,
            Note,
            "this kernel does not show whether every user may load BPF programs",
        ),
        Setting::Hidden => hidden(Check::UnprivilegedBpf, "kernel.unprivileged_bpf_disabled"),
    }
}

fn pins(host: &Host) -> Finding {
    let path = host.pins_path.display();
    let finding = |severity, text: String| Finding::new(Check::Pins, severity, text);
    match host.pins {
        Pins::Bpf { writable: true, .. } => finding(
            Ok,
            format!("`{path}` is in a BPF file system, and can be written to"),
        ),
        Pins::Bpf {
            read_only: true, ..
        } => finding(
            Warning,
            format!(
                "`{path}` is in a BPF file system that is mounted read-only here, so the filter would end with the daemon; in a systemd unit with `ProtectKernelTunables=yes`, write `ReadWritePaths=/sys/fs/bpf`"
            ),
        ),
        Pins::Bpf { .. } | Pins::Hidden if !host.capabilities.is_root => finding(
            Note,
            format!("cannot see whether things can be pinned in `{path}`: run this as root"),
        ),
        Pins::Bpf { .. } | Pins::Hidden => finding(
            Warning,
            format!(
                "this process may not write to `{path}`, so the filter would end with the daemon; give it another folder in a BPF file system with `--pins`"
            ),
        ),
        Pins::NotBpf if host.pins_path.starts_with("/sys/fs/bpf") && host.capabilities.sys_admin => {
            finding(
                Note,
                "no BPF file system is mounted on `/sys/fs/bpf`; `portguard run` mounts it where it may".into(),
            )
            .cure("mount -t bpf bpf /sys/fs/bpf")
        }
        Pins::NotBpf => {
            let place = if host.pins_path.starts_with("/sys/fs/bpf") {
                "/sys/fs/bpf".to_owned()
            } else {
                path.to_string()
            };
            finding(
                Warning,
                format!("`{path}` is not in a BPF file system, so nothing can be pinned there, and the filter would end with the daemon"),
            )
            .cure(format!("mount -t bpf bpf {place}"))
        }
    }
}

fn capabilities(capabilities: &Capabilities) -> Finding {
    let missing = capabilities.missing.join(", ");
    if missing.is_empty() {
        return Finding::new(
            Check::Capabilities,
            Ok,
            "this process has CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        );
    }
    if capabilities.is_root {
        return Finding::new(
            Check::Capabilities,
            Problem,
            format!(
                "this process lacks {missing}, although it is root's: what starts it (a container, a unit) must leave it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
            ),
        );
    }
    Finding::new(
        Check::Capabilities,
        Note,
        format!(
            "this process lacks {missing}: enough to look around, but `portguard run` needs them"
        ),
    )
    .cure("sudo portguard doctor")
}

/// From 5.11 on, the kernel accounts for maps by control groups instead.
const ACCOUNTED_BY_CONTROL_GROUPS: (u8, u8) = (5, 11);

fn locked_memory(host: &Host) -> Finding {
    let finding = |severity, text: &str| Finding::new(Check::LockedMemory, severity, text);
    match (host.kernel, host.locked_memory) {
        (Some(version), _) if version >= ACCOUNTED_BY_CONTROL_GROUPS => {
            finding(Ok, "this kernel does not count maps as locked memory")
        }
        (_, None) => finding(Ok, "locked memory has no limit"),
        (_, Some(_)) if host.capabilities.sys_resource => {
            finding(Ok, "the limit of locked memory does not bind this process")
        }
        (_, Some(bytes)) => finding(
            Problem,
            &format!(
                "this process may lock {bytes} bytes of memory, which are too few for the maps of a policy; in a systemd unit, write `LimitMEMLOCK=infinity`"
            ),
        )
        .cure("ulimit -l unlimited"),
    }
}

fn cpus(cpus: Cpus) -> Finding {
    let Cpus { possible, online } = cpus;
    if possible > online {
        Finding::new(
            Check::Cpus,
            Note,
            format!(
                "{online} CPUs are online, but {possible} are possible: counters take memory for all of these, and nothing else changes"
            ),
        )
    } else {
        Finding::new(
            Check::Cpus,
            Ok,
            format!("all possible CPUs are online: {online}"),
        )
    }
}

fn hidden(check: Check, setting: &str) -> Finding {
    let text = format!("cannot read `{setting}`: run this as root");
    Finding::new(check, Note, text).cure("sudo portguard doctor")
}
