//! The kernel's clocks as its programs read them.

/// Nanoseconds of the monotonic clock: what `bpf_ktime_get_ns` returns.
pub(super) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
