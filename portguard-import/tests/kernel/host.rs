//! The original: a host in a namespace of its own, whose kernel judges real packets.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portguard_testbed::Bed;
use portguard_testbed::raw::{RawSocket, hardware_address};

use crate::packets::Sent;

/// Packets on their way at the same time. The kernel drops what waits behind another 1000 for one processor (`net.core.netdev_max_backlog`), which
/// other tests send to as well.
const BATCH: usize = 100;

/// Interfaces of the host.
pub(crate) const INTERFACES: [&str; 2] = ["eth0", "eth1"];

/// Addresses of the host, beside its broadcast and multicast ones.
pub(crate) const ADDRESSES: [&str; 5] = [
    "192.0.2.1",
    "192.0.2.10",
    "203.0.113.200",
    "2001:db8::1",
    "2001:db8::10",
];

/// What the kernel counts, by hardware address of the sender: each packet has one of its own.
const COUNTING: &str = "
table inet verdicts {
  set seen { type ether_addr; size 65535; flags dynamic; }
  set reached { type ether_addr; size 65535; flags dynamic; }
  set passed { type ether_addr; size 65535; flags dynamic; }
  chain first { type filter hook prerouting priority -500; add @seen { ether saddr }; }
  chain before { type filter hook input priority -500; add @reached { ether saddr }; }
  chain behind { type filter hook input priority 500; add @passed { ether saddr }; }
  chain answers { type filter hook output priority -500; policy drop; }
}
";

/// A host with two interfaces, and what is plugged into them.
pub(crate) struct Host {
    bed: Bed,
    cables: Vec<RawSocket>,
    pub(crate) hardware: Vec<[u8; 6]>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let bed = Bed::new().expect("a test bed; it takes root");
        let mut cables = Vec::new();
        let mut hardware = Vec::new();
        for (number, own) in INTERFACES.iter().enumerate() {
            let other = format!("far{number}");
            bed.cable(own, &other).expect("a cable");
            cables.push(RawSocket::open(&bed.client, &other).expect("a socket"));
            hardware.push(hardware_address(&bed.server, own).expect("an address"));
        }
        for address in ADDRESSES {
            let length = if address.contains(':') { 64 } else { 24 };
            // The bed has given itself some of them.
            let _there = bed
                .server
                .ip(&format!("addr add {address}/{length} dev eth0 nodad"));
        }
        bed.server
            .ip("addr add 10.255.0.1/24 dev eth1")
            .expect("an address");
        let host = Self {
            bed,
            cables,
            hardware,
        };
        host.set("net/ipv4/conf/all/rp_filter", "0");
        for device in INTERFACES {
            host.set(&format!("net/ipv4/conf/{device}/rp_filter"), "0");
        }
        // What is sent has no checksums.
        host.set("net/netfilter/nf_conntrack_checksum", "0");
        host
    }

    fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        let written = self
            .bed
            .server
            .enter(|| std::fs::write(&path, value))
            .expect("a namespace");
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Runs a program on the host, which must succeed; what it prints.
    pub(crate) fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let mut command = self.bed.server.command(program);
        run(command.args(arguments), input)
    }

    /// A program that will run on the host.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.bed.server.command(program)
    }

    /// The packets that get as far as the rules for what comes in.
    pub(crate) fn arriving(&self, sent: &[Sent]) -> BTreeSet<usize> {
        self.judge(sent).0
    }

    /// The packets that get through the rules that are in force.
    pub(crate) fn verdicts(&self, sent: &[Sent]) -> BTreeSet<usize> {
        self.judge(sent).1
    }

    fn judge(&self, sent: &[Sent]) -> (BTreeSet<usize>, BTreeSet<usize>) {
        self.run("nft", &["-f", "-"], COUNTING);
        let mut expected = 0;
        for batch in sent.chunks(BATCH) {
            for own in batch {
                self.cables[own.interface].send(&own.frame).expect("sent");
            }
            expected += batch.len();
            self.await_seen(expected);
        }
        let found = (self.members("reached"), self.members("passed"));
        self.run("nft", &["delete", "table", "inet", "verdicts"], "");
        found
    }

    fn await_seen(&self, expected: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.members("seen").len();
            if seen >= expected {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{seen} of {expected} packets have arrived"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn members(&self, set: &str) -> BTreeSet<usize> {
        let text = self.run("nft", &["list", "set", "inet", "verdicts", set], "");
        text.split([' ', ',', '\n', '\t'])
            .filter_map(|word| word.strip_prefix("02:01:00:00:"))
            .map(|word| {
                let (high, low) = word.split_once(':').expect("two bytes");
                let byte = |text: &str| usize::from_str_radix(text, 16).expect("a byte");
                byte(high) << 8 | byte(low)
            })
            .collect()
    }
}

pub(crate) fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that fails has not read all.
    let _closed = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}
