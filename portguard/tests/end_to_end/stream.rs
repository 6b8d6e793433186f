//! A steady stream in both directions: to a blocked port, to an open one, and questions that the guarded host asks.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, roomy_udp_socket, udp_frame};
use portguard_testbed::traffic::Servers;
use portguard_testbed::{Bed, CLIENT_V4, SERVER_V4};

/// A UDP port that policies must block.
pub(crate) const BLOCKED: u16 = 9_000;
/// One that they must leave open.
pub(crate) const OPEN: u16 = 9_001;
/// Where the client answers.
const ANSWERING: u16 = 9_002;

/// Pause between two rounds: some 5,000 a second.
const PAUSE: Duration = Duration::from_micros(150);

/// How long after its last question an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A policy that blocks by a rule, opens by a rule, and lets nothing else in but replies.
pub(crate) fn policy(more_rules: &str) -> String {
    format!(
        "version: 1\ninterfaces: [srv0]\ndefault: drop\nrules:
  - {{name: blocked, action: drop, ports: [{BLOCKED}/udp]}}
  - {{name: open, action: pass, ports: [{OPEN}/udp]}}\n{more_rules}"
    )
}

/// The stream, which goes on until [`Stream::end`].
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    sender: JoinHandle<u64>,
    asker: JoinHandle<(u64, u64)>,
    open: JoinHandle<u64>,
    blocked: JoinHandle<u64>,
    _answering: Servers,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Packets sent to each of both ports.
    pub(crate) sent: u64,
    /// Those that came to the open one.
    pub(crate) received: u64,
    /// Those that came to the blocked one.
    pub(crate) leaked: u64,
    /// Questions of the guarded host.
    pub(crate) asked: u64,
    /// Answers that it got.
    pub(crate) answered: u64,
}

impl Tally {
    /// Nothing came through, nothing was lost.
    #[track_caller]
    pub(crate) fn assert_clean(self) {
        assert!(self.sent > 1_000 && self.asked > 50, "too thin: {self:?}");
        assert_eq!(self.leaked, 0, "came through: {self:?}");
        assert_eq!(self.received, self.sent, "were lost: {self:?}");
        assert_eq!(self.answered, self.asked, "answers were lost: {self:?}");
    }
}

impl Stream {
    pub(crate) fn start(bed: &Bed) -> Self {
        let ends = Ends {
            from_mac: hardware_address(&bed.client, "cli0").expect("address"),
            to_mac: hardware_address(&bed.server, "srv0").expect("address"),
            from: CLIENT_V4.into(),
            to: SERVER_V4.into(),
        };
        let frame = |port| udp_frame(ends, &[], port, b"stream").expect("a frame");
        let frames = [frame(BLOCKED), frame(OPEN)];
        let socket = RawSocket::open(&bed.client, "cli0").expect("a sender");
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let answering = Servers::start(&bed.client, &[], &[ANSWERING]).expect("a server");
        let receiver = |port| {
            let server = roomy_udp_socket(&bed.server, port).expect("a server");
            let stop = Arc::clone(&stop);
            thread::spawn(move || count(&server, &stop))
        };
        let question = bed
            .server
            .enter(|| UdpSocket::bind((SERVER_V4, 0)))
            .expect("enters")
            .expect("a socket");
        question.connect((CLIENT_V4, ANSWERING)).expect("connects");
        question
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        Self {
            open: receiver(OPEN),
            blocked: receiver(BLOCKED),
            sender: {
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                thread::spawn(move || send(&socket, &frames, &stop, &sent))
            },
            asker: {
                let stop = Arc::clone(&stop);
                thread::spawn(move || ask(&question, &stop))
            },
            stop,
            sent,
            _answering: answering,
        }
    }

    /// Waits until so many packets more were sent to each port.
    pub(crate) fn wait_for(&self, packets: u64) {
        let wanted = self.sent.load(Ordering::Relaxed) + packets;
        while self.sent.load(Ordering::Relaxed) < wanted && !self.sender.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender");
        let (asked, answered) = self.asker.join().expect("the asker");
        Tally {
            sent,
            received: self.open.join().expect("the open port"),
            leaked: self.blocked.join().expect("the blocked port"),
            asked,
            answered,
        }
    }
}

fn send(socket: &RawSocket, frames: &[Vec<u8>], stop: &AtomicBool, sent: &AtomicU64) -> u64 {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        for frame in frames {
            socket.send(frame).expect("sends");
        }
        rounds += 1;
        sent.store(rounds, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
    rounds
}

fn ask(socket: &UdpSocket, stop: &AtomicBool) -> (u64, u64) {
    let (mut asked, mut answered) = (0_u64, 0);
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        socket.send(&asked.to_ne_bytes()).expect("asks");
        asked += 1;
        answered += u64::from(socket.recv(&mut buffer).is_ok());
        thread::sleep(Duration::from_millis(2));
    }
    // An answer that came late, since the machine was busy, has waited behind the others: it is not lost.
    while answered < asked && socket.recv(&mut buffer).is_ok() {
        answered += 1;
    }
    (asked, answered)
}

fn count(server: &UdpSocket, stop: &AtomicBool) -> u64 {
    server
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let mut received = 0;
    let mut buffer = [0; 64];
    loop {
        match server.recv(&mut buffer) {
            Ok(_) => received += 1,
            // Quiet after the end: everything has arrived.
            Err(_) if stop.load(Ordering::Relaxed) => return received,
            Err(_) => {}
        }
    }
}
