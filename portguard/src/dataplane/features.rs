//! What a device does to a frame before a program sees it.

use std::io;

use super::ethtool::{Channels, Device};
use super::link::Mode;

/// The names of the features by which a device takes a tag out of received frames and puts it into sent ones.
const CUSTOMER: [&str; 2] = ["rx-vlan-hw-parse", "tx-vlan-hw-insert"];
const SERVICE: [&str; 2] = ["rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert"];

/// What a device does with the outermost VLAN tag, by the tag's type.
///
/// What these features say holds for hardware. A veth has nothing to take out: it hands on what its peer sends,
/// whose tag is beside the frame unless `tx-vlan-hw-insert` is off there, whatever is on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagOffload {
    /// Tags of type 0x8100.
    pub customer: Offload,
    /// Tags of type 0x88a8.
    pub service: Offload,
}

/// What a device does with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// It takes the tag out of a received frame and hands it on beside it: a program does not see it.
    pub strips: bool,
    /// It puts a tag that is beside a frame into it when it sends it.
    pub inserts: bool,
}

impl TagOffload {
    /// Whether programs see frames without the outermost tag that they had on the wire.
    #[must_use]
    pub const fn strips(self) -> bool {
        self.customer.strips || self.service.strips
    }

    /// Whether what a program sends back lacks the tag of its request. A native program has the bytes of
    /// the frame alone. In generic mode the tag stays beside the frame, and the device is left to put it in.
    #[must_use]
    pub const fn loses_on_answer(self, mode: Mode) -> bool {
        match mode {
            Mode::Native => self.strips(),
            Mode::Generic => {
                (self.customer.strips && !self.customer.inserts)
                    || (self.service.strips && !self.service.inserts)
            }
        }
    }

    /// The command that leaves tags in the frames of an interface; `None` where they are left already.
    #[must_use]
    pub fn remedy(self, interface: &str) -> Option<String> {
        let kinds = [(self.customer, CUSTOMER), (self.service, SERVICE)];
        let words: String = kinds
            .into_iter()
            .filter(|(offload, _)| offload.strips)
            .map(|(_, [name, _])| format!(" {name} off"))
            .collect();
        (!words.is_empty()).then(|| format!("ethtool -K {interface}{words}"))
    }
}

/// What is known of a device and its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFeatures {
    /// The name of its driver; `None` where it does not tell.
    pub driver: Option<String>,
    /// Its queues; `None` where it does not tell.
    pub channels: Option<Channels>,
    /// What it does with VLAN tags.
    pub tags: TagOffload,
    /// Whether it joins segments of TCP to larger ones before anybody sees them (LRO).
    pub large_receive: bool,
    /// Whether it joins them in a way that can be undone (GRO in hardware).
    pub hardware_gro: bool,
}

/// Asks a device of this namespace what it does with tags.
///
/// # Errors
///
/// What the kernel says: `ENODEV` where there is no such device.
pub fn tag_offload(interface: &str) -> io::Result<TagOffload> {
    Ok(tags(&Device::new(interface)?.active_features()?))
}

/// Asks a device of this namespace for all that is to be known.
///
/// # Errors
///
/// What the kernel says: `ENODEV` where there is no such device.
pub fn device(interface: &str) -> io::Result<DeviceFeatures> {
    let device = Device::new(interface)?;
    let active = device.active_features()?;
    Ok(DeviceFeatures {
        // A device without a driver that could be asked is a device all the same.
        driver: device.driver().ok().filter(|name| !name.is_empty()),
        channels: device.channels()?,
        tags: tags(&active),
        large_receive: is_active(&active, "rx-lro"),
        hardware_gro: is_active(&active, "rx-gro-hw"),
    })
}

fn tags(active: &[String]) -> TagOffload {
    let offload = |[strips, inserts]: [&str; 2]| Offload {
        strips: is_active(active, strips),
        inserts: is_active(active, inserts),
    };
    TagOffload {
        customer: offload(CUSTOMER),
        service: offload(SERVICE),
    }
}

/// A kernel that does not know a feature does not do it.
fn is_active(active: &[String], name: &str) -> bool {
    active.iter().any(|found| found == name)
}
