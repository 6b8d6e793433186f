//! Where flows have their places, and who goes for another: on the same tables, in memory of the host.

mod memory;

use std::thread;

use portguard_common::abi::{LINE_WAYS, local_port};
use portguard_common::constant;
use portguard_common::flow_table::{Flow, FlowKey, add, find, flow, mix_v4, mix_v6, remove};
use portguard_common::limits::FLOW_LINES;
use portguard_common::mix::Seed;
use portguard_common::places::{self, Line as _};

use crate::memory::Memory;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000_000 * SECOND;
const SEED: Seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn tcp(number: u32) -> FlowKey {
    let addresses = mix_v4(SEED, [192, 0, 2, 1], number.to_be_bytes());
    FlowKey::new(SEED, addresses, local_port::TCP + 40_000, 443)
}

fn udp(number: u32) -> FlowKey {
    let addresses = mix_v4(SEED, [192, 0, 2, 1], number.to_be_bytes());
    FlowKey::new(SEED, addresses, local_port::UDP + 40_000, 53)
}

fn last_ns(memory: &Memory, key: FlowKey) -> Option<u64> {
    flow(&memory, key).map(|flow| flow.last_ns)
}

/// Keys whose first and second lines are the same ones, as many as asked for.
fn of_two_lines(key: fn(u32) -> FlowKey, count: usize) -> Vec<FlowKey> {
    // Few share two lines: these are made by hand from the digest of one.
    let mut all = vec![key(0)];
    let first = all[0];
    for number in 1_u64.. {
        if all.len() == count {
            break;
        }
        // Bits that choose no line.
        let digest = first.digest ^ number << 1 & 0x7e ^ (number >> 6) << 56;
        let other = FlowKey { digest, ..first };
        assert_eq!(other.lines(), first.lines());
        all.push(other);
    }
    all
}

#[test]
fn each_part_of_a_flow_is_in_its_digest() {
    let ours = [192, 0, 2, 1];
    let theirs = [198, 51, 100, 7];
    let v4 = |ours, theirs, index, port| {
        FlowKey::new(SEED, mix_v4(SEED, ours, theirs), index, port).digest
    };
    let mut all = vec![
        v4(ours, theirs, 40_000, 53),
        v4(theirs, ours, 40_000, 53),
        v4(ours, theirs, 40_000, 54),
        v4(ours, theirs, 40_001, 53),
        v4(ours, theirs, 0x1_0000 + 40_000, 53),
        v4(ours, theirs, 0x2_0000 + 40_000, 53),
        v4(ours, theirs, 53, 40_000),
    ];
    for bit in 0..32 {
        let flip = |address| (u32::from_be_bytes(address) ^ 1 << bit).to_be_bytes();
        all.push(v4(flip(ours), theirs, 40_000, 53));
        all.push(v4(ours, flip(theirs), 40_000, 53));
    }
    let v6 = |ours: u128, theirs: u128| {
        let halves = |number: u128| {
            let half = |number: u128| (number as u64).to_be_bytes();
            (half(number >> 64), half(number))
        };
        let addresses = mix_v6(SEED, halves(ours), halves(theirs));
        FlowKey::new(SEED, addresses, 40_000, 53).digest
    };
    let (ours, theirs) = (0x2001_0db8 << 96 | 1, 0x2001_0db8 << 96 | 2);
    all.extend([v6(ours, theirs), v6(theirs, ours)]);
    for bit in 0..128 {
        all.push(v6(ours ^ 1 << bit, theirs));
        all.push(v6(ours, theirs ^ 1 << bit));
    }
    let count = all.len();
    assert!(all.iter().all(|digest| digest % 2 == 1));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    // And who does not know one of the random numbers knows nothing.
    for seed in [[!SEED[0], SEED[1]], [SEED[0], !SEED[1]]] {
        let addresses = mix_v4(seed, [192, 0, 2, 1], [198, 51, 100, 7]);
        let key = FlowKey::new(seed, addresses, 40_000, 53);
        assert!(!all.contains(&key.digest));
    }
}

