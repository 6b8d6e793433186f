//! Sources that are banned: some for good, some until a moment that frames arrive just before and at, several around
//! the same source with different ends.

use super::{LIFETIMES, MILLISECOND, SECOND, Step, Story};
use crate::frame::{self, Frame, Packet};
use crate::generate::{Arrival, arrival};
use crate::policy::Prefix;
use crate::random::Random;

/// Narrow prefixes of IPv4 and IPv6, which may be banned for long, and wide ones.
const NARROW: [[u8; 4]; 2] = [[32, 32, 31, 24], [128, 128, 64, 64]];
const WIDE: [[u8; 4]; 2] = [[24, 16, 8, 1], [127, 65, 48, 1]];

/// How long a wide ban lasts at most. With [`LIFETIMES`] it has no moment in common.
const SHORT: u64 = 40;

impl Story {
    /// Sources are banned, or one is not any more; frames from there arrive.
    pub(super) fn ban(&mut self, random: &mut Random) {
        if !self.banned.is_empty() && random.one_in(3) {
            let index = random.below(self.banned.len());
            let source = self.banned.swap_remove(index);
            self.steps.push(Step::Unban { source });
            return;
        }
        let arrival = self.banned_arrival(random);
        let Ok(Frame::Packet(packet)) = frame::read(&arrival.frame) else {
            return self.arrive(arrival);
        };
        let mut ends = Vec::new();
        for _ in 0..=random.below(3) {
            ends.extend(self.ban_source_of(&packet, random));
        }
        self.arrive(arrival.clone());
        ends.sort_unstable();
        for end in ends {
            self.arrive_at_the_end(end, &arrival);
        }
    }

    /// Of somebody who was here before, or of somebody new.
    fn banned_arrival(&self, random: &mut Random) -> Arrival {
        let before = self.steps.iter().rev().take(30);
        let before: Vec<&Arrival> = before
            .filter_map(|step| match step {
                Step::Arrives(arrival) => Some(arrival),
                _ => None,
            })
            .collect();
        if before.is_empty() || random.one_in(2) {
            return arrival(&self.policy, random);
        }
        before[random.below(before.len())].clone()
    }

    /// Bans a prefix around the source of a packet. The answer is the end of a short ban.
    fn ban_source_of(&mut self, packet: &Packet, random: &mut Random) -> Option<u64> {
        let family = usize::from(packet.is_ipv6());
        let is_short = random.one_in(2);
        let (lengths, nanoseconds) = if is_short {
            (WIDE[family], Some(self.short_time(random)))
        } else if random.one_in(4) {
            (NARROW[family], None)
        } else {
            (NARROW[family], Some(random.pick(&LIFETIMES[..2])))
        };
        let source = Prefix::new(packet.source, random.pick(&lengths));
        self.banned.push(source);
        self.steps.push(Step::Ban {
            source,
            nanoseconds,
        });
        nanoseconds
            .filter(|_| is_short)
            .map(|lasts| self.now_ns + lasts)
    }

    /// A time whose end is close to nothing else's.
    fn short_time(&self, random: &mut Random) -> u64 {
        loop {
            let seconds = 1 + random.below(SHORT as usize) as u64;
            let time = seconds * SECOND + random.below(MILLISECOND as usize) as u64;
            if !self.is_near(self.now_ns + time) {
                return time;
            }
        }
    }

    /// The frame arrives at the last moment of a ban, and at the first after it.
    fn arrive_at_the_end(&mut self, end: u64, arrival: &Arrival) {
        for now_ns in [end - 1, end] {
            if now_ns > self.now_ns {
                self.advance_exactly_to(now_ns);
            }
            self.arrive(arrival.clone());
        }
    }
}
