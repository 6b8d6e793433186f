//! The clocks of the kernel by which its programs go, as seen from here.

use std::io;
use std::num::NonZeroU32;

use aya_obj::generated::{BPF_CALL, BPF_EXIT, BPF_JMP, bpf_func_id, bpf_insn};
use portguard_common::ticks::Ticks;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use super::sys;

/// The clock that advances with each timer tick.
const TICKING: ClockId = ClockId::MonotonicCoarse;

/// How often to try where this process is held up between reading the clock and reading the count of ticks.
const TRIES: usize = 100;

/// The time of the kernel's monotonic clock in nanoseconds, which state is kept in.
#[must_use]
pub fn monotonic_ns() -> u64 {
    ns(clock_gettime(ClockId::Monotonic))
}

/// The time of the kernel's boot-time clock in nanoseconds: it goes on while the host sleeps, and nobody can set it.
#[must_use]
pub fn boot_time_ns() -> u64 {
    ns(clock_gettime(ClockId::Boottime))
}

/// How the kernel's count of timer ticks and its monotonic clock go together.
pub(super) fn ticks() -> io::Result<Ticks> {
    let tick_ns = u32::try_from(ns(clock_getres(TICKING))).map_err(io::Error::other)?;
    let tick_ns = NonZeroU32::try_from(tick_ns).map_err(io::Error::other)?;
    for _ in 0..TRIES {
        let before = ns(clock_gettime(TICKING));
        let count = sys::run_once(&count_of_ticks())?;
        if ns(clock_gettime(TICKING)) - before <= tick_ns.get().into() {
            return Ok(Ticks::new(tick_ns, count, before));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A program that returns the lower half of the count, which no system call tells.
fn count_of_ticks() -> [bpf_insn; 2] {
    let instruction = |operation: u32, operand| bpf_insn {
        code: (BPF_JMP | operation) as u8,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm: operand,
    };
    [
        instruction(BPF_CALL, bpf_func_id::BPF_FUNC_jiffies64 as i32),
        instruction(BPF_EXIT, 0),
    ]
}

fn ns(time: Timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use portguard_common::abi::{LINE_WAYS, symbol};
    use portguard_policy::{NoFiles, check, compile};

    use super::*;
    use crate::dataplane::places::mapped;
    use crate::dataplane::{Arrival, Generation, LoadOptions};

    const OUR_PORT: u16 = 40_000;

    /// A datagram from 192.0.2.1 to the DNS port of 203.0.113.1.
    fn question() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([192, 0, 2, 1, 203, 0, 113, 1]);
        frame.extend(OUR_PORT.to_be_bytes());
        frame.extend([0, 53, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn the_programs_write_the_time_of_the_monotonic_clock() {
        let text = "version: 1\ndefault: drop\nreplies: pass\nrules: []\n";
        let tables = compile(&check(text, &mut NoFiles).unwrap().policy, &[]).unwrap();
        let options = LoadOptions {
            trace: true,
            ..LoadOptions::default()
        };
        let generation = Generation::load(&tables, &options).unwrap_or_else(|error| {
            panic!("this test needs a kernel that runs the program: {error}")
        });
        let flows = generation.map(symbol::OTHER_FLOWS).unwrap();
        let (flows, _) = mapped(Some(flows), symbol::OTHER_FLOWS).unwrap();
        let two_ticks = 2 * ns(clock_getres(TICKING));

        let before = ns(clock_gettime(TICKING));
        let by_the_kernel = Arrival {
            ifindex: 0,
            now_ns: 0,
        };
        generation.leaves(&question(), by_the_kernel).unwrap();
        let after = ns(clock_gettime(TICKING));

        // There is one flow: a line has the digests of its flows, and then their times.
        let (lines, _) = flows.all().as_chunks::<{ 2 * LINE_WAYS as usize }>();
        let times = lines.iter().flat_map(|line| &line[LINE_WAYS as usize..]);
        let times = times.map(|time| time.load(Ordering::Relaxed));
        let times: Vec<u64> = times.filter(|time| *time != 0).collect();
        let [sent] = times[..] else {
            panic!("{times:?}");
        };
        assert!(
            (before - two_ticks..=after + two_ticks).contains(&sent),
            "{before} {sent} {after}"
        );
    }
}
