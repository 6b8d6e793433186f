//! What a driver can do with XDP programs, by the generic netlink family `netdev` (kernel 6.3).

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NlaBuffer, NlasIterator, Parseable, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::netlink;

/// The name of the family, and what is asked of it (`linux/netdev.h`).
const FAMILY: &str = "netdev";
const VERSION: u8 = 1;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// Bits of the features (`NETDEV_XDP_ACT_*`).
const ACT_BASIC: u64 = 1;
const ACT_RX_SG: u64 = 1 << 5;

/// What a driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures {
    /// It runs programs itself: native mode.
    pub native: bool,
    /// In native mode, frames may have several buffers.
    pub multi_buffer: bool,
}

/// Asks what the driver of an interface can do; `None` where the kernel does not tell.
///
/// # Errors
///
/// What the kernel says: `ENODEV` where there is no such interface.
pub fn xdp_features(ifindex: u32) -> io::Result<Option<XdpFeatures>> {
    let Some(family) = family_id()? else {
        return Ok(None);
    };
    let request = Netdev(vec![DefaultNla::new(
        NETDEV_A_DEV_IFINDEX,
        ifindex.to_ne_bytes().to_vec(),
    )]);
    let mut message = GenlMessage::from_payload(request);
    message.set_resolved_family_id(family);
    let answer = netlink::ask(NETLINK_GENERIC, message)?;
    Ok(answer.payload.features().map(|bits| XdpFeatures {
        native: bits & ACT_BASIC != 0,
        multi_buffer: bits & ACT_RX_SG != 0,
    }))
}

/// The number that this kernel has given to the family; `None` where it has no such family.
fn family_id() -> io::Result<Option<u16>> {
    let request = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.into())],
    });
    match netlink::ask(NETLINK_GENERIC, request) {
        Ok(answer) => Ok(answer.payload.nlas.iter().find_map(|attribute| {
            if let GenlCtrlAttrs::FamilyId(id) = attribute {
                Some(*id)
            } else {
                None
            }
        })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A message of the family: the attributes of one device.
#[derive(Clone, Debug)]
struct Netdev(Vec<DefaultNla>);

impl Netdev {
    fn features(&self) -> Option<u64> {
        self.0.iter().find_map(|attribute| {
            use netlink_packet_core::Nla as _;
            if attribute.kind() != NETDEV_A_DEV_XDP_FEATURES {
                return None;
            }
            let mut bytes = vec![0; attribute.value_len()];
            attribute.emit_value(&mut bytes);
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        })
    }
}

impl GenlFamily for Netdev {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        VERSION
    }
}

impl Emitable for Netdev {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Netdev {
    fn parse_with_param(bytes: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|attribute| {
            let attribute: NlaBuffer<&[u8]> = attribute?;
            DefaultNla::parse(&attribute)
        });
        Ok(Self(attributes.collect::<Result<_, _>>()?))
    }
}
