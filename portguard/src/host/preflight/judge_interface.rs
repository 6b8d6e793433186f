//! Findings about an interface.

use portguard_policy::AttachMode;

use super::facts::{Device, Interface, Owner, Program, Wanted};
use super::finding::{Check, Finding, Severity};
use super::judge_driver;
use super::judge_stack;
use crate::dataplane::foreign::Holder;

use Severity::{Note, Ok, Problem, Warning};

/// All findings about the interface of this name.
pub(super) fn judge(
    name: &str,
    interface: &Interface,
    wanted: Wanted,
    kernel: Option<(u8, u8)>,
    online_cpus: Option<u32>,
) -> Vec<Finding> {
    let device = match interface {
        Interface::Absent { insisted, others } => return vec![absent(name, *insisted, others)],
        Interface::Present(device) => device,
    };
    let mut findings = vec![
        Finding::new(Check::Interface, Ok, format!("`{name}` exists")),
        up(name, device.link.is_up),
    ];
    if !device.link.interface.has_ethernet_header {
        findings.push(Finding::new(
            Check::EthernetHeader,
            Problem,
            format!(
                "its frames have no Ethernet header (its type is {}), which portguard needs: name the device that carries this one instead",
                device.link.interface.kind
            ),
        ));
        return findings;
    }
    findings.push(Finding::new(
        Check::EthernetHeader,
        Ok,
        "its frames have an Ethernet header",
    ));
    findings.push(program(name, device.program.as_ref()));
    findings.extend(judge_driver::judge(
        name,
        device,
        wanted,
        kernel,
        online_cpus,
    ));
    findings.extend(judge_stack::judge(name, device, wanted));
    findings
}

fn absent(name: &str, insisted: bool, others: &[String]) -> Finding {
    let others = others.join("`, `");
    let text = if insisted {
        format!("`{name}` does not exist; there are `{others}`")
    } else {
        format!("`{name}` does not exist: the daemon waits for it; there are `{others}`")
    };
    let severity = if insisted { Problem } else { Warning };
    Finding::new(Check::Interface, severity, text)
}

fn up(name: &str, is_up: bool) -> Finding {
    if is_up {
        Finding::new(Check::Up, Ok, "it is up")
    } else {
        Finding::new(
            Check::Up,
            Note,
            "it is down: it can be guarded, but nothing arrives",
        )
        .cure(format!("ip link set dev {name} up"))
    }
}

fn program(name: &str, program: Option<&Program>) -> Finding {
    let Some(program) = program else {
        return Finding::new(Check::Program, Ok, "it carries no XDP program");
    };
    let title = match &program.name {
        Some(title) => format!(" `{title}`"),
        None => String::new(),
    };
    let (id, mode) = (program.id, program.mode);
    match program.owner {
        Owner::Daemon => {
            let text = format!(
                "it carries the program of the running daemon{title} (ID {id}, {mode} mode)"
            );
            return Finding::new(Check::Program, Ok, text);
        }
        Owner::Kept => {
            let text = format!(
                "it carries the program of a portguard daemon that does not run any more{title} (ID {id}, {mode} mode): it goes on filtering, and the next `portguard run` takes it over"
            );
            return Finding::new(Check::Program, Note, text).cure("portguard detach");
        }
        Owner::Unknown => {
            let text = format!(
                "it carries an XDP program{title} (ID {id}, {mode} mode); whether it is the running daemon's cannot be seen: run this as root"
            );
            return Finding::new(Check::Program, Note, text).cure("sudo portguard doctor");
        }
        Owner::Foreign => {}
    }
    let text = format!(
        "it carries an XDP program{title} (ID {id}, {mode} mode) that is not the running daemon's, so portguard cannot attach: stop what put it there, or take it away"
    );
    let by_netlink = format!("ip link set dev {name} {} off", mode.ip_word());
    let finding = |text| Finding::new(Check::Program, Problem, text);
    match program.holder {
        Holder::Link(link) => finding(text).cure(format!("bpftool link detach id {link}")),
        Holder::Nothing => finding(text).cure(by_netlink),
        Holder::Unknown => finding(format!(
            "{text} (this does it unless a link holds it: `bpftool link` shows links to root)"
        ))
        .cure(by_netlink),
    }
}

/// What native mode not being possible means to a policy.
pub(super) const fn without_native(attach: AttachMode) -> (Severity, &'static str) {
    match attach {
        AttachMode::Native => (
            Problem,
            "the policy insists on it: write `attach: auto` or `attach: generic`",
        ),
        AttachMode::Auto => (
            Warning,
            "the filter runs in generic mode, which works but is slower",
        ),
        AttachMode::Generic => (Ok, "the policy asks for generic mode anyway"),
    }
}

/// Whether native mode is worth a thought, by the policy and by what the driver says.
pub(super) fn is_native_likely(device: &Device, wanted: Wanted) -> bool {
    wanted.attach != AttachMode::Generic && device.xdp.is_none_or(|features| features.native)
}
