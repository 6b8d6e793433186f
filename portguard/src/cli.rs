//! The command line: what can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use portguard_common::limits;
use portguard_policy::Prefix;
use portguard_policy::catalogue::{Class, Query};

use crate::control::MAX_REASON_BYTES;
use crate::exposure::audit::Severity;
use crate::observe::filter::parse_from;

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the policy or the request is refused
  2  the command line is wrong
  3  the system refuses: permission, kernel, interface, no daemon";

const CLI_HELP: &str = "\
Without a command it says what to do first, with exit code 2.

Exit codes:
  0  success
  1  the policy or the request is refused
  2  the command line is wrong
  3  the system refuses: permission, kernel, interface, no daemon";

const EXPLAIN_HELP: &str = "\
The packet, in the language of `assert`:
  [PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT]
  [via INTERFACE] [vlan N] [fragment] [ttl N]

  tcp 203.0.113.7:50555 -> 192.0.2.1:22 via eth0 vlan 10
  udp [2001:db8::7]:5555 -> [2001:db8::1]:domain
  icmp/echo-request 203.0.113.7 -> 192.0.2.1
  tcp -> :https

What it does not state is assumed, and said. `fragment` is a fragment other than the
first, `ttl` (or `hop-limit`) the IPv4 TTL or IPv6 hop limit.

Exit codes:
  0  the packet is explained, whatever happens to it
  1  the policy is refused
  2  the command line is wrong, or the packet
  3  the system refuses";

const DIFF_HELP: &str = "\
All packets are compared, not samples, on the interfaces that both policies guard. Names,
comments, the order of rules, and rules that only count are no difference in themselves.

Exit codes:
  0  the policies do the same
  1  they differ
  2  the command line is wrong, one of them is refused, or it cannot be told whether they differ
  3  the system refuses";

const STATUS_HELP: &str = "\
Exit codes:
  0  all is as the policy says
  1  something is not: it says what, after DEGRADED
  2  the command line is wrong
  3  no daemon answers";

const CAPTURE_HELP: &str = "\
Each frame has its interface, the verdict (frame.verdict.ebpf_xdp of tshark) and a comment with the outcome, the rule, its line and
the number of the policy. `snap: full` in `events` of the policy keeps whole frames, which `portguard replay` judges anew.

  portguard capture -w drops.pcapng --for 10s
  portguard capture -w - --port 53 | tshark -r -

Exit codes:
  0  it was written
  1  the policy has no events, or the daemon refuses
  2  the command line is wrong
  3  the system refuses";

const EVENTS_HELP: &str = "\
All filters given must hold. It goes on until it is interrupted, and ends with an account on
standard error: what was shown, what this reader was too slow for, and of all packets of the
host that were to be told, those told, those suppressed beyond `rate`, and those lost.

  portguard events --rule no-telnet --from 203.0.113.0/24
  portguard events --format json --for 10s

Exit codes:
  0  the end, by --count, --for, SIGINT, SIGTERM, or because nobody reads any more
  1  the policy has no events, or none of this rule
  2  the command line is wrong
  3  the system refuses: permission, no daemon, or the daemon stops";

const DOCTOR_HELP: &str = "\
Without INTERFACE it looks at those that the policy names, or else at those that carry
a default route. It changes nothing, and needs no root for most; what it cannot see, it says.

Exit codes:
  0  no problem is found; there may be warnings and notes
  1  there is at least one problem
  2  the command line is wrong
  3  it cannot look";

const TOP_HELP: &str = "\
Keys:
  up, down, PgUp, PgDn  select a row      s  sort by rate, total, name
  Tab                   another pane      r  reverse the order
  Enter, e              explain the row   /  list rows with a text only
  ?                     help              p  pause, or go on
  q, Esc, Ctrl-C        quit

Graphs are drawn in ASCII unless LC_ALL, LC_CTYPE or LANG says UTF-8. While the daemon is gone it
is looked for each second. Without a terminal, `portguard counters --follow` has the same numbers.

Exit codes:
  0  it was ended by a key or a signal
  2  the command line is wrong, or there is no terminal
  3  the system refuses: permission, no daemon";

