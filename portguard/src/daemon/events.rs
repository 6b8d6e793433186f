//! Hearing from the kernel that interfaces or routes changed.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use tokio::time::Instant;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV6_ROUTE` of the kernel's `rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x40 | 0x400;

/// Changes come in bursts: how long to collect them before looking.
const SETTLE: Duration = Duration::from_millis(20);

/// A subscription to changes of interfaces and routes.
pub(super) struct Events {
    socket: TokioSocket,
    /// Something changed, but nobody has been told yet: until then the burst may go on.
    settled_at: Option<Instant>,
}

impl Events {
    /// Subscribes; what changes from now on is not missed.
    pub(super) fn subscribe() -> anyhow::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)
            .context("cannot open a netlink socket to follow the interfaces")?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, GROUPS))
            .context("cannot follow the interfaces by netlink")?;
        Ok(Self {
            socket,
            settled_at: None,
        })
    }

    /// Waits until something changed and the burst has settled. What changed is not told: whoever asks
    /// looks at the interfaces anew, so a lost message does no harm.
    ///
    /// May be dropped before it is done (`select!` does); the next call then tells of what came meanwhile.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        let settled_at = match self.settled_at {
            Some(settled_at) => settled_at,
            None => {
                self.receive().await?;
                *self.settled_at.insert(Instant::now() + SETTLE)
            }
        };
        tokio::time::sleep_until(settled_at).await;
        while self.receive_now().await {}
        self.settled_at = None;
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv_from_full().await {
                Ok((message, _sender)) if is_relevant(&message) => return Ok(()),
                Ok(_) => {}
                // More happened than the socket can hold, which is all that needs to be known.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a message that is there already; `false` if there is none.
    async fn receive_now(&mut self) -> bool {
        let mut receive = pin!(self.receive());
        std::future::poll_fn(|context| {
            Poll::Ready(matches!(
                receive.as_mut().poll(context),
                Poll::Ready(Ok(()))
            ))
        })
        .await
    }
}

/// Whether a notification is of an interface or of a default route. A router's table changes all the time,
/// and the rest of it says nothing about which interfaces are meant.
fn is_relevant(notification: &[u8]) -> bool {
    // A `nlmsghdr` of 16 bytes with the type at 4, then an `rtmsg` with the prefix length at 1.
    let kind = notification
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    match kind {
        Some(libc::RTM_NEWROUTE | libc::RTM_DELROUTE) => notification.get(17) == Some(&0),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(kind: u16, prefix_len: u8) -> Vec<u8> {
        let mut bytes = vec![0; 28];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[17] = prefix_len;
        bytes
    }

    #[test]
    fn of_routes_only_default_routes_matter() {
        for kind in [libc::RTM_NEWROUTE, libc::RTM_DELROUTE] {
            assert!(is_relevant(&notification(kind, 0)));
            assert!(!is_relevant(&notification(kind, 24)));
        }
        for kind in [libc::RTM_NEWLINK, libc::RTM_DELLINK] {
            assert!(is_relevant(&notification(kind, 24)));
        }
        assert!(is_relevant(&[]));
    }
}
