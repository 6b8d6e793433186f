//! What is said over the control socket: one JSON object a line, a request and its answers.

mod ports;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use portguard_common::limits::POLICY_BYTES;
use serde::{Deserialize, Serialize};

use crate::dataplane::Mode;

pub use self::ports::{
    PortChange, PortDecider, PortState, PortVerdict, PortsChanged, RuleInfo, Rules,
};

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/portguard/control.sock";

/// Longest request in bytes, its line end included.
pub const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// Longest request of root, which may carry a policy: text is escaped by one byte for each at most, since control
/// characters, which take five more, are no YAML.
pub const MAX_ROOT_REQUEST_BYTES: u64 = 2 * POLICY_BYTES as u64 + MAX_REQUEST_BYTES;

/// Longest reason of a ban in bytes.
pub const MAX_REASON_BYTES: usize = 200;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What the daemon does; answered once.
    Status {},
    /// What it has counted; answered once, or again and again.
    Counters {
        /// Milliseconds between two answers; without it there is one answer.
        #[serde(default)]
        interval_ms: Option<u64>,
    },
    /// The policy in force; answered once.
    Policy {},
    /// Read the policy again; answered when it is in force or refused.
    Reload(Change),
    /// Put another policy in force; answered when it is in force or refused.
    Apply {
        /// Where the text comes from, for messages.
        name: PathBuf,
        /// The policy. Its sets are looked for beside the daemon's policy file.
        text: String,
        /// Seconds after which the policy before comes back unless this one is confirmed; without it, it stays.
        #[serde(default)]
        confirm_s: Option<u64>,
        /// As in [`Change`].
        #[serde(default)]
        force: bool,
        /// As in [`Change`].
        #[serde(default)]
        ssh_connection: Option<String>,
    },
    /// End the trial with its policy in force.
    Confirm {},
    /// End the trial with the policy before it in force.
    Revert {},
    /// Close ports; answered when they are closed or that is refused.
    Block(PortChange),
    /// Open ports; answered when they are open or that is refused.
    Open(PortChange),
    /// The rules in force, with what they have counted; answered once.
    Rules {},
    /// Ban sources; answered when the bans are in force.
    Ban {
        /// What to ban. As many as fit a request; a client with more asks again.
        entries: Vec<BanEntry>,
        /// Why, for people: at most [`MAX_REASON_BYTES`].
        #[serde(default)]
        reason: Option<String>,
        /// As in [`Change`]; and ban also what the policy trusts.
        #[serde(default)]
        force: bool,
        /// As in [`Change`].
        #[serde(default)]
        ssh_connection: Option<String>,
    },
    /// Take bans back.
    Unban {
        /// What was banned, as [`BanEntry::target`].
        targets: Vec<String>,
    },
    /// Drop events as they come; answered by an account at once, then by an event each, and by an account again at least once
    /// a second if something changed.
    Events {
        /// Only what this rule drops.
        #[serde(default)]
        rule: Option<String>,
        /// Only what goes to this port.
        #[serde(default)]
        port: Option<u16>,
        /// Only what comes from this address or prefix.
        #[serde(default)]
        from: Option<String>,
        /// With the bytes of the frames: for root alone, since they hold what was said.
        #[serde(default)]
        bytes: bool,
    },
    /// The bans in force, a page of them.
    Bans {
        /// Only those behind this one in the order of the answers.
        #[serde(default)]
        after: Option<String>,
    },
}

impl Request {
    /// Whether it is for root alone, and why.
    #[must_use]
    pub const fn for_root_alone(&self) -> Option<&'static str> {
        match self {
            Self::Events { bytes: true, .. } => Some("it shows what packets carry"),
            // The file is for root alone, too.
            Self::Policy {} => Some("it shows all that the policy says"),
            _ if self.changes() => Some("it changes what is filtered"),
            _ => None,
        }
    }

    /// Whether it changes what the daemon does.
    #[must_use]
    pub const fn changes(&self) -> bool {
        // Every variant is named, so that a new one is thought about.
        match self {
            Self::Status {}
            | Self::Counters { .. }
            | Self::Policy {}
            | Self::Events { .. }
            | Self::Bans { .. }
            | Self::Rules {} => false,
            Self::Reload(_)
            | Self::Block(_)
            | Self::Open(_)
            | Self::Apply { .. }
            | Self::Confirm {}
            | Self::Revert {}
            | Self::Ban { .. }
            | Self::Unban { .. } => true,
        }
    }
}