const BAN_HELP: &str = "\
An address of IPv6 stands for its /64, the smallest network that a host is given; write /128 for
one host. A ban applies to every guarded interface at once, before any rule and to replies too,
and never to what the policy trusts. A source that is banned already stays so until the later end.

From standard input (`-`): one address or prefix a line, with a time of its own behind it or
without, `#` starts a comment. A line that cannot be read refuses them all.

  portguard ban 203.0.113.7 --for 1h --reason 'tries passwords'
  portguard ban - --for 24h < abusers.txt

Exit codes:
  0  all are banned
  1  some or all are refused: it says which, and why
  2  the command line is wrong, or a line of standard input
  3  the system refuses: permission, no daemon";

const BLOCK_HELP: &str = "\
PORT is `25/tcp`, `25` (of TCP and UDP), a range (`6000-6063/tcp`), or a service (`smtp`), of the
policy or of `portguard ports`.

It takes effect at once, for open connections too, and stays so over restarts: the rule stands in
policy.d/00-portguard.yaml beside the policy file, before those of other files. What is closed
already stays as it is, and is told with the rule that closes it. `trusted` sources are not stopped.

  portguard block smtp
  portguard block 3306/tcp --from 203.0.113.0/24 --for 1h
  portguard block --profile worms --confirm 60s

Exit codes:
  0  it is closed, or was before
  1  it is refused: it would cut an SSH session, or break the policy; or a rule passes some of it
  2  the command line is wrong
  3  the system refuses: permission, no daemon, the file cannot be written";

const OPEN_HELP: &str = "\
PORT is as in `portguard block`, whose rules for it are taken back first. If it is closed all the
same, it is said by what, and nothing else is done: `--override` puts a rule in front that passes.

  portguard open smtp
  portguard open 8443/tcp --from 198.51.100.0/24 --override --for 1h

With --for or --runtime, blocks stay, and are passed by as long.

Exit codes:
  0  it is open, or was before
  1  it is closed still; or it is refused
  2  the command line is wrong
  3  the system refuses: permission, no daemon, the file cannot be written";

const PORTS_HELP: &str = "\
QUERY is a port, a range, or words, in upper or lower case:
  445, 445/udp, 6000-6010   ports
  smb, ssh/tcp              a service, by any of its names
  mirai, 'remote desktop'   what services are for, and what threatens them

Without it all ports are listed. Up to eight that a QUERY finds are told in full, more as a list.
Advice is about the Internet: `close`, `keep`, or `by-role`, which is to open it only on a host
that has this role. `portguard explain` says what a policy does with a port.

Exit codes:
  0  something is found
  1  nothing is found
  2  the command line is wrong
  3  the system refuses";

const LISTEN_HELP: &str = "\
Each socket has, beneath it, what a policy does with packets to it, and from where they come: the
policy of FILE, or else the one in force, which the daemon tells root. TCP means new connections.
Sockets of other network namespaces (most containers) are not shown: run it there, by `nsenter`.
Whose sockets other users' are, only root may see.

Exit codes:
  0  they are shown
  1  FILE is refused
  2  the command line is wrong
  3  the system refuses";

const AUDIT_HELP: &str = "\
It judges by the policy of FILE, or else by the one in force, which the daemon tells root. Without
either, whatever listens can be reached. Each finding comes with what fixes it.

  portguard audit --fail-on high || mail -s 'open ports' root

Exit codes:
  0  nothing as grave as `--fail-on` says is found; without it, whatever is found
  1  something is, or FILE is refused
  2  the command line is wrong
  3  the system refuses";

const SUGGEST_HELP: &str = "\
The policy goes to standard output. What it would change in the policy of FILE, or else in the one in
force, goes to standard error. It is never applied:

  portguard suggest --watch 10m > new.yaml
  portguard apply new.yaml --confirm 60s

Without --watch, whatever listens is passed, but for databases, clear text and what is better closed.
With it, only what was used is passed, the latter only from where it was used. What nobody uses stays
in the text as a comment. SSH is always passed.

Exit codes:
  0  a policy is printed
  1  FILE is refused, or there is no interface to guard
  2  the command line is wrong
  3  the system refuses";

