//! The network interfaces of this namespace, by netlink.

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    LinkXdp, XdpAttached,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{ask, dump};

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
    /// Index of the device below it through which all its frames pass unchanged, for VLANs and the like.
    pub lower: Option<u32>,
    /// If it is a VLAN of the device below it: the VLAN's ID.
    pub vlan: Option<u16>,
    /// Index of the bridge, bond or team that it belongs to.
    pub controller: Option<u32>,
    /// The XDP program that it carries.
    pub xdp: Option<XdpState>,
}

/// An interface with what only a report about this host asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What the filter asks for.
    pub interface: Interface,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Its kind of virtual device: `veth`, `bond`, `bridge`; `None` for a physical one.
    pub virtual_kind: Option<String>,
    /// The other end of a veth.
    pub peer: Option<Peer>,
}

/// Where the other end of a veth is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// In this namespace, with this index.
    Here(u32),
    /// In another namespace.
    Elsewhere,
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

impl ForeignMode {
    /// The word by which `ip link set dev NAME ... off` takes such a program away.
    #[must_use]
    pub const fn ip_word(self) -> &'static str {
        match self {
            Self::Native => "xdpdrv",
            Self::Generic => "xdpgeneric",
            Self::Hardware => "xdpoffload",
            Self::Other => "xdp",
        }
    }
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
    let links = list_links()?;
    Ok(links.into_iter().map(|link| link.interface).collect())
}

/// All interfaces, by index, with more about each.
///
/// # Errors
///
/// What the kernel says.
pub fn list_links() -> io::Result<Vec<Link>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut links: Vec<Link> = dump(&request)?
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        })
        .collect();
    links.sort_by_key(|link| link.interface.index);
    Ok(links)
}

/// Indices of the interfaces that carry a default route, of either family and in any table. Routes to
/// this host itself (`local`, as transparent proxies use them) and to nowhere (`blackhole`) are none.
///
/// # Errors
///
/// What the kernel says.
pub fn with_default_route() -> io::Result<Vec<u32>> {
    let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let mut indices = Vec::new();
    for message in dump(&request)? {
        let RouteNetlinkMessage::NewRoute(route) = message else {
            continue;
        };
        if route.header.destination_prefix_length != 0 || route.header.kind != RouteType::Unicast {
            continue;
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
    }
    indices.sort_unstable();
    indices.dedup();
    Ok(indices)
}

fn link(message: &LinkMessage) -> Link {
    let mut kind = None;
    let mut other_end = None;
    let mut is_elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.clone()),
                    _ => None,
                });
            }
            LinkAttribute::Link(index) => other_end = Some(*index),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            _ => {}
        }
    }
    let peer = match (kind == Some(InfoKind::Veth), is_elsewhere, other_end) {
        (true, false, Some(index)) if index != 0 => Some(Peer::Here(index)),
        (true, _, _) => Some(Peer::Elsewhere),
        (false, _, _) => None,
    };
    Link {
        interface: interface(message),
        is_up: message.header.flags.contains(LinkFlags::Up),
        virtual_kind: kind.map(|kind| kind.to_string()),
        peer,
    }
}

/// Index of the interface through which this host sends to an address, from one of its own, which may be bound to an
/// interface: where answers leave, questions mostly arrive. `None` where no route leads.
///
/// # Errors
///
/// What the kernel says.
pub fn towards(peer: IpAddr, own: IpAddr, bound: Option<u32>) -> io::Result<Option<u32>> {
    let mut route = RouteMessage::default();
    let (family, length) = if peer.is_ipv4() {
        (AddressFamily::Inet, 32)
    } else {
        (AddressFamily::Inet6, 128)
    };
    route.header.address_family = family;
    route.header.destination_prefix_length = length;
    route.header.source_prefix_length = length;
    route
        .attributes
        .push(RouteAttribute::Destination(peer.into()));
    route.attributes.push(RouteAttribute::Source(own.into()));
    route.attributes.extend(bound.map(RouteAttribute::Oif));
    match ask(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(route)) {
        Ok(RouteNetlinkMessage::NewRoute(route)) => {
            Ok(route
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                }))
        }
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) if NO_ROUTE.contains(&error.raw_os_error().unwrap_or_default()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel says where it would send nothing: no route, a prohibiting one, or an address that is not its own
/// any more.
const NO_ROUTE: [i32; 6] = [
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::EACCES,
    libc::EINVAL,
    libc::ENODEV,
    libc::ENETDOWN,
];

#[cfg(test)]
impl Interface {
    /// An Ethernet device by itself.
    pub(crate) fn ethernet(index: u32, name: &str) -> Self {
        Self {
            index,
            name: name.into(),
            mtu: 1500,
            has_ethernet_header: true,
            kind: "ether".into(),
            lower: None,
            vlan: None,
            controller: None,
            xdp: None,
        }
    }
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
        vlan: None,
        controller: None,
        xdp: None,
    };
    let mut lower = None;
    let mut passes_through = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Link(index) => lower = Some(*index),
            // Of other kinds the link is something else (the peer of a veth), or the frames below are
            // others (encrypted, encapsulated).
            LinkAttribute::LinkInfo(infos) => {
                passes_through = infos.iter().any(|info| {
                    matches!(
                        info,
                        LinkInfo::Kind(InfoKind::Vlan | InfoKind::MacVlan | InfoKind::IpVlan)
                    )
                });
                interface.vlan = infos.iter().find_map(vlan_id);
            }
            LinkAttribute::Controller(index) => interface.controller = Some(*index),
            LinkAttribute::Xdp(xdp) => interface.xdp = xdp_state(xdp),
            _ => {}
        }
    }
    interface.lower = lower.filter(|_| passes_through);
    interface
}

fn vlan_id(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vlan(data)) = info else {
        return None;
    };
    data.iter().find_map(|entry| match entry {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    })
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
