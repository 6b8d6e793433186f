//! Real servers and real clients.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::namespace::Namespace;

/// What a client saw of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The server answered.
    Answer,
    /// The host answered that nobody listens.
    Refused,
    /// Nothing came back.
    Silence,
}

/// How often a server looks whether it shall end.
const TICK: Duration = Duration::from_millis(20);

/// A timeout that comes later than this tells of a machine that stood still.
const LATE: Duration = Duration::from_millis(50);

/// Servers that answer every connection and datagram on both families, until dropped.
#[derive(Debug)]
pub struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Starts TCP and UDP servers on these ports of a host.
    ///
    /// # Errors
    ///
    /// When a port is taken.
    pub fn start(host: &Namespace, tcp: &[u16], udp: &[u16]) -> anyhow::Result<Self> {
        let (listeners, sockets) = host
            .enter(|| -> io::Result<_> {
                // `::` takes both families.
                let any = |port: &u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
                let listeners: Vec<_> = tcp
                    .iter()
                    .map(|port| TcpListener::bind(any(port)))
                    .collect::<Result<_, _>>()?;
                let sockets: Vec<_> = udp
                    .iter()
                    .map(|port| UdpSocket::bind(any(port)))
                    .collect::<Result<_, _>>()?;
                Ok((listeners, sockets))
            })?
            .context("cannot open a server")?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || serve_tcp(&listener, &stop)));
        }
        for socket in sockets {
            socket.set_read_timeout(Some(TICK))?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || serve_udp(&socket, &stop)));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A server that panicked has nothing left to end.
            let _ended = thread.join();
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    let mut open = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut stream, _peer)) => {
                // The client may be gone again; what it saw is its own matter.
                let _gone = stream.write_all(b"!");
                open.push(stream);
            }
            Err(_none) => thread::sleep(TICK),
        }
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 65_535];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            // As above.
            let _gone = socket.send_to(&buffer[..length], peer);
        }
    }
}

/// Connects from a host and waits for the server's byte.
///
/// # Errors
///
/// When something other than the network fails.
pub fn probe_tcp(
    host: &Namespace,
    server: IpAddr,
    port: u16,
    patience: Duration,
) -> anyhow::Result<Seen> {
    host.enter(|| {
        let mut stream = match TcpStream::connect_timeout(&(server, port).into(), patience) {
            Ok(stream) => stream,
            Err(error) => return seen(&error).context("cannot connect"),
        };
        stream.set_read_timeout(Some(patience))?;
        let mut byte = [0];
        match wait(patience, || stream.read(&mut byte)) {
            Ok(1) => Ok(Seen::Answer),
            Ok(_) => Ok(Seen::Silence),
            Err(error) => seen(&error).context("cannot read"),
        }
    })?
}

/// Sends `packets` datagrams of `length` bytes from a host and waits for the first echo.
///
/// # Errors
///
/// When something other than the network fails.
pub fn probe_udp(
    host: &Namespace,
    server: IpAddr,
    port: u16,
    packets: usize,
    length: usize,
    patience: Duration,
) -> anyhow::Result<Seen> {
    host.enter(|| {
        let any: IpAddr = match server {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((server, port))?;
        socket.set_read_timeout(Some(patience))?;
        let datagram = vec![b'?'; length];
        for _ in 0..packets {
            if let Err(error) = socket.send(&datagram) {
                return seen(&error).context("cannot send");
            }
        }
        let mut buffer = vec![0; length.max(1)];
        match wait(patience, || socket.recv(&mut buffer)) {
            Ok(received) if received == length => Ok(Seen::Answer),
            Ok(_) => Ok(Seen::Silence),
            Err(error) => seen(&error).context("cannot receive"),
        }
    })?
}

/// Reads with a timeout. A machine that stood still has used up that of the reader, and has given the server none of it: then it is
/// read once more.
fn wait(timeout: Duration, mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        let begin = Instant::now();
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) && begin.elapsed() > timeout + LATE => {}
            outcome => return outcome,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn seen(error: &io::Error) -> io::Result<Seen> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Ok(Seen::Refused),
        _ if is_timeout(error) => Ok(Seen::Silence),
        _ => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_comes_late_is_waited_for_again() {
        const TIMEOUT: Duration = Duration::from_millis(1);
        let timeout = || io::Error::from(io::ErrorKind::WouldBlock);
        let mut reads = 0;
        let outcome = wait(TIMEOUT, || {
            reads += 1;
            match reads {
                1 => {
                    thread::sleep(TIMEOUT + LATE);
                    Err(timeout())
                }
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(7),
            }
        });
        assert_eq!((outcome.ok(), reads), (Some(7), 3));
        // One that comes when it is due is an answer.
        let outcome = wait(Duration::from_secs(60), || Err(timeout()));
        assert!(outcome.is_err_and(|error| is_timeout(&error)));
    }
}
