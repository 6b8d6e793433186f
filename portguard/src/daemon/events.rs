//! Hearing from the kernel that interfaces or routes changed.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

/// `RTMGRP_LINK`, `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV6_ROUTE` of the kernel's `rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x40 | 0x400;

/// Changes come in bursts: how long to collect them before looking.
const SETTLE: Duration = Duration::from_millis(20);

/// A subscription to changes of interfaces and routes.
pub(super) struct Events {
    socket: TokioSocket,
    /// Something changed, but nobody has been told yet.
    pending: bool,
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
            pending: false,
        })
    }

    /// Waits until something changed and the burst has settled. What changed is not told: whoever asks
    /// looks at the interfaces anew, so a lost message does no harm.
    ///
    /// May be dropped before it is done (`select!` does); the next call then tells of what came meanwhile.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        if !self.pending {
            self.receive().await?;
            self.pending = true;
        }
        tokio::time::sleep(SETTLE).await;
        while self.receive_now().await {}
        self.pending = false;
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<()> {
        match self.socket.recv_from_full().await {
            Ok(_message) => Ok(()),
            // More happened than the socket can hold, which is all that needs to be known.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            Err(error) => Err(error),
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