const IMPORT_HELP: &str = "\
  nft        what `nft -j list ruleset` prints
  iptables   what `iptables-save` prints, and as a second file what `ip6tables-save` prints
  ufw        the folder /etc/ufw, or files of it, such as user.rules
  firewalld  the folder /etc/firewalld, or the file of a zone

The policy goes to standard output, each rule beneath the line that it was made from. What could
not be carried over goes to standard error and into comments: wider, stricter, or to know. An
accept that cannot be said exactly is left out; a drop that cannot is called wider.

  nft -j list ruleset | portguard import nft - -o policy.yaml
  portguard check policy.yaml

Exit codes:
  0  nothing passes that the original drops
  1  something does: it says what, after `wider`
  2  the command line is wrong, or the file is not what it is said to be
  3  the system refuses";

/// Filters packets at the XDP hook, before the kernel's network stack.
#[derive(Debug, Parser)]
#[command(name = "portguard", version, after_help = CLI_HELP)]
pub struct Cli {
    /// What to do; without it, the program says what to do first.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: attach the filter and keep it until SIGTERM. A change of the policy file takes effect; SIGHUP reloads it, too.
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// Check policy files and show everything that is wrong with them. Changes nothing, needs no root.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Have the running daemon read its policy again; the old one stays if the new one is refused.
    #[command(after_help = EXIT_CODES)]
    Reload(Reload),
    /// Put another policy in force, for a while unless it is confirmed, or for good.
    #[command(after_help = EXIT_CODES)]
    Apply(Apply),
    /// Keep the policy that is on trial.
    #[command(after_help = EXIT_CODES)]
    Confirm(Connection),
    /// End the trial: the policy before it is in force again.
    #[command(after_help = EXIT_CODES)]
    Revert(Connection),
    /// Take the filter off all interfaces where no daemon runs: after a crash, or a stop with `on_stop: keep`.
    #[command(after_help = EXIT_CODES)]
    Detach(Detach),
    /// Show what the running daemon does.
    #[command(after_help = STATUS_HELP)]
    Status(Status),
    /// Show what the running daemon has counted.
    #[command(after_help = EXIT_CODES)]
    Counters(Counters),
    /// Watch the running daemon: rates and graphs of rules, outcomes and blocked ports, who sends what is dropped, and what state it is in.
    #[command(after_help = TOP_HELP)]
    Top(Top),
    /// Show dropped packets one by one as they come, with what dropped each. The policy has to ask for it by `events`.
    #[command(after_help = EVENTS_HELP)]
    Events(Events),
    /// Write dropped packets to a capture as they come (pcapng), with what dropped each. The policy has to ask for it by `events`; for
    /// root alone.
    #[command(after_help = CAPTURE_HELP)]
    Capture(Capture),
    /// Close a port, at once and for good, for a time, or on trial.
    #[command(after_help = BLOCK_HELP)]
    Block(Block),
    /// Open a port: take back what `block` did, or pass it before all other rules.
    #[command(after_help = OPEN_HELP)]
    Open(Open),
    /// List the rules in force, in the order in which they are tried, with the file and line of each and how often it was hit.
    #[command(after_help = EXIT_CODES)]
    Rules(Rules),
    /// Drop everything that comes from some addresses, for a time or until further notice.
    #[command(after_help = BAN_HELP)]
    Ban(Ban),
    /// Take bans back.
    #[command(after_help = EXIT_CODES)]
    Unban(Unban),
    /// List the bans in force.
    #[command(after_help = EXIT_CODES)]
    Bans(Bans),
    /// Run the frames of a capture through the filter, without sending or attaching anything.
    #[command(after_help = EXIT_CODES)]
    Replay(Replay),
    /// Say what a policy does with a packet, which rule decides, and why the rules before it do not match. Needs no root.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Explain),
    /// Say which packets another policy treats differently, each kind with an example. Needs no root.
    #[command(after_help = DIFF_HELP)]
    Diff(Diff),
    /// Look whether portguard can work on this host, and how well; each finding comes with the command that cures it.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Say what a port is for, what abuses it and whether to close it; or list such ports. Needs no root.
    #[command(after_help = PORTS_HELP)]
    Ports(Ports),
    /// Show what waits for packets on this host: sockets, whose they are, who can reach them, and what the policy does. Needs root to see
    /// all.
    #[command(after_help = LISTEN_HELP)]
    Listen(Listen),
    /// Show what the kernel has counted since the start of the host: by interface, and by protocol under the names of its tables.
    #[command(after_help = EXIT_CODES)]
    Stats(Stats),
    /// Look for faults: what strangers reach and should not, what listens for nobody, rules without a use; each with what fixes it.
    #[command(after_help = AUDIT_HELP)]
    Audit(Audit),
    /// Print a policy that closes everything but what listens, or what is seen to be used. It is never applied.
    #[command(after_help = SUGGEST_HELP)]
    Suggest(Suggest),
    /// Make a policy of the rules of another packet filter, and list what it does not do as they do. Changes nothing, needs no root.
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Print the JSON schema of policies, for editors: completion, descriptions, and the mistakes of shape.
    #[command(after_help = EXIT_CODES)]
    Schema,
}

