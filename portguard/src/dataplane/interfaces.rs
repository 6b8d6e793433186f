//! The network interfaces of this namespace, by netlink.

use std::fmt;
use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage, LinkXdp, XdpAttached};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Whether its frames begin with an Ethernet header.
    pub has_ethernet_header: bool,
    /// Its type, as the kernel calls it.
    pub kind: String,
    /// Index of the device below it, for VLANs and the like.
    pub lower: Option<u32>,
    /// Index of the bridge, bond or team that it belongs to.
    pub controller: Option<u32>,
    /// The XDP program that it carries.
    pub xdp: Option<XdpState>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpState {
    /// ID of the program.
    pub program_id: u32,
    /// Where it runs.
    pub mode: ForeignMode,
}

/// The modes that the kernel reports; more than portguard uses itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// In the device.
    Hardware,
    /// Several at once, or one that is not known here.
    Other,
}

impl fmt::Display for ForeignMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Hardware => "hardware",
            Self::Other => "another",
        })
    }
}

/// All interfaces, by index.
///
/// # Errors
///
/// What the kernel says.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    dump(
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        |message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                interfaces.push(interface(&link));
            }
        },
    )?;
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Indices of the interfaces that carry a default route, of either family.
///
/// # Errors
///
/// What the kernel says.
pub fn with_default_route() -> io::Result<Vec<u32>> {
    let mut indices = Vec::new();
    dump(
        RouteNetlinkMessage::GetRoute(RouteMessage::default()),
        |message| {
            let RouteNetlinkMessage::NewRoute(route) = message else {
                return;
            };
            if route.header.destination_prefix_length != 0 {
                return;
            }
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Oif(index) => indices.push(*index),
                    RouteAttribute::MultiPath(hops) => {
                        indices.extend(hops.iter().map(|hop| hop.interface_index));
                    }
                    _ => {}
                }
            }
        },
    )?;
    indices.sort_unstable();
    indices.dedup();
    Ok(indices)
}

fn interface(link: &LinkMessage) -> Interface {
    let layer = link.header.link_layer_type;
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        mtu: 0,
        // The loopback device, too, has a header of 14 bytes.
        has_ethernet_header: matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
        kind: format!("{layer:?}").to_lowercase(),
        lower: None,
        controller: None,
        xdp: None,
    };
    let mut in_other_namespace = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Link(index) => interface.lower = Some(*index),
            // The link is a peer in another namespace (veth): its index means nothing here.
            LinkAttribute::LinkNetNsId(_) => in_other_namespace = true,
            LinkAttribute::Controller(index) => interface.controller = Some(*index),
            LinkAttribute::Xdp(xdp) => interface.xdp = xdp_state(xdp),
            _ => {}
        }
    }
    if in_other_namespace || interface.lower == Some(0) {
        interface.lower = None;
    }
    interface
}

fn xdp_state(attributes: &[LinkXdp]) -> Option<XdpState> {
    let mut mode = ForeignMode::Other;
    let mut program_id = None;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::None) => return None,
            LinkXdp::Attached(XdpAttached::Driver) => mode = ForeignMode::Native,
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = ForeignMode::Generic,
            LinkXdp::Attached(XdpAttached::Hardware) => mode = ForeignMode::Hardware,
            LinkXdp::ProgId(id) => program_id = Some(*id),
            LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
                program_id = program_id.or(Some(*id));
            }
            _ => {}
        }
    }
    program_id.map(|program_id| XdpState { program_id, mode })
}

/// Sends a dump request and hands every answer to `each`.
fn dump(request: RouteNetlinkMessage, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;

    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;

    loop {
        let (bytes, _sender) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = message.header.length as usize;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => each(inner),
                _ => {}
            }
            // A length of 0 would never end.
            if length == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}