/// What every request says that changes what is dropped: whether it may cut SSH sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Go on though sessions are cut.
    #[serde(default)]
    pub force: bool,
    /// The session of whoever asks, as sshd tells it in `SSH_CONNECTION`.
    #[serde(default)]
    pub ssh_connection: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Counters`].
    Counters(Counters),
    /// To [`Request::Policy`].
    Policy(PolicyInForce),
    /// To what changes the policy.
    Reloaded(Reloaded),
    /// To [`Request::Block`] and [`Request::Open`].
    Ports(PortsChanged),
    /// To [`Request::Rules`].
    Rules(Rules),
    /// To [`Request::Ban`].
    Banned(Bans),
    /// To [`Request::Unban`].
    Unbanned(Unbans),
    /// To [`Request::Bans`].
    Bans(BanList),
    /// To [`Request::Events`]: a frame that was dropped.
    Event(Event),
    /// To [`Request::Events`]: what became of events up to now.
    Account(Account),
    /// The request is refused or failed.
    Failed {
        /// Exit code for the program that asked.
        exit: u8,
        /// What went wrong, for people; may have several lines.
        error: String,
    },
}

/// What the daemon does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process ID.
    pub pid: u32,
    /// The policy file.
    pub policy: PathBuf,
    /// Number of the policy in force, from 1, one more with each that takes effect.
    pub generation: u64,
    /// Rules in it.
    pub rules: usize,
    /// `false`: everything is counted and passed.
    pub enforce: bool,
    /// The interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// How the last reload ended; `null` before the first.
    pub last_reload: Option<LastReload>,
    /// Seconds that are left to confirm the policy in force; `null` if it is not on trial.
    pub trial_s: Option<u64>,
    /// What is told of dropped packets; `null` if nothing is.
    #[serde(default)]
    pub events: Option<EventSettings>,
    /// What became of drop events.
    #[serde(default)]
    pub event_account: EventAccount,
    /// What is not as it should be, for people; empty if all is well.
    pub degraded: Vec<String>,
}

/// The policy in force, with all that it is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInForce {
    /// Where its text comes from.
    pub path: PathBuf,
    /// Its number.
    pub generation: u64,
    /// The text.
    pub text: String,
    /// Its drop-ins, in order; also what is in force without a file.
    pub drop_ins: Vec<DropInText>,
    /// What is in the files of its sets, by the names that it gives them. What is no UTF-8 stands in comments, and is
    /// replaced.
    pub files: BTreeMap<String, String>,
    /// Names of the interfaces that it is attached to.
    pub interfaces: Vec<String>,
}

/// A drop-in of the policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropInText {
    /// Its name from the folder of the policy file on.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What the policy in force says of drop events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSettings {
    /// How many at most, as the policy says it.
    pub rate: String,
    /// Bytes that are kept of each frame.
    pub snap_bytes: u32,
}

/// What became of drop events, of the whole host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAccount {
    /// Packets that were dropped, or would have been: the sum of the rest.
    pub would_be: u64,
    /// Those that the kernel told the daemon.
    pub delivered: u64,
    /// Those beyond the budget.
    pub suppressed: u64,
    /// Those for which the kernel had no room.
    pub lost: u64,
}

/// What became of drop events, of one reader and of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Events that this reader was sent. What its filters leave out is in neither.
    pub delivered: u64,
    /// Events that it was too slow for.
    pub lost: u64,
    /// Whether the policy in force asks for events.
    pub enabled: bool,
    /// All readers and filters aside.
    pub host: EventAccount,
}

/// A frame that was dropped, or would have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970.
    pub unix_time: f64,
    /// The interface on which it arrived.
    pub interface: String,
    /// What happened to it.
    pub action: EventAction,
    /// `false`: it passed, since the policy is not enforced.
    pub enforced: bool,
    /// What decided: `rule`, `limited` (beyond the limit of a rule), or the name of an outcome as in [`Counters`].
    pub outcome: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The line of `policy` on which the rule is called so.
    pub line: Option<usize>,
    /// The policy file; where a rule of a drop-in decided, that.
    pub policy: PathBuf,
    /// The number of the policy.
    pub generation: u64,
    /// Bytes of the frame.
    pub length: u32,
    /// The first VLAN ID that is not 0.
    pub vlan: Option<u16>,
    /// What the frame carries, by its number.
    pub ether_type: Option<u16>,
    /// The IP protocol, by name or number.
    pub protocol: Option<String>,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Type of ICMP or ICMPv6.
    pub icmp_type: Option<u8>,
    /// Its code.
    pub icmp_code: Option<u8>,
    /// A fragment other than the first, which has neither ports nor type.
    pub later_fragment: bool,
    /// The first bytes of the frame in hexadecimal, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// What happens to a frame of which an [`Event`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventAction {
    /// It is dropped.
    Drop,
    /// It is dropped, and its sender answered.
    Reject,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name, or the pattern that nothing matches yet.
    pub name: String,
    /// What is with it.
    pub state: InterfaceState,
    /// Where the program runs, if attached.
    pub mode: Option<Mode>,
    /// Why it is not attached, or not natively.
    pub reason: Option<String>,
}

/// What is with an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceState {
    /// The filter is at work.
    Attached,
    /// It does not exist yet.
    Waiting,
    /// It exists, but the filter cannot be attached.
    Failed,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Whether the policy file is the policy in force since.
    pub ok: bool,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// What went wrong.
    pub error: Option<String>,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// `false`: the file has the content that is in force already, so nothing was done.
    pub changed: bool,
    /// Number of the policy in force.
    pub generation: u64,
    /// What is legal but probably not meant, and which ports are blocked anew, for people.
    pub warnings: Vec<String>,
    /// Seconds in which it must be confirmed, or the policy before comes back; `null` if it stays.
    #[serde(default)]
    pub trial_s: Option<u64>,
}

/// A source to ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanEntry {
    /// An IPv4 address or a prefix of at least one bit; of IPv6 always with its length.
    pub target: String,
    /// For how long, in milliseconds; without it, until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// What became of a request to ban.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bans {
    /// Sources that were not banned before.
    pub new: usize,
    /// Sources whose ban lasts longer now.
    pub prolonged: usize,
    /// Sources that are banned as long or longer already, whose ban stays as it is.
    pub longer: usize,
    /// What is not banned, with the reason.
    pub refused: Vec<Refusal>,
    /// What is done, but not as expected, for people.
    pub notes: Vec<String>,
    /// All bans there are now, some of which may be over already.
    pub total: usize,
}

/// A ban that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was to be banned.
    pub target: String,
    /// Why it is not, for people.
    pub reason: String,
}

/// What became of a request to take bans back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbans {
    /// Bans that were taken back.
    pub removed: usize,
    /// What was not banned.
    pub unknown: Vec<String>,
    /// As [`Bans::notes`].
    pub notes: Vec<String>,
    /// As [`Bans::total`].
    pub total: usize,
}

/// Some of the bans in force: IPv4 first, by their lowest address, the wider before the narrower.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanList {
    /// The bans.
    pub bans: Vec<BanInfo>,
    /// None is behind the last of these.
    pub is_last: bool,
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanInfo {
    /// What is banned.
    pub target: String,
    /// Milliseconds that are left; `null` if it has no end.
    pub remaining_ms: Option<u64>,
    /// What the clock will show then, in milliseconds since 1970; `null` if it has no end.
    pub until_unix_ms: Option<u64>,
    /// Why, as whoever banned it said.
    pub reason: Option<String>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames from the Ethernet header on.
    pub bytes: u64,
}

/// What the daemon has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Seconds since 1970.
    pub unix_time: f64,
    /// Seconds since the daemon started, by a clock that nobody sets: for the time between two reports.
    pub uptime_s: f64,
    /// Number of the policy in force.
    pub generation: u64,
    /// All frames seen: the sum of the outcomes and the rules.
    pub frames: Count,
    /// Outcomes that are no rule.
    pub outcomes: Vec<OutcomeCount>,
    /// Rules in the order of the policy, then removed ones.
    pub rules: Vec<RuleCount>,
    /// Dropped packets by destination.
    pub drops: Vec<DropCount>,
    /// What became of drop events.
    #[serde(default)]
    pub events: EventAccount,
}

/// One outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// Its name.
    pub name: String,
    /// How often.
    #[serde(flatten)]
    pub count: Count,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// Its name.
    pub name: String,
    /// `pass`, `drop`, `reject` or `limit`; `null` for a rule that the policy in force does not have any more.
    pub action: Option<String>,
    /// Packets that it decided; of a limit, those that it passed.
    #[serde(flatten)]
    pub count: Count,
    /// Packets beyond its limit, which it dropped.
    pub limited: Count,
    /// Packets that it would have dropped, were it enforced.
    pub shadow: Count,
}

/// Dropped packets of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// `tcp`, `udp`, `sctp`, another name, or the number.
    pub protocol: String,
    /// Destination port; `null` for later fragments and protocols without ports.
    pub port: Option<u16>,
    /// Its name, by the policy in force or the catalogue.
    pub service: Option<String>,
    /// How many.
    pub packets: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const PAGE: &str = include_str!("../../docs/control.md");

    /// Every line of every JSON example of the page.
    fn examples() -> impl Iterator<Item = &'static str> {
        PAGE.split("```json\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .flat_map(str::lines)
    }

    /// Reads and writes an example, which has exactly the fields that are written.
    fn written<T: Serialize + serde::de::DeserializeOwned>(example: &str) -> Value {
        let value: T =
            serde_json::from_str(example).unwrap_or_else(|error| panic!("{error}: {example}"));
        serde_json::to_value(value).unwrap()
    }

    /// The tags that a type knows, off the error that it has for another one.
    fn tags<T: serde::de::DeserializeOwned>(key: &str) -> BTreeSet<String> {
        let unknown = serde_json::json!({ key: "?" });
        let Err(error) = serde_json::from_value::<T>(unknown) else {
            panic!("`?` is a tag")
        };
        let error = error.to_string();
        let tags = error.split('`').skip(3).step_by(2);
        tags.map(str::to_owned).collect()
    }

    #[test]
    fn the_page_shows_every_request_and_answer_as_it_is() {
        let mut commands = BTreeSet::new();
        let mut answers = BTreeSet::new();
        for example in examples() {
            let value: Value = serde_json::from_str(example).expect("JSON");
            if let Some(command) = value.get("command") {
                commands.insert(command.as_str().unwrap().to_owned());
                let mut written = written::<Request>(example);
                // What is `null` or false may be left out of a request.
                written
                    .as_object_mut()
                    .unwrap()
                    .retain(|_, field| !field.is_null() && *field != false);
                assert_eq!(written, value, "{example}");
            } else {
                answers.insert(value["answer"].as_str().unwrap().to_owned());
                assert_eq!(written::<Answer>(example), value, "{example}");
            }
        }
        assert_eq!(commands, tags::<Request>("command"));
        assert_eq!(answers, tags::<Answer>("answer"));
        assert!(commands.contains("reload") && answers.contains("failed"));
    }

    #[test]
    fn a_request_has_no_field_that_is_unknown() {
        for request in [
            r#"{"command":"status","verbose":true}"#,
            r#"{"command":"counters","interval":1}"#,
            r#"{"command":"stop"}"#,
            r#"{}"#,
        ] {
            serde_json::from_str::<Request>(request).unwrap_err();
        }
    }

    #[test]
    fn a_reload_need_not_say_who_asks() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        let plain = Request::Reload(Change::default());
        assert_eq!(parse(r#"{"command":"reload"}"#).expect("a request"), plain);
        let whole = Request::Reload(Change {
            force: true,
            ssh_connection: Some("198.51.100.9 40022 192.0.2.1 22".into()),
        });
        let text = r#"{"command":"reload","force":true,"ssh_connection":"198.51.100.9 40022 192.0.2.1 22"}"#;
        assert_eq!(parse(text).expect("a request"), whole);
        assert_eq!(serde_json::to_string(&whole).expect("text"), text);
        assert!(parse(r#"{"command":"reload","forced":true}"#).is_err());
    }
}
