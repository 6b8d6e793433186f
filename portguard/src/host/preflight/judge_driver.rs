//! Findings about a driver: native mode, and what stands in its way.

use portguard_policy::AttachMode;

use super::facts::{Device, Wanted};
use super::finding::{Check, Finding, Severity};
use super::judge_interface::{is_native_likely, without_native};
use crate::daemon::SINGLE_BUFFER_MTU;
use crate::dataplane::features::{DeviceFeatures, TagOffload};
use crate::dataplane::{Channels, Mode};

use Severity::{Note, Ok, Warning};

/// Drivers that keep a queue of their own for what a program sends back, for each queue that receives: natively they
/// take programs only while no more than half of their queues are in use.
const HALF_THE_QUEUES: [&str; 2] = ["ena", "gve"];

/// From here on, XDP programs may see frames of several buffers.
const MULTI_BUFFER: (u8, u8) = (5, 18);

/// All findings about the driver of the interface of this name.
pub(super) fn judge(
    name: &str,
    device: &Device,
    wanted: Wanted,
    kernel: Option<(u8, u8)>,
    online_cpus: Option<u32>,
) -> Vec<Finding> {
    let features = match &device.features {
        Result::Ok(features) => features,
        Err(error) => {
            return vec![
                native_mode(None, device, wanted),
                Finding::new(
                    Check::Queues,
                    Note,
                    format!("its driver does not tell of queues and offloads: {error}"),
                ),
            ];
        }
    };
    let mut findings = vec![
        native_mode(features.driver.as_deref(), device, wanted),
        mtu(name, device, wanted, kernel),
    ];
    findings.extend(joined_segments(
        name,
        features,
        is_native_likely(device, wanted),
    ));
    findings.extend(queues(name, device, features, wanted, online_cpus));
    let mode = if is_native_likely(device, wanted) {
        Mode::Native
    } else {
        Mode::Generic
    };
    findings.extend(vlan_tags(name, features.tags, wanted, mode));
    findings
}

fn native_mode(driver: Option<&str>, device: &Device, wanted: Wanted) -> Finding {
    let driver = match driver {
        Some(driver) => format!("its driver `{driver}`"),
        None => "its driver".to_owned(),
    };
    let (severity, text) = match (wanted.attach, device.xdp) {
        (AttachMode::Generic, _) => (Ok, "the policy asks for generic mode".to_owned()),
        (_, Some(features)) if features.native => {
            let buffers = if features.multi_buffer {
                ", also with frames of several buffers"
            } else {
                ""
            };
            (Ok, format!("{driver} has native XDP{buffers}"))
        }
        (attach, Some(_)) => {
            let (severity, what) = without_native(attach);
            (severity, format!("{driver} has no native XDP: {what}"))
        }
        (_, None) => (
            Note,
            format!(
                "this kernel does not tell whether {driver} has native XDP (Linux 6.3 and later do): attaching tells"
            ),
        ),
    };
    Finding::new(Check::NativeMode, severity, text)
}

fn mtu(name: &str, device: &Device, wanted: Wanted, kernel: Option<(u8, u8)>) -> Finding {
    let mtu = device.link.interface.mtu;
    let fits = format!("its MTU of {mtu} bytes is no obstacle");
    if mtu <= SINGLE_BUFFER_MTU || !is_native_likely(device, wanted) {
        return Finding::new(Check::Mtu, Ok, fits);
    }
    let old_kernel = kernel.is_some_and(|version| version < MULTI_BUFFER);
    let takes_several = device.xdp.map(|features| features.multi_buffer);
    let why = match (old_kernel, takes_several) {
        (false, Some(true)) => return Finding::new(Check::Mtu, Ok, fits),
        (true, _) => "before Linux 5.18 a frame must fit one buffer",
        (false, Some(false)) => "with its driver a frame must fit one buffer",
        (false, None) => "with many drivers a frame must fit one buffer",
    };
    let refused = match wanted.attach {
        AttachMode::Native => "attaching fails",
        _ => "the filter runs in generic mode",
    };
    // The limit is each driver's own, and some have none.
    let text = format!(
        "its MTU of {mtu} bytes may be too large for native XDP: {why}. If the driver refuses, {refused}"
    );
    Finding::new(Check::Mtu, Warning, text)
        .cure(format!("ip link set dev {name} mtu {SINGLE_BUFFER_MTU}"))
}

