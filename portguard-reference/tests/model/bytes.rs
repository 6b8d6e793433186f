//! Headers in hexadecimal. Each has the lengths of itself and what usually follows it.

pub(crate) const MAC: &str = "020000000001 020000000002";

/// 192.0.2.1 to 192.0.2.2, 40 bytes in all, TTL 64, TCP.
pub(crate) const IPV4_TCP: &str = "4500 0028 0000 0000 4006 0000 c0000201 c0000202";
/// 28 bytes in all, UDP.
pub(crate) const IPV4_UDP: &str = "4500 001c 0000 0000 4011 0000 c0000201 c0000202";
/// 2001:db8::1 to 2001:db8::2, payload 20, TCP, hop limit 64.
pub(crate) const IPV6_TCP: &str =
    "60000000 0014 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002";

/// 5000 to 22, data offset 5.
pub(crate) const TCP_22: &str = "1388 0016 00000001 00000000 5002 0400 0000 0000";
/// 5000 to 53, length 8.
pub(crate) const UDP_53: &str = "1388 0035 0008 0000";

/// The bytes of some hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in `{text}`");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// A frame with this behind the addresses.
pub(crate) fn frame(parts: &[&str]) -> Vec<u8> {
    let mut frame = hex(MAC);
    for part in parts {
        frame.extend(hex(part));
    }
    frame
}

/// An IPv6 frame with this next header, hop limit and payload.
pub(crate) fn ipv6(next: u8, hop_limit: u8, payload: &str) -> Vec<u8> {
    let payload = hex(payload);
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = frame(&["86dd 60000000"]);
    frame.extend(length.to_be_bytes());
    frame.extend([next, hop_limit]);
    frame.extend(hex(
        "20010db8000000000000000000000001 20010db8000000000000000000000002",
    ));
    frame.extend(payload);
    frame
}

/// An IPv4 frame without options, with this fragment field, TTL, protocol and payload.
pub(crate) fn ipv4(fragment: u16, ttl: u8, protocol: u8, payload: &str) -> Vec<u8> {
    let payload = hex(payload);
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut frame = frame(&["0800 4500"]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([ttl, protocol, 0, 0]);
    frame.extend(hex("c0000201 c0000202"));
    frame.extend(payload);
    frame
}

/// The frame from its destination to its source, with the header behind IP (without options) as it is.
pub(crate) fn turned(mut frame: Vec<u8>) -> Vec<u8> {
    let (at, length) = if frame[12..14] == [0x08, 0x00] {
        (26, 4)
    } else {
        (22, 16)
    };
    frame[at..at + 2 * length].rotate_left(length);
    frame
}

/// A TCP header with these ports and flags.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8) -> String {
    format!("{source:04x} {destination:04x} 00000001 00000000 50{flags:02x} 0400 0000 0000")
}

/// A UDP header with these ports, and data.
pub(crate) fn udp(source: u16, destination: u16, data: usize) -> String {
    let length = 8 + data;
    let data = "00".repeat(data);
    format!("{source:04x} {destination:04x} {length:04x} 0000 {data}")
}
