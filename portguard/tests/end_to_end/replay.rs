//! `portguard replay`: captures through the loaded program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use serde_json::{Value, json};

use crate::{binary, stderr, stdout};

const POLICY: &str = "version: 1
rules:
  - {name: maybe, action: drop, ports: [23/tcp], enforce: false}
  - {name: no-telnet, action: drop, ports: [23/tcp]}
  - {name: web, action: pass, ports: [80/tcp]}
";

fn tcp_to(port: u16) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([203, 0, 113, 7], [192, 0, 2, 1], 64)
        .tcp(40_000, port, 1, 1024);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[]).expect("a frame");
    frame
}

/// Frames with what is expected of each.
fn frames() -> Vec<(Vec<u8>, Value)> {
    let line = |frame: u64, verdict: &str, outcome: &str, rule: Option<&str>| json!({"frame": frame, "verdict": verdict, "outcome": outcome, "rule": rule});
    let mut telnet = line(1, "drop", "rule", Some("no-telnet"));
    telnet["would_drop"] = json!(["maybe"]);
    let mut cut = tcp_to(23);
    cut.truncate(40);
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    vec![
        (tcp_to(23), telnet),
        (tcp_to(80), line(2, "pass", "rule", Some("web"))),
        (tcp_to(443), line(3, "pass", "default-pass", None)),
        (cut, line(4, "drop", "malformed:tcp-short", None)),
        (arp, line(5, "pass", "non-ip", None)),
        (
            vec![0; 13],
            line(6, "drop", "malformed:ethernet-short", None),
        ),
        (
            Vec::new(),
            line(7, "drop", "malformed:ethernet-short", None),
        ),
    ]
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("policy.yaml"), POLICY).expect("writes");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn replay(&self, capture: &Path) -> Output {
        Command::new(binary())
            .args(["replay", "--format", "json", "--policy"])
            .arg(self.path("policy.yaml"))
            .arg(capture)
            .output()
            .expect("runs")
    }
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn write_pcap(path: &Path, link: DataLink) {
    let header = PcapHeader {
        datalink: link,
        ..PcapHeader::default()
    };
    let mut writer =
        PcapWriter::with_header(File::create(path).expect("creates"), header).expect("a header");
    for (frame, _) in frames() {
        let length = u32::try_from(frame.len()).expect("short");
        writer
            .write_packet(&PcapPacket::new_owned(Duration::ZERO, length, frame))
            .expect("writes");
    }
}

#[test]
fn a_pcap_gives_a_line_for_each_frame() {
    let folder = Folder::new();
    let capture = folder.path("a.pcap");
    write_pcap(&capture, DataLink::ETHERNET);
    let output = folder.replay(&capture);
    assert!(output.status.success(), "{}", stderr(&output));
    let expected: Vec<Value> = frames().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines(&output), expected);
}

#[test]
fn a_pcapng_gives_the_same() {
    let folder = Folder::new();
    let capture = folder.path("a.pcapng");
    let mut writer =
        PcapNgWriter::new(File::create(&capture).expect("creates")).expect("a section");
    writer
        .write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: Vec::new(),
        })
        .expect("writes");
    for (frame, _) in frames() {
        writer
            .write_pcapng_block(EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::ZERO,
                original_len: u32::try_from(frame.len()).expect("short"),
                data: frame.into(),
                options: Vec::new(),
            })
            .expect("writes");
    }
    drop(writer);
    let output = folder.replay(&capture);
    assert!(output.status.success(), "{}", stderr(&output));
    let expected: Vec<Value> = frames().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines(&output), expected);
}

#[test]
fn a_capture_that_is_cut_short_shows_what_is_whole_and_fails() {
    let folder = Folder::new();
    let capture = folder.path("a.pcap");
    write_pcap(&capture, DataLink::ETHERNET);
    let bytes = fs::read(&capture).expect("reads");
    // In the middle of the third frame.
    let cut = 24 + 2 * (16 + 54) + 16 + 20;
    fs::write(&capture, &bytes[..cut]).expect("writes");
    let output = folder.replay(&capture);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).len(), 2);
    assert!(
        stderr(&output).contains("cut short after frame 2"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_is_no_capture_of_ethernet_frames_is_refused() {
    let folder = Folder::new();
    let capture = folder.path("raw.pcap");
    write_pcap(&capture, DataLink::RAW);
    let output = folder.replay(&capture);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("only Ethernet"),
        "{}",
        stderr(&output)
    );

    let output = folder.replay(&folder.path("policy.yaml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is no capture"),
        "{}",
        stderr(&output)
    );

    let output = folder.replay(&folder.path("none.pcap"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot be read"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_dry_run_passes_everything_and_says_what_decided() {
    let folder = Folder::new();
    fs::write(
        folder.path("policy.yaml"),
        format!("enforce: false\n{POLICY}"),
    )
    .expect("writes");
    let capture = folder.path("a.pcap");
    write_pcap(&capture, DataLink::ETHERNET);
    let output = folder.replay(&capture);
    assert!(output.status.success());
    for (line, (_, expected)) in lines(&output).iter().zip(frames()) {
        assert_eq!(line["verdict"], "pass");
        assert_eq!(line["outcome"], expected["outcome"]);
    }
}
