//! Findings about devices that lie above, below or opposite each other.

use super::facts::{Device, Neighbour, PeerEnd, Wanted};
use super::finding::{Check, Finding, Severity};
use super::judge_interface::is_native_likely;

use Severity::{Note, Ok, Warning};

/// All findings about what is around the interface of this name.
pub(super) fn judge(name: &str, device: &Device, wanted: Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(
        device
            .controller
            .as_ref()
            .map(|controller| member(name, controller)),
    );
    findings.extend(controller(name, device));
    findings.extend(device.lower.as_ref().map(|lower| above(name, lower)));
    findings.extend(peer(device, wanted));
    findings
}

/// The device is a port of a bridge, or a member of a bond or team.
fn member(name: &str, controller: &Neighbour) -> Finding {
    let above = &controller.name;
    let kind = controller.kind.as_deref().unwrap_or("device");
    if controller.guarded && kind != "bridge" {
        return Finding::new(
            Check::Stacking,
            Warning,
            format!(
                "it is a member of the {kind} `{above}`, which is guarded, too: guard one of both, or frames are judged and counted twice, and a native program on the {kind} does not attach"
            ),
        );
    }
    let text = match kind {
        "bridge" => format!(
            "it is a port of the bridge `{above}`: what arrives here is filtered before it is bridged, whoever it is for"
        ),
        _ => format!(
            "it is a member of the {kind} `{above}`: here only what arrives by `{name}` is filtered. Guard every member, or else `{above}` alone, which covers members that join later"
        ),
    };
    Finding::new(Check::Stacking, Note, text)
}

/// The device has ports or members itself.
fn controller(name: &str, device: &Device) -> Option<Finding> {
    let kind = device.link.virtual_kind.as_deref()?;
    let names = |members: &[Neighbour]| {
        let names: Vec<&str> = members.iter().map(|own| own.name.as_str()).collect();
        format!("`{}`", names.join("`, `"))
    };
    let members = if device.members.is_empty() {
        "which has none at the moment".to_owned()
    } else {
        names(&device.members)
    };
    let text = match kind {
        "bridge" => format!(
            "it is a bridge: here only what is for this host is filtered, not what is bridged from port to port. To filter that, guard its ports: {members}"
        ),
        "bond" => format!(
            "it is a bond: guarded here, all its members are. Native mode, from Linux 5.15 on, needs native XDP in the drivers of all members, and no program on them: {members}"
        ),
        "team" => format!(
            "it is a team, which has generic mode alone. For native mode guard all its members instead: {members}"
        ),
        _ => return None,
    };
    let guarded: Vec<Neighbour> = device
        .members
        .iter()
        .filter(|member| member.guarded && kind != "bridge")
        .cloned()
        .collect();
    if guarded.is_empty() {
        return Some(Finding::new(Check::Stacking, Note, text));
    }
    Some(Finding::new(
        Check::Stacking,
        Warning,
        format!(
            "it is a {kind} with members that are guarded, too ({}): guard `{name}` or its members, not both",
            names(&guarded)
        ),
    ))
}

/// The device lies above another one, through which all its frames pass.
fn above(name: &str, lower: &Neighbour) -> Finding {
    let below = &lower.name;
    if lower.guarded {
        return Finding::new(
            Check::Stacking,
            Warning,
            format!(
                "it lies above `{below}`, which is guarded, too: its frames are judged and counted twice. Leave `{name}` out, and tell its VLAN apart with `vlan`"
            ),
        );
    }
    Finding::new(
        Check::Stacking,
        Note,
        format!(
            "it lies above `{below}`: guarded there, with rules that have `vlan`, it may be filtered natively"
        ),
    )
}

/// A native program's answer reaches the other end of a veth only if that has a native program, too.
fn peer(device: &Device, wanted: Wanted) -> Option<Finding> {
    let peer = device.peer.as_ref()?;
    if !wanted.rejects || !is_native_likely(device, wanted) {
        return None;
    }
    const CURE: &str = "give it one, or write `attach: generic`";
    Some(match peer {
        PeerEnd::Here {
            name,
            has_native_program: true,
        } => Finding::new(
            Check::Peer,
            Ok,
            format!(
                "answers to what is rejected reach its other end `{name}`, which has a native program"
            ),
        ),
        PeerEnd::Here { name, .. } => Finding::new(
            Check::Peer,
            Warning,
            format!(
                "answers to what is rejected do not reach its other end `{name}`, which has no native XDP program: {CURE}"
            ),
        ),
        PeerEnd::Elsewhere => Finding::new(
            Check::Peer,
            Note,
            format!(
                "answers to what is rejected reach its other end only if that has a native XDP program, which cannot be seen: it is in another network namespace. If it has none, {CURE}"
            ),
        ),
    })
}