/// Where the running daemon listens.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Control socket of the daemon.
    #[arg(long, value_name = "PATH", env = "PORTGUARD_SOCKET", default_value = crate::control::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// What may be said with every change.
#[derive(Args, Clone, Copy, Debug)]
pub struct Change {
    /// Go on though SSH sessions are cut; without it, what would cut one is refused.
    #[arg(long)]
    pub force: bool,
}

impl Change {
    /// The same with the caller's own session, for the daemon.
    #[must_use]
    pub fn request(self) -> crate::control::Change {
        crate::control::Change {
            force: self.force,
            ssh_connection: crate::host::sessions::connection_of_caller(),
        }
    }
}

/// `portguard reload`
#[derive(Args, Debug)]
pub struct Reload {
    /// Whether to cut sessions.
    #[command(flatten)]
    pub change: Change,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard run`
#[derive(Args, Debug)]
pub struct Run {
    /// Policy file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/portguard/policy.yaml"
    )]
    pub policy: PathBuf,
    /// Interface to guard, instead of those that the policy names: a name, a glob ("wan*") or
    /// "default-route". May be given more than once. One that does not exist yet is waited for.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// Folder in a BPF file system for what outlives the daemon: the filter itself, its counters, flows that this side
    /// started, buckets of limits, and bans.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_PINS)]
    pub pins: PathBuf,
    /// Folder for what outlives a restart of the host: the last policy that took effect, and bans.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/portguard")]
    pub state: PathBuf,
    /// Leave the policy in force until a reload is asked for. Without this, a change of the policy file, or of a file
    /// that it names, is noticed and takes effect.
    #[arg(long)]
    pub no_watch: bool,
    /// Group whose members may ask for status and counters, by name or number; without it, only root may.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Where the log goes: `auto` is the journal where the service manager has connected standard error to it, and else
    /// standard error. In the journal messages have fields, such as PORTGUARD_INTERFACE and PORTGUARD_GENERATION.
    #[arg(long, value_enum, value_name = "WHERE", default_value_t)]
    pub log: Log,
    /// The least important messages that are logged.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub log_level: LogLevel,
    /// Have the programs in the kernel say what they think, from this level on, in the same log: `warn` what they could not do,
    /// `debug` malformed frames, `trace` each judgement; at most 100 messages a second. Without this they have not one instruction for it.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub kernel_log: Option<LogLevel>,
    /// Room for so many bans. The kernel takes 48 to 80 bytes for each at once, 8 MiB at least, and some 100 for each that is made.
    #[arg(long, value_name = "NUMBER", default_value_t = limits::BANS, value_parser = clap::value_parser!(u32).range(1..=MOST_BANS))]
    pub max_bans: u32,
    /// Where to listen for the other commands.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard check`
#[derive(Args, Debug)]
pub struct Check {
    /// Policy files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Also check that every interface that the policy names exists on this host.
    #[arg(long)]
    pub interfaces: bool,
}

/// `portguard apply`
#[derive(Args, Debug)]
pub struct Apply {
    /// Policy file. Its text takes the place of the daemon's policy file when it takes effect for good; its sets are
    /// looked for beside that.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Put it on trial: unless `portguard confirm` follows within this time ("60s", "5m"), the policy before is in force
    /// again, even if the daemon is dead by then.
    #[arg(long, value_name = "TIME", value_parser = parse_trial)]
    pub confirm: Option<Duration>,
    /// Whether to cut sessions; a trial may.
    #[command(flatten)]
    pub change: Change,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard detach`
#[derive(Args, Debug)]
pub struct Detach {
    /// Folder in a BPF file system where the filter is pinned.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_PINS)]
    pub pins: PathBuf,
}

/// `portguard status`
#[derive(Args, Debug)]
pub struct Status {
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard counters`
#[derive(Args, Debug)]
pub struct Counters {
    /// Go on, once an interval, until interrupted; with rates.
    #[arg(long)]
    pub follow: bool,
    /// Time over which rates are taken: "500ms", "2s", "1m" [default when following: 1s]. Without `--follow`, one report
    /// comes after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub interval: Option<Duration>,
    /// List all destinations of dropped packets, and not only those with the most.
    #[arg(long)]
    pub all: bool,
    /// How to print them: JSON is one object a line, with all destinations.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard top`
#[derive(Args, Debug)]
pub struct Top {
    /// Draw without colours, as with the variable NO_COLOR.
    #[arg(long, alias = "no-color")]
    pub no_colour: bool,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// Which drop events, and how long.
#[derive(Args, Debug)]
pub struct EventSelection {
    /// Only what this rule drops.
    #[arg(long, value_name = "RULE")]
    pub rule: Option<String>,
    /// Only what goes to this port.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only what comes from this address, or from an address of this prefix.
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = parse_from)]
    pub from: Option<Prefix>,
    /// End after so many.
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u64>,
    /// End after this time: "10s", "5m".
    #[arg(long = "for", value_name = "TIME", value_parser = parse_interval)]
    pub time: Option<Duration>,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard events`
#[derive(Args, Debug)]
pub struct Events {
    /// Which of them.
    #[command(flatten)]
    pub selection: EventSelection,
    /// Show the first bytes of each frame, in hexadecimal; for root alone.
    #[arg(long)]
    pub bytes: bool,
    /// How to print them; JSON is one object a line.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard capture`
#[derive(Args, Debug)]
pub struct Capture {
    /// Where to write to; "-" for standard output. A file that is there is replaced.
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub file: PathBuf,
    /// Which of them.
    #[command(flatten)]
    pub selection: EventSelection,
}

/// Which ports, for whom, and for how long.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct PortSelection {
    /// Which port.
    #[arg(value_name = "PORT", group = "which")]
    pub ports: Option<String>,
    /// The ports of a profile (`portguard ports --profile`).
    #[arg(long, group = "which", value_name = "PROFILE", value_parser = PossibleValuesParser::new(portguard_policy::profile_names()))]
    pub profile: Option<String>,
    /// Only for these sources.
    #[arg(long, value_name = "ADDRESS|PREFIX")]
    pub from: Option<String>,
    /// End by itself after this time, also if the daemon or the host is started again meanwhile: "90s", "10m", "1h", "7d".
    #[arg(long = "for", value_name = "TIME", value_parser = parse_port_time)]
    pub time: Option<Duration>,
    /// Try it: unless `portguard confirm` follows within this time ("60s", "5m"), all is as before.
    #[arg(long, value_name = "TIME", value_parser = parse_trial)]
    pub confirm: Option<Duration>,
    /// Keep it only until the daemon ends.
    #[arg(long)]
    pub runtime: bool,
    /// Whether to cut sessions; a trial may.
    #[command(flatten)]
    pub change: Change,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard block`
#[derive(Args, Debug)]
pub struct Block {
    /// What to close.
    #[command(flatten)]
    pub selection: PortSelection,
}

/// `portguard open`
#[derive(Args, Debug)]
pub struct Open {
    /// What to open.
    #[command(flatten)]
    pub selection: PortSelection,
    /// Pass it before all rules that close it.
    #[arg(long = "override")]
    pub overrides: bool,
}

/// `portguard rules`
#[derive(Args, Debug)]
pub struct Rules {
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard ban`
#[derive(Args, Debug)]
pub struct Ban {
    /// Addresses or prefixes; "-" for standard input.
    #[arg(required = true, value_name = "ADDRESS|PREFIX")]
    pub targets: Vec<String>,
    /// How long: "90s", "10m", "1h", "7d". Without it, until `portguard unban`.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_ban_time)]
    pub time: Option<Duration>,
    /// Why, for `portguard bans`: at most 200 bytes.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub reason: Option<String>,
    /// Whether to cut sessions; and to ban also what the policy trusts, which does nothing.
    #[command(flatten)]
    pub change: Change,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard unban`
#[derive(Args, Debug)]
pub struct Unban {
    /// Addresses or prefixes, as they were banned; "-" for standard input, one a line.
    #[arg(required = true, value_name = "ADDRESS|PREFIX")]
    pub targets: Vec<String>,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard bans`
#[derive(Args, Debug)]
pub struct Bans {
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard replay`
#[derive(Args, Debug)]
pub struct Replay {
    /// Policy file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/portguard/policy.yaml"
    )]
    pub policy: PathBuf,
    /// Capture in pcap or pcapng format, of Ethernet frames.
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// How to print it; JSON is one object a frame.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard explain`
#[derive(Args, Debug)]
pub struct Explain {
    /// Policy file. It may break its own assertions.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/portguard/policy.yaml"
    )]
    pub policy: PathBuf,
    /// The packet, in quotes.
    #[arg(value_name = "PACKET", allow_hyphen_values = true)]
    pub packet: String,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard diff`
#[derive(Args, Debug)]
pub struct Diff {
    /// Policy file, as it was.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// Policy file, as it would be.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// Interfaces to look at.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Policy file [default: /etc/portguard/policy.yaml, where it can be read].
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Folder in a BPF file system, as given to `portguard run`.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_PINS)]
    pub pins: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the daemon listens.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard ports`
#[derive(Args, Debug)]
pub struct Ports {
    /// What to look for.
    #[arg(value_name = "QUERY", value_parser = Query::parse)]
    pub query: Option<Query>,
    /// Only ports that this profile drops.
    #[arg(long, value_name = "PROFILE", value_parser = PossibleValuesParser::new(portguard_policy::profile_names()))]
    pub profile: Option<String>,
    /// Only ports of this class (RFC 6335).
    #[arg(long, value_enum, value_name = "CLASS")]
    pub class: Option<PortClass>,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// By which policy sockets are judged.
#[derive(Args, Clone, Debug)]
pub struct Judged {
    /// Policy file to judge by, whatever is in force.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where the daemon listens, to ask for the policy in force.
    #[command(flatten)]
    pub connection: Connection,
}

/// `portguard listen`
#[derive(Args, Debug)]
pub struct Listen {
    /// Show connections, too, with their states.
    #[arg(long)]
    pub all: bool,
    /// By which policy.
    #[command(flatten)]
    pub judged: Judged,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard stats`
#[derive(Args, Debug)]
pub struct Stats {
    /// How to print them; for people, what is 0 is left out.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `portguard audit`
#[derive(Args, Debug)]
pub struct Audit {
    /// By which policy.
    #[command(flatten)]
    pub judged: Judged,
    /// End with exit code 1 if something so grave is found, or graver.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How grave a finding has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// What is to be tidied up.
    Low,
    /// A weakness.
    Medium,
    /// What strangers look for, and find here.
    High,
}

impl From<FailOn> for Severity {
    fn from(own: FailOn) -> Self {
        match own {
            FailOn::Low => Self::Low,
            FailOn::Medium => Self::Medium,
            FailOn::High => Self::High,
        }
    }
}

/// `portguard suggest`
#[derive(Args, Debug)]
pub struct Suggest {
    /// Watch for so long who connects: "10m", "24h".
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub watch: Option<Duration>,
    /// The present policy.
    #[command(flatten)]
    pub judged: Judged,
}

/// `portguard import`
#[derive(Args, Debug)]
pub struct Import {
    /// Whose rules they are.
    #[arg(value_enum, value_name = "TOOL")]
    pub from: ImportFrom,
    /// What has the rules; "-" for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the policy to this file, which must not exist yet, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Interface that the policy guards [default: default-route]. May be given more than once. Where names are given, rules
    /// for other interfaces are left out.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// Where a drop cannot be said exactly, drop more than the original and not less.
    #[arg(long)]
    pub strict: bool,
}

/// Whose rules are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// nftables.
    Nft,
    /// iptables and ip6tables.
    Iptables,
    /// ufw.
    Ufw,
    /// firewalld.
    Firewalld,
}

/// The parts of the port numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PortClass {
    /// 0 to 1023.
    WellKnown,
    /// 1024 to 49151.
    Registered,
    /// 49152 to 65535.
    Dynamic,
}

impl From<PortClass> for Class {
    fn from(class: PortClass) -> Self {
        match class {
            PortClass::WellKnown => Self::WellKnown,
            PortClass::Registered => Self::Registered,
            PortClass::Dynamic => Self::Dynamic,
        }
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// To the journal where standard error is connected to it, else to standard error.
    #[default]
    Auto,
    /// To the journal, with fields.
    Journal,
    /// To standard error.
    Stderr,
}

/// How important a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something changed.
    #[default]
    Info,
    /// What helps to find out why.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

impl From<LogLevel> for log::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// Where everything is pinned unless told otherwise.
const DEFAULT_PINS: &str = "/sys/fs/bpf/portguard";

/// Shortest and longest trial.
const TRIALS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

fn parse_trial(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if TRIALS.contains(&time) && time.subsec_nanos() == 0 {
        Ok(time)
    } else {
        Err("a whole number of seconds from `1s` to `24h` is expected".into())
    }
}

/// Shortest and longest interval.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_time(text)?;
    if INTERVALS.contains(&interval) {
        Ok(interval)
    } else {
        Err("an interval from `100ms` to `24h` is expected".into())
    }
}

/// The largest table of bans: some 600 MiB when it is full.
const MOST_BANS: i64 = 1 << 22;

/// Shortest and longest ban with an end.
const BAN_TIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3650 * 24 * 60 * 60);

/// Reads how long a ban lasts.
///
/// # Errors
///
/// What is expected instead.
pub fn parse_ban_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if BAN_TIMES.contains(&time) {
        Ok(time)
    } else {
        Err("a time from `1s` to `3650d` is expected; without one, a ban has no end".into())
    }
}

fn parse_port_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if BAN_TIMES.contains(&time) && time.subsec_nanos() == 0 {
        Ok(time)
    } else {
        Err("a whole number of seconds from `1s` to `3650d` is expected".into())
    }
}

fn parse_reason(text: &str) -> Result<String, String> {
    match text.len() {
        0..=MAX_REASON_BYTES => Ok(text.to_owned()),
        length => Err(format!(
            "it has {length} bytes, at most {MAX_REASON_BYTES} are kept"
        )),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a number with `ms`, `s`, `m`, `h` or `d` is expected, like `1s`".into()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_invalid| "a whole number is expected before the unit, like `500ms`")?;
    Ok(Duration::from_millis(number.saturating_mul(unit_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn intervals_have_a_unit_and_bounds() {
        assert_eq!(parse_interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_interval("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_interval("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "1",
            "s",
            "",
            "1.5s",
            "0s",
            "99ms",
            "25h",
            "-1s",
            "1 s",
            "18446744073709551615h",
        ] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bans_last_from_a_second_to_ten_years() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("10m", 600),
            ("1h", 3600),
            ("7d", 604_800),
        ] {
            assert_eq!(parse_ban_time(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["999ms", "0s", "3651d", "1w", "1", "-1h", "1h30m"] {
            assert!(parse_ban_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_short() {
        assert!(parse_reason(&"x".repeat(200)).is_ok());
        assert!(parse_reason(&"x".repeat(201)).is_err());
    }
}