#[test]
fn tcp_and_the_rest_have_tables_of_their_own() {
    let key = |index| FlowKey::new(SEED, 1, index, 443);
    for port in [0, 1, 40_000, 65_535] {
        let tcp = key(local_port::TCP + port);
        assert_eq!(tcp.table(), constant::Memory::TcpFlows);
        for first in [local_port::UDP, local_port::ECHO] {
            let other = key(first + port);
            assert_eq!(other.table(), constant::Memory::OtherFlows);
        }
    }
}

#[test]
fn keys_spread_over_all_lines() {
    let mut used = vec![0; FLOW_LINES as usize];
    for number in 0..FLOW_LINES {
        for line in tcp(number).lines() {
            used[line as usize] += 1;
        }
    }
    // Two for each line, by chance: one in eight is named by none, some by many, none by very many.
    let unused = used.iter().filter(|count| **count == 0).count() as f64;
    let share = unused / used.len() as f64;
    assert!((0.13..0.14).contains(&share), "{share}");
    assert!(used.iter().all(|count| *count < 20));
}

#[test]
fn half_of_the_places_are_enough_for_nearly_as_many_flows() {
    let memory = Memory::new(FLOW_LINES);
    let count = FLOW_LINES * LINE_WAYS / 2;
    for number in 0..count {
        assert!(add(&&memory, tcp(number), NOW + u64::from(number)));
    }
    let known = (0..count).filter(|number| {
        let time = last_ns(&memory, tcp(*number));
        assert!(time.is_none_or(|time| time == NOW + u64::from(*number)));
        time.is_some()
    });
    let lost = count - known.count() as u32;
    assert!(lost < count / 1000, "{lost} of {count}");
    for number in 0..count {
        remove(&&memory, tcp(number));
        assert_eq!(last_ns(&memory, tcp(number)), None);
    }
    assert!(memory.is_empty());
}

#[test]
fn the_first_line_is_filled_up_to_one_place_and_then_both_alike() {
    let memory = Memory::new(FLOW_LINES);
    let keys = of_two_lines(udp, 9);
    let [first, second] = keys[0].lines();
    let line_of = |key: FlowKey| {
        [first, second].map(|line| places::find(&&memory, key.digest, [line; 2]).is_some())
    };
    let (in_first, in_second) = ([true, false], [false, true]);
    let expected = [
        in_first, in_first, in_first, in_second, in_second, in_second, in_first, in_second,
    ];
    for (key, expected) in keys.iter().zip(expected) {
        assert!(add(&&memory, *key, NOW));
        assert_eq!(line_of(*key), expected);
    }
    // Where both have as many, the first one, whichever place it is.
    remove(&&memory, keys[3]);
    remove(&&memory, keys[6]);
    assert!(add(&&memory, keys[8], NOW));
    assert_eq!(line_of(keys[8]), in_first);
}

#[test]
fn who_has_sent_nothing_for_the_longest_time_goes() {
    for (key, lasts) in [
        (tcp as fn(u32) -> FlowKey, 5 * 24 * 3600 * SECOND),
        (udp, 180 * SECOND),
    ] {
        let memory = Memory::new(FLOW_LINES);
        let keys = of_two_lines(key, 12);
        // Not in the order in which they came.
        let times = [7, 3, 5, 1, 8, 2, 6, 4].map(|time| NOW + time * 100);
        for (key, time) in keys.iter().zip(times) {
            assert!(add(&&memory, *key, time));
        }
        // All eight places are theirs.
        for (key, time) in keys.iter().zip(times) {
            assert_eq!(last_ns(&memory, *key), Some(time));
        }
        // Each that comes takes the place of the one that is the oldest then, and of nobody else.
        let mut gone = vec![];
        for (key, oldest) in keys[8..].iter().zip([3, 5, 1, 7]) {
            assert!(add(&&memory, *key, NOW + lasts));
            gone.push(oldest);
            for (place, (key, time)) in keys.iter().zip(times).enumerate() {
                let expected = (!gone.contains(&place)).then_some(time);
                assert_eq!(last_ns(&memory, *key), expected, "{place}");
            }
        }
    }
}

