//! The frames that are measured. Addresses and ports of most are drawn anew for each run.

use etherparse::PacketBuilder;

const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The shortest frame that Ethernet carries, without its check sequence.
const SHORTEST: usize = 60;

/// A TCP SYN to port 22.
pub(crate) fn syn() -> Vec<u8> {
    finish(|frame| {
        PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC)
            .ipv4([203, 0, 113, 7], [192, 0, 2, 1], 64)
            .tcp(40_000, 22, 1, 64_240)
            .syn()
            .write(frame, &[])
    })
}

/// A UDP datagram over IPv4.
pub(crate) fn udp_v4() -> Vec<u8> {
    finish(|frame| {
        PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC)
            .ipv4([203, 0, 113, 7], [192, 0, 2, 1], 64)
            .udp(40_000, 53)
            .write(frame, &[0; 18])
    })
}

/// A UDP datagram over IPv6.
pub(crate) fn udp_v6() -> Vec<u8> {
    finish(|frame| {
        PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC)
            .ipv6([0xfd; 16], [0xfc; 16], 64)
            .udp(40_000, 53)
            .write(frame, &[0; 18])
    })
}

fn finish<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame).unwrap_or_else(|error| unreachable!("a vector takes every byte: {error:?}"));
    frame.resize(SHORTEST.max(frame.len()), 0);
    frame
}
