//! Names of the maps and globals in the object file.

/// The level from which on the programs tell what they think, frozen in `.rodata` (aya-log).
pub const DIAGNOSTICS_LEVEL: &str = "AYA_LOG_LEVEL";
/// The ring for that.
pub const DIAGNOSTICS: &str = "AYA_LOGS";
/// The table of services, frozen with them: a cell by [`crate::abi::service`] index.
pub const SERVICES: &str = "SERVICES";
/// The table of cells, frozen with them: a [`crate::abi::Cell`] by number.
pub const CELLS: &str = "CELLS";
/// The frozen classes of VLAN IDs.
pub const VLAN_CLASSES: &str = "VLAN_CLASSES";
/// The frozen classes of interfaces, by [`crate::abi::interface_entry`].
pub const INTERFACE_CLASSES: &str = "INTERFACE_CLASSES";
/// The section of the tables of 16 bits.
pub const HALVES: &str = ".rodata.halves";
/// The section of the tables of 32 bits.
pub const WORDS: &str = ".rodata.words";
/// The section of the rows of sparse stages: [`crate::abi::Row`]s.
pub const ROWS: &str = ".rodata.rows";
/// The section of the nodes of packed tries: [`crate::abi::PackedNode`]s.
pub const NODES: &str = ".rodata.nodes";
/// The section of the [`crate::abi::Limit`]s of all cells.
pub const LIMITS: &str = ".rodata.limits";
/// What CPUs count: [`crate::abi::slot`]s, in one element.
pub const SLOTS: &str = "SLOTS";
/// The same where CPUs count in pages: [`crate::abi::CounterPage`] by page, per CPU.
pub const COUNTERS: &str = "COUNTERS";
/// The ring of events: an [`crate::abi::EventHeader`] with what follows it.
pub const EVENTS: &str = "EVENTS";
/// The groups of events: [`crate::abi::HALVES`] an element, by counter.
pub const EVENT_GROUPS: &str = "EVENT_GROUPS";
/// How many events may be told: a `u64` by [`crate::abi::credit`].
pub const EVENT_CREDITS: &str = "EVENT_CREDITS";
/// What became of events: [`crate::abi::EventCountPage`] by page of groups, per CPU.
pub const EVENT_COUNTS: &str = "EVENT_COUNTS";
/// Drops by protocol and port, in pages: [`crate::abi::DropPage`] by page, per CPU.
pub const DROPS: &str = "DROPS";
/// What there is one of for the whole host: a `u64` by [`crate::abi::host`].
pub const HOST: &str = "HOST";
/// The buckets of rules: a [`crate::abi::Bucket`] each.
pub const RULE_BUCKETS: &str = "RULE_BUCKETS";
/// The TCP flows that this side started: [`crate::limits::FLOW_LINES`] of [`crate::abi::CacheLine`]s, see [`crate::flow_table`].
pub const TCP_FLOWS: &str = "TCP_FLOWS";
/// The others, likewise.
pub const OTHER_FLOWS: &str = "OTHER_FLOWS";
/// When a packet last left, by [`crate::abi::local_port`]: a byte, see [`crate::last_sent`].
pub const LAST_SENT: &str = "LAST_SENT";
/// When a UDP port closed, by port, in nanoseconds of the kernel's monotonic clock: a `u64`, 0 for never.
pub const CLOSED_PORTS: &str = "CLOSED_PORTS";
/// What is banned: a [`crate::abi::BanEnd`] by [`crate::abi::BanKey`]. For the daemon alone.
pub const BANS: &str = "BANS";
/// Where the programs look that up: [`crate::abi::CacheLine`]s of [`crate::ban_table`].
pub const BAN_PLACES: &str = "BAN_PLACES";
/// Which of that nobody has: words of bits, see [`crate::ban_filter`].
pub const BAN_FILTER: &str = "BAN_FILTER";
/// The map of the [`crate::abi::BanLengths`], which are data of the programs: they read them without a look-up.
pub const BAN_LENGTHS: &str = ".bss.bans";
/// What there is in that map.
pub const BAN_LENGTHS_VARIABLE: &str = "BAN_LENGTHS";
/// The program that sees what leaves.
pub const EGRESS: &str = "portguard_egress";
/// Two random numbers, frozen: nobody can tell which sources share a bucket, or which flows a line.
pub const SEED: &str = "SEED";
/// The buckets of sources: [`crate::limits::SOURCE_BUCKETS`] of [`crate::abi::SourceBucket`]s.
pub const SOURCE_BUCKETS: &str = "SOURCE_BUCKETS";
/// The outcome of the last run: one [`crate::abi::Trace`].
pub const TRACE: &str = "TRACE";
/// What a policy on trial is kept by: a `u64` by [`crate::abi::trial`].
pub const TRIAL: &str = "TRIAL";
/// The programs for what arrives between which a trial chooses.
pub const CHOICES: &str = "CHOICES";
/// The programs for what leaves likewise.
pub const EGRESS_CHOICES: &str = "EGRESS_CHOICES";
/// The interfaces, by index, that the policy before a trial guards.
pub const GUARDED_BEFORE: &str = "GUARDED_BEFORE";
/// The entry point of a trial, for what arrives.
pub const TRIAL_PROGRAM: &str = "portguard_trial";
/// The same for older kernels.
pub const TRIAL_PROGRAM_LINEAR: &str = "portguard_trial_old";
/// The entry point of a trial, for what leaves.
pub const TRIAL_EGRESS: &str = "portguard_trial_out";
/// The entry point for kernels that know frames of several buffers (5.18 and later).
pub const PROGRAM: &str = "portguard";
/// The entry point for older kernels.
pub const PROGRAM_LINEAR: &str = "portguard_linear";