#[test]
fn what_is_over_goes_first() {
    // The one that closes sent later than all others, but is over sooner.
    let later = 3000 * SECOND;
    for (elapsed, goes) in [(60 * SECOND, 0), (60 * SECOND + 1, 5)] {
        let memory = Memory::new(FLOW_LINES);
        let keys = of_two_lines(tcp, 9);
        for (key, time) in keys.iter().zip(0..8) {
            assert!(add(&&memory, *key, NOW + time));
        }
        let Some((line, way)) = find(&&memory, keys[5]) else {
            panic!("no place");
        };
        let closing = Flow {
            last_ns: NOW + later,
            closing: true,
        };
        line.set_word(way, closing.word());
        assert!(add(&&memory, keys[8], NOW + later + elapsed));
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(flow(&&memory, *key).is_none(), place == goes, "{place}");
        }
    }
    // A datagram's flow is over after three minutes, and then there is room in the first line.
    let memory = Memory::new(FLOW_LINES);
    let keys = of_two_lines(udp, 9);
    for (key, time) in keys.iter().zip([1, 0, 0, 0, 0, 0, 0, 0]) {
        assert!(add(&&memory, *key, NOW + time));
    }
    assert!(add(&&memory, keys[8], NOW + 180 * SECOND + 1));
    assert_eq!(last_ns(&memory, keys[0]), Some(NOW + 1));
    assert_eq!(
        keys[1..8]
            .iter()
            .filter(|key| flow(&&memory, **key).is_none())
            .count(),
        1
    );
}

#[test]
fn a_place_that_is_claimed_is_nobodys() {
    let memory = Memory::new(FLOW_LINES);
    let keys = of_two_lines(udp, 9);
    for key in &keys[..8] {
        assert!(add(&&memory, *key, NOW));
    }
    // As somebody leaves it who is stopped in the middle.
    for key in &keys[..7] {
        let Some((line, way)) = find(&&memory, *key) else {
            panic!("no place");
        };
        assert!(line.replace_digest(way, key.digest, 2));
    }
    for key in &keys[..8] {
        assert!(add(&&memory, *key, NOW + 1));
        // There is one place left for all.
        let known = keys.iter().filter(|key| find(&&memory, **key).is_some());
        assert_eq!(known.count(), 1);
        assert_eq!(last_ns(&memory, *key), Some(NOW + 1));
    }
    let Some((line, way)) = find(&&memory, keys[7]) else {
        panic!("no place");
    };
    assert!(line.replace_digest(way, keys[7].digest, 2));
    assert!(!add(&&memory, keys[8], NOW + 2));
}

#[test]
fn a_flow_with_two_places_is_what_its_first_one_says() {
    let memory = Memory::new(FLOW_LINES);
    // As two CPUs add it at the same moment.
    for time in [1, 2] {
        assert!(add(&&memory, udp(0), NOW + time));
    }
    assert_eq!(last_ns(&memory, udp(0)), Some(NOW + 1));
    // What leaves then goes on with one of them.
    let Some((line, way)) = find(&&memory, udp(0)) else {
        panic!("no place");
    };
    line.set_word(way, Flow::sent_at(NOW + 4).word());
    assert_eq!(last_ns(&memory, udp(0)), Some(NOW + 4));
}

#[test]
fn cpus_that_add_at_the_same_moment_lose_nothing() {
    const THREADS: u32 = 4;
    const EACH: u32 = 10_000;
    let (of_udp, of_tcp) = (Memory::new(FLOW_LINES), Memory::new(FLOW_LINES));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (of_udp, of_tcp) = (&of_udp, &of_tcp);
            scope.spawn(move || {
                for number in 0..EACH {
                    // One that all add, and one of its own.
                    assert!(add(&of_udp, udp(number), NOW));
                    let own = tcp(EACH * thread + number);
                    assert!(add(&of_tcp, own, NOW + u64::from(thread)));
                }
            });
        }
    });
    for number in 0..EACH * THREADS {
        let expected = Some(NOW + u64::from(number / EACH));
        assert_eq!(last_ns(&of_tcp, tcp(number)), expected, "{number}");
    }
    // Those that have several places are gone from all of them.
    for number in 0..EACH {
        remove(&&of_udp, udp(number));
        assert_eq!(last_ns(&of_udp, udp(number)), None, "{number}");
    }
}
