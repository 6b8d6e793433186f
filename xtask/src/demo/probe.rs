//! Sends the traffic, looks what becomes of it, and reads the daemon's counters before and after.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use portguard_testbed::{
    Bed, Daemon, SERVER_V4, SERVER_V6,
    raw::{self, Ends, RawSocket},
    traffic::{self, Seen},
};
use serde::Serialize;
use serde_json::Value;

use super::plan::{self, Decision, Family, Fate, Protocol, Step, Trial, Vlan};
use crate::interrupt::Interrupt;

/// How long a client waits. A blocked TCP client sends its SYN again after one second (RFC 6298).
const PATIENCE: Duration = Duration::from_millis(1_200);

/// Datagrams of a UDP client, and frames of each tagged trial.
const PACKETS: usize = 3;

/// Bytes of a datagram.
const DATAGRAM_LEN: usize = 32;

/// A tagged frame that has not arrived while the receiver was quiet this long was dropped.
const QUIET: Duration = Duration::from_millis(100);

/// How often, and how long apart, a counter is read again while it moves.
const MAX_LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Most frames that a receiver takes in.
const MAX_FRAMES: usize = 1_000;

/// Sender of the tagged frames (RFC 5737, RFC 3849). The server has no way to it, so it does not
/// answer, and nothing but these frames is counted.
const STRANGER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const STRANGER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7);

/// What was seen of one trial.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) step: Step,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) family: Family,
    pub(super) vlan: Vlan,
    pub(super) expected: Fate,
    pub(super) seen: Fate,
    /// What the daemon counted at the place where it belongs.
    pub(super) packets: u64,
}

impl Row {
    fn new(step: Step, trial: Trial, outcome: Outcome) -> Self {
        Self {
            step,
            protocol: trial.protocol,
            port: trial.port,
            family: trial.family,
            vlan: trial.vlan,
            expected: trial.decision.fate(),
            seen: outcome.seen,
            packets: outcome.packets,
        }
    }

    /// Whether the traffic and the counter are as the policy says.
    pub(super) fn is_good(&self) -> bool {
        self.seen == self.expected && self.packets > 0
    }
}

/// Where it happens.
pub(super) struct Stage<'a> {
    bed: &'a Bed,
    daemon: &'a Daemon,
    interrupt: &'a Interrupt,
    wire: Wire,
}

impl<'a> Stage<'a> {
    pub(super) fn new(bed: &'a Bed, daemon: &'a Daemon, interrupt: &'a Interrupt) -> Result<Self> {
        Ok(Self {
            bed,
            daemon,
            interrupt,
            wire: Wire::open(bed)?,
        })
    }

    /// Tries everything of a step.
    pub(super) fn measure(&self, step: Step) -> Result<Vec<Row>> {
        let trials = plan::trials(step);
        let mut rows = Vec::with_capacity(trials.len());
        // The counters know neither family nor VLAN, so trials of the same port go one after another.
        for family in Family::ALL {
            for vlan in std::iter::once(Vlan::Untagged).chain(Vlan::TAGGED) {
                self.interrupt.check()?;
                let batch: Vec<Trial> = trials
                    .iter()
                    .filter(|trial| trial.family == family && trial.vlan == vlan)
                    .copied()
                    .collect();
                let outcomes = match vlan {
                    Vlan::Untagged => self.clients(&batch)?,
                    _ => self.frames(family, vlan, &batch)?,
                };
                let measured = batch.into_iter().zip(outcomes);
                rows.extend(measured.map(|(trial, outcome)| Row::new(step, trial, outcome)));
            }
        }
        rows.sort_by_key(|row| (row.protocol, row.port, row.vlan, row.family));
        Ok(rows)
    }

    /// Real clients: those that will be blocked wait side by side, the others go one by one meanwhile.
    fn clients(&self, batch: &[Trial]) -> Result<Vec<Outcome>> {
        enum Client<'scope> {
            Waiting(thread::ScopedJoinHandle<'scope, Result<Outcome>>),
            Done(Result<Outcome>),
        }
        thread::scope(|scope| {
            let clients: Vec<_> = batch
                .iter()
                .map(|trial| match trial.decision {
                    Decision::Drop => Client::Waiting(scope.spawn(|| self.client(*trial))),
                    _ => Client::Done(self.client(*trial)),
                })
                .collect();
            clients
                .into_iter()
                .map(|client| match client {
                    Client::Waiting(thread) => thread
                        .join()
                        .unwrap_or_else(|_panic| Err(anyhow!("a client panicked"))),
                    Client::Done(result) => result,
                })
                .collect()
        })
    }

    fn client(&self, trial: Trial) -> Result<Outcome> {
        let before = count(&self.daemon.counters()?, trial)?;
        let seen = self.connect(trial)?;
        let after = self.settled(trial)?;
        Ok(Outcome {
            seen,
            packets: after.saturating_sub(before),
        })
    }

    fn connect(&self, trial: Trial) -> Result<Fate> {
        let host = &self.bed.client;
        let server = server(trial.family);
        let seen = match trial.protocol {
            Protocol::Tcp => traffic::probe_tcp(host, server, trial.port, PATIENCE)?,
            Protocol::Udp => {
                traffic::probe_udp(host, server, trial.port, PACKETS, DATAGRAM_LEN, PATIENCE)?
            }
        };
        Ok(match seen {
            Seen::Answer => Fate::Pass,
            Seen::Silence => Fate::Drop,
            Seen::Refused => Fate::Refused,
        })
    }

