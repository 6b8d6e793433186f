//! Dropped frames as a capture: pcapng (draft-ietf-opsawg-pcapng), with what was decided beside each.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcapng::blocks::ENHANCED_PACKET_BLOCK;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock as _, PcapNgWriter, RawBlock};
use pcap_file::{DataLink, Endianness, PcapError};
use portguard_common::limits::SNAP_MAX;

use crate::control::Event;

/// `opt_comment`.
const COMMENT: u16 = 1;
/// `epb_verdict`: what became of a packet, by whom. The library cannot write it, so packets are put together here.
const VERDICT: u16 = 7;
/// `opt_endofopt`.
const END: u16 = 0;
/// Of `epb_verdict`: an action of XDP follows, in 64 bits.
const BY_XDP: u8 = 2;
/// `XDP_DROP` and `XDP_PASS` (linux/bpf.h).
const XDP_DROP: u64 = 1;
const XDP_PASS: u64 = 2;

/// `if_tsresol`: times are in 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// A capture that is being written. It is whole after each frame.
pub struct PacketFile<W: Write> {
    writer: PcapNgWriter<W>,
    /// In the order of their numbers in the file.
    interfaces: Vec<String>,
}

impl<W: Write> PacketFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(target: W) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(
                concat!("portguard ", env!("CARGO_PKG_VERSION")),
            ))],
            ..SectionHeaderBlock::default()
        };
        let mut file = Self {
            writer: PcapNgWriter::with_section_header(target, section).map_err(io_error)?,
            interfaces: Vec::new(),
        };
        file.writer.get_mut().flush()?;
        Ok(file)
    }

    /// Adds the frame of an event, of which the bytes must be known.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or the daemon told no bytes.
    pub fn add(&mut self, event: &Event) -> io::Result<()> {
        let frame = bytes(event)?;
        let interface = self.interface(&event.interface)?;
        let body = packet(event, interface, &frame)?;
        let length = number(BLOCK_BYTES + body.len())?;
        let block = RawBlock {
            type_: ENHANCED_PACKET_BLOCK,
            initial_len: length,
            body: Cow::Owned(body),
            trailer_len: length,
        };
        self.writer.write_raw_block(&block).map_err(io_error)?;
        self.writer.get_mut().flush()
    }

    /// The number of an interface, which is described before its first frame.
    fn interface(&mut self, name: &str) -> io::Result<u32> {
        let known = self.interfaces.iter().position(|known| known == name);
        let place = match known {
            Some(place) => place,
            None => {
                let block = InterfaceDescriptionBlock {
                    linktype: DataLink::ETHERNET,
                    snaplen: SNAP_MAX,
                    options: vec![
                        InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                        InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                    ],
                };
                self.writer
                    .write_block(&block.into_block())
                    .map_err(io_error)?;
                self.interfaces.push(name.to_owned());
                self.interfaces.len() - 1
            }
        };
        number(place)
    }
}

/// Bytes of a block around its body: its type, and its length twice.
const BLOCK_BYTES: usize = 12;

/// The body of an Enhanced Packet Block.
fn packet(event: &Event, interface: u32, frame: &[u8]) -> io::Result<Vec<u8>> {
    let time = Duration::try_from_secs_f64(event.unix_time).unwrap_or_default();
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut body = Vec::new();
    for word in [
        interface,
        (nanoseconds >> 32) as u32,
        nanoseconds as u32,
        number(frame.len())?,
        event.length,
    ] {
        body.extend(word.to_le_bytes());
    }
    body.extend(frame);
    pad(&mut body);
    option(&mut body, COMMENT, Note::of(event).to_string().as_bytes())?;
    let verdict = if event.enforced { XDP_DROP } else { XDP_PASS };
    let mut value = vec![BY_XDP];
    value.extend(verdict.to_le_bytes());
    option(&mut body, VERDICT, &value)?;
    option(&mut body, END, &[])?;
    Ok(body)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) -> io::Result<()> {
    let length = u16::try_from(value.len()).map_err(io::Error::other)?;
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(value);
    pad(body);
    Ok(())
}

/// To a whole number of 32-bit words.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn number(number: usize) -> io::Result<u32> {
    u32::try_from(number).map_err(io::Error::other)
}

/// What was decided about a frame, as the comment beside it: words of the form `key=value`, after the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// As [`Event::outcome`].
    pub outcome: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The line of the policy with its name.
    pub line: Option<usize>,
    /// The number of the policy.
    pub generation: u64,
}

/// What a note begins with.
const PROGRAM: &str = "portguard";

impl Note {
    fn of(event: &Event) -> Self {
        Self {
            outcome: event.outcome.clone(),
            rule: event.rule.clone(),
            line: event.line,
            generation: event.generation,
        }
    }

    /// Reads a comment; `None` if it is none of portguard's.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        let mut words = comment.split_whitespace();
        if words.next() != Some(PROGRAM) {
            return None;
        }
        let words: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
        let value = |key: &str| {
            let mut found = words.iter().filter(|(own, _)| *own == key);
            found.next().map(|(_, value)| *value)
        };
        Some(Self {
            outcome: value("outcome")?.to_owned(),
            rule: value("rule").map(str::to_owned),
            line: value("line").and_then(|line| line.parse().ok()),
            generation: value("generation")?.parse().ok()?,
        })
    }

    /// Whether something decided that the frame alone does not tell: how many came before it, or who was banned.
    #[must_use]
    pub fn is_of_state(&self) -> bool {
        matches!(
            self.outcome.as_str(),
            "limited" | "banned" | "later-fragment"
        )
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PROGRAM} outcome={}", self.outcome)?;
        if let Some(rule) = &self.rule {
            write!(f, " rule={rule}")?;
        }
        if let Some(line) = self.line {
            write!(f, " line={line}")?;
        }
        write!(f, " generation={}", self.generation)
    }
}

/// The first bytes of the frame.
fn bytes(event: &Event) -> io::Result<Vec<u8>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the daemon told no bytes of it");
    let text = event.bytes.as_deref().ok_or_else(broken)?;
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(broken)
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_as_it_was_written() {
        let whole = Note {
            outcome: "limited".into(),
            rule: Some("dns-flood".into()),
            line: Some(12),
            generation: 3,
        };
        let text = "portguard outcome=limited rule=dns-flood line=12 generation=3";
        assert_eq!(whole.to_string(), text);
        assert_eq!(Note::parse(text), Some(whole));
        let short = Note {
            outcome: "malformed:tcp-short".into(),
            rule: None,
            line: None,
            generation: 1,
        };
        assert_eq!(Note::parse(&short.to_string()), Some(short));
    }

    #[test]
    fn comments_of_others_are_no_notes() {
        for comment in [
            "",
            "portguard",
            "portguard outcome=limited",
            "portguard generation=3",
            "portguard outcome=limited generation=many",
            "tcpdump outcome=limited generation=3",
        ] {
            assert_eq!(Note::parse(comment), None, "{comment}");
        }
    }

    #[test]
    fn state_decides_what_the_frame_alone_does_not_tell() {
        let of = |outcome: &str| {
            Note::parse(&format!("portguard outcome={outcome} generation=1"))
                .map(|own| own.is_of_state())
        };
        for (outcome, is_of_state) in [
            ("rule", false),
            ("limited", true),
            ("banned", true),
            ("later-fragment", true),
            ("default-drop", false),
            ("malformed:tcp-short", false),
        ] {
            assert_eq!(of(outcome), Some(is_of_state), "{outcome}");
        }
    }
}
