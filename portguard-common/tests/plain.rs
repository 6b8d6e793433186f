//! What is handed on with the headers of a plain frame: the frame itself, of which what has been found to be there is not
//! asked for again.

mod frames;

use std::cell::Cell;

use frames::{Extension, HOP_BY_HOP, Ipv4, Ipv6, Segment, ethernet, tcp, udp};
use portguard_common::packet::{Frame, Headers, parse};
use portguard_common::plain::{Direct, Plain, with_plain};

/// The end of the shortest transport header, that of UDP: what is known of each plain frame of a family.
const KNOWN_V4: u32 = 14 + 20 + 8;
const KNOWN_V6: u32 = 14 + 40 + 8;

/// A frame that counts what it is asked for.
struct Asked<'f> {
    bytes: &'f [u8],
    loads: Cell<u32>,
    forgotten: Cell<u32>,
}

impl<'f> Asked<'f> {
    fn new(bytes: &'f [u8]) -> Self {
        Self {
            bytes,
            loads: Cell::new(0),
            forgotten: Cell::new(0),
        }
    }
}

impl Frame for Asked<'_> {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.loads.set(self.loads.get() + 1);
        self.bytes.load(offset)
    }

    fn forget(&self, offset: u32) -> u32 {
        self.forgotten.set(self.forgotten.get() + 1);
        offset
    }

    fn forget_number(&self, number: u32) -> u32 {
        self.forgotten.set(self.forgotten.get() + 1);
        number
    }
}

impl<'f> Direct for Asked<'f> {
    type View = &'f [u8];

    fn view<const N: usize>(&self, offset: u32) -> Option<&'f [u8]> {
        self.bytes.view::<N>(offset)
    }
}

/// Reads all of what is handed on, and compares it with the bytes of the frame.
struct Compare<'f>(&'f Asked<'f>);

impl Compare<'_> {
    fn loads<const N: usize, F: Frame>(&self, frame: &F) {
        for offset in 0..self.0.bytes.len() + 3 {
            let expected = self.0.bytes.get(offset..offset + N);
            let loaded = frame.load::<N>(offset as u32);
            assert_eq!(
                loaded.as_ref().map(<[u8; N]>::as_slice),
                expected,
                "{N} bytes at {offset}"
            );
        }
    }
}

impl Plain for Compare<'_> {
    type Output = ();

    fn with<F: Frame>(&self, frame: &F, headers: &Headers) {
        assert_eq!(parse(&self.0.bytes), Ok(*headers));
        self.loads::<1, F>(frame);
        self.loads::<2, F>(frame);
        self.loads::<4, F>(frame);
        self.loads::<8, F>(frame);
        self.loads::<20, F>(frame);
        let before = self.0.forgotten.get();
        for number in [0, 1, 2, 0xffff_ffff] {
            assert_eq!(frame.forget(number), number);
            assert_eq!(frame.forget_number(number), number);
        }
        assert_eq!(self.0.forgotten.get() - before, 8);
    }
}

/// How often the frame is asked for bytes that were found to be there, and for the first one before them and behind them.
struct Count<'f>(&'f Asked<'f>, u32);

impl Plain for Count<'_> {
    type Output = [u32; 3];

    fn with<F: Frame>(&self, frame: &F, _headers: &Headers) -> [u32; 3] {
        let count = |offsets: std::ops::Range<u32>| {
            let before = self.0.loads.get();
            for offset in offsets {
                assert_eq!(
                    frame.load::<1>(offset).map(|[byte]| byte),
                    self.0.bytes.get(offset as usize).copied()
                );
            }
            self.0.loads.get() - before
        };
        [count(12..self.1), count(11..12), count(self.1..self.1 + 1)]
    }
}

fn segments() -> [Segment; 3] {
    [
        tcp(0x1234, 22),
        udp(0x1234, 53, b""),
        udp(0x1234, 53, b"query"),
    ]
}

/// Frames of which no two bytes in a row are alike in the addresses, with the bytes that are known of each.
fn plain_frames() -> Vec<(Vec<u8>, u32)> {
    let mut all = Vec::new();
    for segment in segments() {
        for (mut frame, known) in [
            (ethernet(Ipv4::carrying(segment.clone())), KNOWN_V4),
            (ethernet(Ipv6::carrying(segment.clone())), KNOWN_V6),
        ] {
            let addresses = if known == KNOWN_V4 { 26..34 } else { 22..54 };
            for (place, byte) in frame[addresses].iter_mut().enumerate() {
                *byte = place as u8 + 0x81;
            }
            all.push((frame, known));
        }
    }
    all
}

#[test]
fn what_is_handed_on_reads_as_the_frame_does() {
    for (frame, _) in plain_frames() {
        let asked = Asked::new(&frame);
        assert_eq!(
            with_plain(&asked, &Compare(&asked)),
            Some(()),
            "{frame:02x?}"
        );
        let slice = frame.as_slice();
        assert_eq!(with_plain(&slice, &Load(26)), Some(slice.load(26)));
    }
}

/// Four bytes of what is handed on.
struct Load(u32);

impl Plain for Load {
    type Output = Option<[u8; 4]>;

    fn with<F: Frame>(&self, frame: &F, _headers: &Headers) -> Option<[u8; 4]> {
        frame.load(self.0)
    }
}

#[test]
fn what_was_found_to_be_there_is_not_asked_for_again() {
    for (frame, known) in plain_frames() {
        let asked = Asked::new(&frame);
        let counted = with_plain(&asked, &Count(&asked, known));
        assert_eq!(counted, Some([0, 1, 1]), "{frame:02x?}");
    }
}

/// The extension header at an offset of what is handed on.
struct ReadExtension(u32);

impl Plain for ReadExtension {
    type Output = Option<(u8, u32)>;

    fn with<F: Frame>(&self, frame: &F, _headers: &Headers) -> Option<(u8, u32)> {
        let extension = frame.extension(HOP_BY_HOP, self.0, u32::MAX)?;
        Some((extension.next, extension.end))
    }
}

#[test]
fn extension_headers_are_read_from_the_frame() {
    // Behind the header of UDP stands what could be an extension header of 16 bytes, followed by TCP (RFC 8200, 4.3).
    let mut header = [0; 16];
    [header[0], header[1]] = [6, 1];
    for (ip_len, frame) in [
        (20, ethernet(Ipv4::carrying(udp(1, 2, &header)))),
        (40, ethernet(Ipv6::carrying(udp(1, 2, &header)))),
    ] {
        let asked = Asked::new(&frame);
        let offset = 14 + ip_len + 8;
        let read = |offset| with_plain(&asked, &ReadExtension(offset));
        assert_eq!(read(offset), Some(Some((6, offset + 16))));
        // It would end a byte behind the frame.
        assert_eq!(read(offset + 16), Some(None));
    }
    // A frame that has one is not plain.
    let segment = tcp(1, 2).behind(Extension::Octets(HOP_BY_HOP, 0));
    let frame = ethernet(Ipv6::carrying(segment));
    assert_eq!(with_plain(&frame.as_slice(), &ReadExtension(54)), None);
}
