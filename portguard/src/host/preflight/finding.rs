//! What a look at the host has found.

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; or it could not be seen.
    Note,
    /// portguard works, but slower or otherwise than one may expect.
    Warning,
    /// portguard cannot work.
    Problem,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What was looked at. The names are an interface: `docs/doctor.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Version of the kernel.
    Kernel,
    /// The system call `bpf`.
    BpfSyscall,
    /// Type information of the kernel.
    Btf,
    /// The compiler of programs.
    Jit,
    /// What protects compiled programs from their authors.
    JitHarden,
    /// Whether every user may load programs.
    UnprivilegedBpf,
    /// The file system for what outlives a generation.
    Pins,
    /// What this process may do.
    Capabilities,
    /// How much memory it may lock.
    LockedMemory,
    /// CPUs that are online, and that may be.
    Cpus,
    /// The policy file.
    Policy,
    /// Whether there are interfaces to look at, and this one exists.
    Interface,
    /// Whether it is switched on.
    Up,
    /// Whether its frames have an Ethernet header.
    EthernetHeader,
    /// The program that it carries.
    Program,
    /// Native mode.
    NativeMode,
    /// The largest payload of a frame.
    Mtu,
    /// Segments that the device joins (LRO).
    Lro,
    /// Segments that the device joins (GRO in hardware).
    HardwareGro,
    /// Queues.
    Queues,
    /// Tags that the device takes out.
    VlanTags,
    /// The device above it, of which it is a member or a port, and those below it.
    Stacking,
    /// The other end of a veth.
    Peer,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How much it matters.
    pub severity: Severity,
    /// A sentence, without a full stop.
    pub text: String,
    /// The command that cures it; `None` where there is nothing to cure, or no command does.
    pub command: Option<String>,
}

impl Finding {
    pub(super) fn new(check: Check, severity: Severity, text: impl Into<String>) -> Self {
        Self {
            check,
            severity,
            text: text.into(),
            command: None,
        }
    }

    pub(super) fn cure(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// The sentence with its command, in a line, for a log.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.command {
            Some(command) => format!("{}: run `{command}`", self.text),
            None => self.text.clone(),
        }
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// About the host.
    pub host: Vec<Finding>,
    /// About each interface, by its name.
    pub interfaces: Vec<(String, Vec<Finding>)>,
}

impl Report {
    /// Every finding, with the interface that it is about.
    pub fn findings(&self) -> impl Iterator<Item = (Option<&str>, &Finding)> {
        let host = self.host.iter().map(|finding| (None, finding));
        let interfaces = self.interfaces.iter().flat_map(|(name, findings)| {
            findings
                .iter()
                .map(move |finding| (Some(name.as_str()), finding))
        });
        host.chain(interfaces)
    }

    /// How many findings are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings()
            .filter(|(_, finding)| finding.severity == severity)
            .count()
    }
}
