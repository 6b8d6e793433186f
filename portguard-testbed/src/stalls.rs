//! Machines that stand still. The processors of a virtual machine do other things now and then, and its disk waits for others, for
//! seconds: then what should be over is not, and what should last is over, and nobody is to blame.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How often it is looked whether the machine goes on.
const TICK: Duration = Duration::from_millis(20);

/// What takes longer than this between two ticks is a stall. No processor is so busy with tests alone.
const STALL: Duration = Duration::from_millis(150);

/// How often a test is tried while the machine stands still.
const ATTEMPTS: usize = 10;

/// Runs a test whose outcome depends on time: on what is seen while something lasts, or on how soon something comes. If it fails
/// although the machine went on all the time, it has failed. If the machine stood still meanwhile, that says nothing, and it is run
/// once more, ten times at most. The attempt makes all that it needs anew.
///
/// # Panics
///
/// As the attempt does.
pub fn in_time<T>(mut attempt: impl FnMut() -> T) -> T {
    // The message of each failure is printed, and is shown if the test fails in the end.
    let attempt = || catch_unwind(AssertUnwindSafe(&mut attempt));
    match attempts(attempt, Result::is_ok, Watch::start, Watch::end) {
        Ok(value) => value,
        Err(failure) => resume_unwind(failure),
    }
}

/// Waits until something is so; `false` if it is not within this time although the machine went on all the time. If the machine stood
/// still meanwhile, it is waited for once more, ten times at most.
#[must_use]
pub fn soon(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let attempt = || {
        let begin = Instant::now();
        loop {
            if is_so() {
                return true;
            }
            if begin.elapsed() >= limit {
                return false;
            }
            thread::sleep(TICK / 2);
        }
    };
    attempts(attempt, |is_so| *is_so, Watch::start, Watch::end)
}

/// The first outcome that is good, or that came while the machine went on, or the last one.
fn attempts<T, W>(
    mut attempt: impl FnMut() -> T,
    is_good: impl Fn(&T) -> bool,
    watch: impl Fn() -> W,
    longest_pause: impl Fn(W) -> Duration,
) -> T {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let watching = watch();
        let outcome = attempt();
        let pause = longest_pause(watching);
        if is_good(&outcome) || pause < STALL || left == 0 {
            return outcome;
        }
    }
}

/// A look at every processor and at the disk with the temporary files.
struct Watch {
    ends: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Duration>>,
}

impl Watch {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        // Before anything starts: it may stand still until they do.
        let begin = Instant::now();
        let usable = sched_getaffinity(None).expect("the processors of this thread");
        let mut watchers: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|processor| usable.is_set(*processor))
            .map(|processor| {
                let ends = Arc::clone(&ends);
                thread::spawn(move || {
                    let mut own = CpuSet::new();
                    own.set(processor);
                    sched_setaffinity(None, &own).expect("a processor of our own");
                    longest_pause(begin, &ends, || {})
                })
            })
            .collect();
        let file = tempfile::tempfile().expect("a temporary file");
        watchers.push({
            let ends = Arc::clone(&ends);
            thread::spawn(move || longest_pause(begin, &ends, || write(&file)))
        });
        Self { ends, watchers }
    }

    /// The longest pause since the start.
    fn end(self) -> Duration {
        self.ends.store(true, Ordering::Relaxed);
        let pauses = self.watchers.into_iter().map(|watcher| {
            // One that panicked saw something, too.
            watcher.join().unwrap_or(Duration::MAX)
        });
        pauses.max().unwrap_or_default()
    }
}

/// Writes as the daemon does: what it says is on the disk when it goes on.
fn write(file: &File) {
    let written = file.write_all_at(b"x", 0).and_then(|()| file.sync_all());
    written.expect("room in the folder of temporary files");
}

/// Does something in every tick; the longest time from one to the next, the first of which was at `begin`.
fn longest_pause(begin: Instant, ends: &AtomicBool, tick: impl Fn()) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = begin;
    loop {
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
        if ends.load(Ordering::Relaxed) {
            return longest;
        }
        tick();
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often something that fails so often is tried on a machine with such a pause, and whether it is good in the end.
    fn tried(failures: usize, pause: Duration) -> (usize, bool) {
        let mut count = 0;
        let attempt = || {
            count += 1;
            count > failures
        };
        let is_good = attempts(attempt, |is_good| *is_good, || pause, |pause| pause);
        (count, is_good)
    }

    #[test]
    fn what_fails_counts_unless_the_machine_stood_still() {
        assert_eq!(tried(0, Duration::ZERO), (1, true));
        assert_eq!(tried(1, STALL - Duration::from_nanos(1)), (1, false));
        assert_eq!(tried(1, STALL), (2, true));
        assert_eq!(tried(ATTEMPTS - 1, STALL), (ATTEMPTS, true));
        assert_eq!(tried(ATTEMPTS, STALL), (ATTEMPTS, false));
    }

    #[test]
    fn what_fails_on_a_machine_that_goes_on_fails() {
        let never = || catch_unwind(|| in_time(|| panic!("never")));
        assert!(never().is_err());
        assert_eq!(in_time(|| 7), 7);
        assert!(!soon(Duration::ZERO, || false));
        // At least once, however little time there is.
        assert!(soon(Duration::ZERO, || true));
    }

    #[test]
    fn a_tick_that_takes_long_is_seen() {
        let ends = AtomicBool::new(false);
        let begin = Instant::now();
        let pause = longest_pause(begin, &ends, || {
            thread::sleep(STALL);
            ends.store(true, Ordering::Relaxed);
        });
        assert!(pause >= STALL + TICK, "{pause:?}");
        // Also before the first tick.
        let begin = Instant::now() - STALL;
        assert!(longest_pause(begin, &AtomicBool::new(true), || {}) >= STALL);
    }
}
