//! Two hosts joined by a cable.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::namespace::Namespace;

/// Address of the server on the first cable (RFC 5737).
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Address of the client on the first cable.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Address of the server on the first cable (RFC 3849).
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Address of the client on the first cable.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// A server, which is to be guarded, and a client.
#[derive(Debug)]
pub struct Bed {
    /// The host to guard.
    pub server: Namespace,
    /// The host that sends to it.
    pub client: Namespace,
}

impl Bed {
    /// Name of the server's end of the first cable.
    pub const SERVER_DEVICE: &'static str = "srv0";
    /// Name of the client's end of the first cable.
    pub const CLIENT_DEVICE: &'static str = "cli0";

    /// Two hosts with one cable between them, `srv0` to `cli0`, with addresses of both families.
    ///
    /// # Errors
    ///
    /// When namespaces or devices cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let bed = Self {
            server: Namespace::new()?,
            client: Namespace::new()?,
        };
        bed.cable(Self::SERVER_DEVICE, Self::CLIENT_DEVICE)?;
        bed.server
            .ip(&format!("addr add {SERVER_V4}/24 dev srv0"))?;
        bed.server
            .ip(&format!("addr add {SERVER_V6}/64 dev srv0 nodad"))?;
        bed.client
            .ip(&format!("addr add {CLIENT_V4}/24 dev cli0"))?;
        bed.client
            .ip(&format!("addr add {CLIENT_V6}/64 dev cli0 nodad"))?;
        Ok(bed)
    }

    /// Lays a cable between the hosts: a pair of veth devices that are up, without addresses.
    ///
    /// # Errors
    ///
    /// When a name is taken.
    pub fn cable(&self, server_device: &str, client_device: &str) -> anyhow::Result<()> {
        self.server.ip(&format!(
            "link add {server_device} type veth peer name {client_device} netns {}",
            self.client.path()
        ))?;
        self.client
            .ip(&format!("link set dev {client_device} up"))?;
        self.server
            .ip(&format!("link set dev {server_device} up"))?;
        Ok(())
    }
}
