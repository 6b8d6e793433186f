//! Requests to the kernel about interfaces, routes and filters.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How often to ask again when something changed while the kernel was answering.
const DUMP_RETRIES: usize = 10;

/// Sends a dump request and returns the answers, all of one moment.
///
/// # Errors
///
/// What the kernel says.
pub(super) fn dump(request: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    for _ in 0..DUMP_RETRIES {
        if let Some(answers) = dump_once(request.clone())? {
            return Ok(answers);
        }
    }
    Err(io::Error::other("they change too fast to be listed"))
}

/// Sends a request to change something, with these further flags, and waits until that is done.
///
/// # Errors
///
/// What the kernel says; nothing has changed then.
pub(super) fn change(request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let socket = send(NETLINK_ROUTE, request, NLM_F_ACK | flags)?;
    let mut answers = Answers::<RouteNetlinkMessage>::of(&socket);
    loop {
        // An acknowledgement is an error whose code is 0.
        if let NetlinkPayload::Error(answer) = answers.next()?.payload {
            return match answer.code {
                None => Ok(()),
                Some(_) => Err(answer.to_io()),
            };
        }
    }
}

/// Sends a request by a protocol of netlink and returns the one answer.
///
/// # Errors
///
/// What the kernel says.
pub(super) fn ask<M>(protocol: isize, request: M) -> io::Result<M>
where
    M: NetlinkSerializable + NetlinkDeserializable + Debug,
    NetlinkPayload<M>: From<M>,
{
    let socket = send(protocol, request, 0)?;
    match Answers::<M>::of(&socket).next()?.payload {
        NetlinkPayload::InnerMessage(answer) => Ok(answer),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// As [`dump`]; `None` where the kernel says that the answers do not belong together.
fn dump_once(request: RouteNetlinkMessage) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
    let socket = send(NETLINK_ROUTE, request, NLM_F_DUMP)?;
    let mut received = Answers::of(&socket);
    let mut answers = Vec::new();
    let mut interrupted = false;
    loop {
        let message = received.next()?;
        interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(answers)),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(inner) => answers.push(inner),
            _ => {}
        }
    }
}

/// Sends a request on a socket of its own.
fn send<M>(protocol: isize, request: M, flags: u16) -> io::Result<Socket>
where
    M: NetlinkSerializable,
    NetlinkPayload<M>: From<M>,
{
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    Ok(socket)
}

/// The messages that the kernel answers with, several of which may come at once.
struct Answers<'a, M> {
    socket: &'a Socket,
    bytes: Vec<u8>,
    read: usize,
    kind: PhantomData<M>,
}

impl<'a, M: NetlinkDeserializable> Answers<'a, M> {
    const fn of(socket: &'a Socket) -> Self {
        Self {
            socket,
            bytes: Vec::new(),
            read: 0,
            kind: PhantomData,
        }
    }

    /// The next one; waits for it.
    fn next(&mut self) -> io::Result<NetlinkMessage<M>> {
        if self.read >= self.bytes.len() {
            (self.bytes, _) = self.socket.recv_from_full()?;
            self.read = 0;
        }
        let message = NetlinkMessage::deserialize(&self.bytes[self.read..])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // A length of 0 would never end.
        if message.header.length == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.read += message.header.length as usize;
        Ok(message)
    }
}