    /// Whole frames: what comes out behind the filter is looked at there.
    fn frames(&self, family: Family, vlan: Vlan, batch: &[Trial]) -> Result<Vec<Outcome>> {
        let before = self.daemon.counters()?;
        for trial in batch {
            let build = match trial.protocol {
                Protocol::Tcp => raw::tcp_syn_frame,
                Protocol::Udp => raw::udp_frame,
            };
            let ends = self.wire.ends(family);
            let frame = build(ends, &vlan.tags(), trial.port, marker(*trial).as_bytes())?;
            for _ in 0..PACKETS {
                self.wire
                    .sender
                    .send(&frame)
                    .context("cannot send a frame")?;
            }
        }
        let arrived = self
            .wire
            .receiver
            .receive(QUIET, MAX_FRAMES)
            .context("cannot receive frames")?;
        batch
            .iter()
            .map(|trial| {
                let marker = marker(*trial);
                let came = arrived
                    .iter()
                    .filter(|frame| raw::holds(frame, marker.as_bytes()));
                Ok(Outcome {
                    seen: match came.count() {
                        0 => Fate::Drop,
                        PACKETS => Fate::Pass,
                        _ => Fate::Mixed,
                    },
                    packets: self
                        .settled(*trial)?
                        .saturating_sub(count(&before, *trial)?),
                })
            })
            .collect()
    }

    /// The counter of a trial once it stands still: a connection's last packets may be on their way.
    fn settled(&self, trial: Trial) -> Result<u64> {
        let mut last = count(&self.daemon.counters()?, trial)?;
        for _ in 0..MAX_LOOKS {
            thread::sleep(BETWEEN_LOOKS);
            let now = count(&self.daemon.counters()?, trial)?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}

/// Both ends of the cable, for whole frames.
struct Wire {
    sender: RawSocket,
    receiver: RawSocket,
    sender_mac: [u8; 6],
    receiver_mac: [u8; 6],
}

impl Wire {
    fn open(bed: &Bed) -> Result<Self> {
        Ok(Self {
            sender: RawSocket::open(&bed.client, Bed::CLIENT_DEVICE)?,
            receiver: RawSocket::open(&bed.server, Bed::SERVER_DEVICE)?,
            sender_mac: raw::hardware_address(&bed.client, Bed::CLIENT_DEVICE)?,
            receiver_mac: raw::hardware_address(&bed.server, Bed::SERVER_DEVICE)?,
        })
    }

    fn ends(&self, family: Family) -> Ends {
        Ends {
            from_mac: self.sender_mac,
            to_mac: self.receiver_mac,
            from: stranger(family),
            to: server(family),
        }
    }
}

/// What came of a trial.
#[derive(Clone, Copy)]
struct Outcome {
    seen: Fate,
    packets: u64,
}

fn server(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => SERVER_V4.into(),
        Family::Ipv6 => SERVER_V6.into(),
    }
}

fn stranger(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => STRANGER_V4.into(),
        Family::Ipv6 => STRANGER_V6.into(),
    }
}

/// What the frames of a trial carry, and no others.
fn marker(trial: Trial) -> String {
    format!("{trial:?}")
}

/// The counter that packets of a trial add to: that of the rule or outcome that passes them, or that of
/// the dropped packets to the port.
fn count(counters: &Value, trial: Trial) -> Result<u64> {
    let list = |name: &str| {
        counters[name]
            .as_array()
            .with_context(|| format!("the counters have no list `{name}`"))
    };
    let named = |entry: &&Value, name: &str| entry["name"] == name;
    let entry = match trial.decision {
        Decision::Pass(rule) => list("rules")?.iter().find(|entry| named(entry, rule)),
        Decision::PassByDefault => list("outcomes")?
            .iter()
            .find(|entry| named(entry, "default-pass")),
        Decision::Drop => {
            let protocol = serde_json::to_value(trial.protocol)?;
            list("drops")?
                .iter()
                .find(|entry| entry["protocol"] == protocol && entry["port"] == trial.port)
        }
    };
    // A rule or port without packets may have no entry.
    entry.map_or(Ok(0), |entry| {
        entry["packets"]
            .as_u64()
            .context("a counter has no packets")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TRIAL: Trial = Trial {
        protocol: Protocol::Tcp,
        port: 23,
        family: Family::Ipv4,
        vlan: Vlan::Untagged,
        decision: Decision::Drop,
    };

    #[test]
    fn rows_are_printed_as_promised() {
        let outcome = Outcome {
            seen: Fate::Drop,
            packets: 3,
        };
        assert_eq!(
            serde_json::to_string(&Row::new(Step::Start, TRIAL, outcome)).expect("serializes"),
            r#"{"step":"start","protocol":"tcp","port":23,"family":"ipv4","vlan":null,"expected":"drop","seen":"drop","packets":3}"#
        );
    }

    #[test]
    fn a_row_is_good_only_with_verdict_and_counter() {
        let good =
            |seen, packets| Row::new(Step::Start, TRIAL, Outcome { seen, packets }).is_good();
        assert!(good(Fate::Drop, 1));
        assert!(!good(Fate::Drop, 0));
        for fate in [Fate::Pass, Fate::Refused, Fate::Mixed] {
            assert!(!good(fate, 1), "{fate}");
        }
    }

    #[test]
    fn each_decision_has_its_counter() {
        let counters = json!({
            "outcomes": [{"name": "default-pass", "packets": 5}],
            "rules": [{"name": "web", "packets": 6}],
            "drops": [
                {"protocol": "udp", "port": 23, "packets": 7},
                {"protocol": "tcp", "port": 23, "packets": 8},
            ],
        });
        let of = |decision| count(&counters, Trial { decision, ..TRIAL }).expect("counts");
        assert_eq!(of(Decision::PassByDefault), 5);
        assert_eq!(of(Decision::Pass("web")), 6);
        assert_eq!(of(Decision::Pass("another")), 0);
        assert_eq!(of(Decision::Drop), 8);
        assert!(count(&json!({}), TRIAL).is_err());
    }
}
