//! Hostile clients of the page.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::{Bed, Daemon, in_time};

use crate::metrics::http::connect;
use crate::{entry, rule_packets};

use super::server_sent::Reader;
use super::{
    ADDRESS, PATIENCE, RULES, ask, send, settled_descriptors, shown, wait_for_descriptors,
};

/// Somebody who reads the page, and the daemon.
struct Others {
    bed: Bed,
    daemon: Daemon,
    reader: Reader,
    sent: u64,
}

impl Others {
    /// Asserts that packets are filtered, that the one who reads sees them, that the control socket answers, and that the page
    /// is served.
    fn do_not_notice(&mut self) {
        in_time(|| {
            let begin = Instant::now();
            send(&self.bed, &[(9000, 2)]);
            self.sent += 2;
            let sent = self.sent;
            self.reader.report_when("packets", |report| {
                entry(&report["rules"]["rows"], "closed")["packets"] == sent
            });
            let counters = self.daemon.counters().expect("counters");
            assert_eq!(rule_packets(&counters, "closed"), sent);
            assert_eq!(self.daemon.status().expect("status")["generation"], 1);
            assert_eq!(ask(&self.bed, "GET", "/page.js", ADDRESS).status, 200);
            // A report comes each second.
            assert!(
                begin.elapsed() < Duration::from_secs(8),
                "{:?}",
                begin.elapsed()
            );
        });
    }

    fn connect(&self) -> TcpStream {
        connect(&self.bed, ADDRESS).expect("connects")
    }
}

#[test]
fn hostile_clients_change_nothing_for_other_readers() {
    // A text that does not fit what the kernel keeps for who does not read.
    let comment = format!("  # {}\n", "x".repeat(900)).repeat(400);
    let (bed, daemon) = shown(&format!("{RULES}{comment}"));
    let reader = Reader::open(&bed, ADDRESS);
    let mut others = Others {
        bed,
        daemon,
        reader,
        sent: 0,
    };
    others.do_not_notice();

    let before = settled_descriptors(&others.daemon);
    // Streams that nobody reads: they are cut off while all the rest goes on.
    let deaf: Vec<Reader> = (0..4).map(|_| Reader::open(&others.bed, ADDRESS)).collect();
    deaf.iter().for_each(Reader::keep_little);
    // A byte at a time.
    let mut drip = others.connect();
    // A header that does not end.
    let mut huge = others.connect();
    let header = format!(
        "GET /stream HTTP/1.1\r\nHost: {ADDRESS}\r\nX: {}\r\n",
        "x".repeat(1 << 20)
    );
    let _cut = huge.write_all(header.as_bytes());
    others.do_not_notice();
    // More connections than there are places, all silent. Those on which a page is kept up to date are not among them.
    let idle: Vec<TcpStream> = (0..300).map(|_| others.connect()).collect();
    others.do_not_notice();
    // Readers who come and go at once.
    for _ in 0..50 {
        drop(Reader::open(&others.bed, ADDRESS));
    }
    // A request line that is longer than a header may be.
    let mut long = others.connect();
    let _cut = long.write_all(format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 17)).as_bytes());
    others.do_not_notice();
    drop(idle);

    let begin = Instant::now();
    let mut request = format!("GET /stream HTTP/1.1\r\nHost: {ADDRESS}\r\nX: ")
        .into_bytes()
        .into_iter();
    while drip.write_all(&[request.next().unwrap_or(b'x')]).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "a byte at a time goes on");
        sleep(Duration::from_millis(200));
    }
    // Nobody has read them: the daemon gave them up by itself, and everything else as well.
    wait_for_descriptors(&others.daemon, before);
    drop(deaf);
    others.do_not_notice();
}
