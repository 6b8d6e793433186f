//! What went wrong in other packet filters: each test is a kind of fault that users reported there. `p`
//! faults are of packets, `m` faults of matching; the numbers tell the kinds apart.

mod addresses;
mod headers;
mod policy;
mod survival;
