//! Memory that the allocator keeps.

/// Gives the kernel back what nobody uses any more. A policy is compiled and loaded by way of several copies of its tables, which the
/// allocator would keep for the next time, months later perhaps. Takes some milliseconds; other C libraries than glibc have no such call.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: any thread may ask at any time (malloc_trim(3)); it touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