/// What a device joins, a native program cannot take apart: most drivers refuse it then.
fn joined_segments(name: &str, features: &DeviceFeatures, native: bool) -> [Finding; 2] {
    let judge = |check, on: bool, what: &str, word: &str| {
        if !on {
            return Finding::new(check, Ok, format!("{what} is off"));
        }
        if !native {
            return Finding::new(
                check,
                Ok,
                format!("{what} is on, and no obstacle to generic mode"),
            );
        }
        Finding::new(
            check,
            Warning,
            format!("{what} is on: drivers refuse native XDP with it, or switch it off themselves"),
        )
        .cure(format!("ethtool -K {name} {word} off"))
    };
    [
        judge(
            Check::Lro,
            features.large_receive,
            "large receive offload (LRO)",
            "lro",
        ),
        judge(
            Check::HardwareGro,
            features.hardware_gro,
            "receive offload in hardware (GRO)",
            "rx-gro-hw",
        ),
    ]
}

fn queues(
    name: &str,
    device: &Device,
    features: &DeviceFeatures,
    wanted: Wanted,
    online_cpus: Option<u32>,
) -> Option<Finding> {
    let channels = features.channels?;
    let Channels {
        receiving, most, ..
    } = channels;
    let command = |number: u32| {
        let kind = if channels.combined { "combined" } else { "rx" };
        format!("ethtool -L {name} {kind} {number}")
    };
    let driver = features.driver.as_deref().unwrap_or_default();
    if HALF_THE_QUEUES.contains(&driver) && is_native_likely(device, wanted) && receiving > most / 2
    {
        let (severity, what) = without_native(wanted.attach);
        let text = format!(
            "{receiving} of {most} queues are in use: the driver `{driver}` takes native programs only with half of them free: {what}"
        );
        return Some(Finding::new(Check::Queues, severity, text).cure(command((most / 2).max(1))));
    }
    let Some(cpus) = online_cpus.filter(|cpus| receiving < (*cpus).min(most)) else {
        let queues = if receiving == 1 { "queue" } else { "queues" };
        let text = format!("it receives on {receiving} {queues}");
        return Some(Finding::new(Check::Queues, Ok, text));
    };
    let text = format!(
        "it receives on {receiving} of {most} queues, so of {cpus} CPUs no more than {receiving} filter at the same time"
    );
    Some(Finding::new(Check::Queues, Note, text).cure(command(cpus.min(most))))
}

/// What becomes of rules by VLAN, and of answers in VLANs, where the device takes tags out.
pub(super) fn vlan_tags(name: &str, tags: TagOffload, wanted: Wanted, mode: Mode) -> Vec<Finding> {
    let Some(remedy) = tags.remedy(name) else {
        return vec![Finding::new(
            Check::VlanTags,
            Ok,
            "it leaves VLAN tags in the frames",
        )];
    };
    let mut findings = Vec::new();
    let mut warn = |text: String| {
        findings.push(Finding::new(Check::VlanTags, Warning, text).cure(remedy.clone()));
    };
    if wanted.by_vlan && tags.strips() {
        warn(format!(
            "rules with `vlan` see the frames of `{name}` as untagged, since the device takes VLAN tags out"
        ));
    }
    if wanted.rejects && tags.loses_on_answer(mode) {
        warn(format!(
            "what is rejected in a VLAN on `{name}` is answered without its tag, since the device takes tags out"
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            Check::VlanTags,
            Ok,
            "it takes VLAN tags out of frames, which no rule minds",
        ));
    }
    findings
}
