//! Packets and bytes of a cell or limit in one word: it is read and written once for a packet, and twice as many lie in the nearest cache as of two
//! numbers each.
//!
//! The lowest bits of the word are packets, the rest bytes, which count all round. Half of that is a step. What has no room in the word is in a
//! [`Counter`] beside it, which seldom changes: the steps in the place of its bytes, and the packets that left the word with them. The highest bit of
//! the word tells whether the steps are even or odd in number, and so whether the two belong together.

use super::Counter;

/// The bits of packets.
const PACKET_BITS: u32 = 30;

/// Packets of a word.
const PACKETS: u64 = (1 << PACKET_BITS) - 1;

/// Bytes of a step.
pub const STEP: u64 = 1 << (u64::BITS - 1 - PACKET_BITS);

/// The least bytes of a frame: its Ethernet header, without which the kernel passes none on.
const LEAST_BYTES: u64 = 14;

// Packets leave the word before they have no room there.
const _: () = assert!(STEP / LEAST_BYTES < PACKETS);

/// The word with a packet of so many bytes, fewer than [`STEP`].
#[inline(always)]
#[must_use]
pub const fn add(word: u64, bytes: u64) -> u64 {
    word.wrapping_add((bytes << PACKET_BITS) + 1)
}

/// Whether a step was taken between two words.
#[inline(always)]
#[must_use]
pub const fn is_step(before: u64, after: u64) -> bool {
    (before ^ after).cast_signed() < 0
}

/// Packets of a word.
#[inline(always)]
#[must_use]
pub const fn packets(word: u64) -> u64 {
    word & PACKETS
}

/// All packets and bytes of a word with its counter; `None` where that is as it was before the word's last step, or as it will be after its next one.
#[inline(always)]
#[must_use]
pub const fn total(steps: Counter, word: u64) -> Option<Counter> {
    let bytes = word >> PACKET_BITS;
    if steps.bytes % 2 != bytes / STEP {
        return None;
    }
    Some(Counter {
        packets: steps.packets + packets(word),
        bytes: steps.bytes * STEP + bytes % STEP,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds a packet as a CPU does.
    fn count(steps: &mut Counter, word: &mut u64, bytes: u64) {
        let after = add(*word, bytes);
        if is_step(*word, after) {
            let before = *steps;
            steps.bytes += 1;
            assert_eq!(total(*steps, *word), None);
            steps.packets += packets(after);
            assert_eq!(total(*steps, *word), None);
            *word = after - packets(after);
            assert_eq!(total(before, *word), None);
        } else {
            *word = after;
        }
    }

    #[test]
    fn packets_and_bytes_are_exact_over_all_steps() {
        for length in [60, 1_514, 65_535, STEP / 3, STEP - 1] {
            let (mut steps, mut word) = (Counter::default(), 0);
            for number in 1..=100_000 {
                count(&mut steps, &mut word, length);
                let all = Counter {
                    packets: number,
                    bytes: number * length,
                };
                assert_eq!(total(steps, word), Some(all), "{length}");
            }
        }
    }

    #[test]
    fn the_shortest_frames_of_a_step_have_room() {
        let (mut steps, mut word) = (Counter::default(), 0);
        // As many as there may be, all but the last in one go.
        let packets = STEP / LEAST_BYTES;
        word += packets * (LEAST_BYTES << PACKET_BITS) + packets;
        for _ in 0..2 {
            count(&mut steps, &mut word, LEAST_BYTES);
        }
        let all = Counter {
            packets: packets + 2,
            bytes: (packets + 2) * LEAST_BYTES,
        };
        assert_eq!(total(steps, word), Some(all));
        assert_eq!(steps.bytes, 1);
    }
}
