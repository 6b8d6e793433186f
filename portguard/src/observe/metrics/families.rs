//! The families of metrics, one after another.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::control::{EventAccount, InterfaceState};
use crate::dataplane::Mode;

use super::encode::{Families, Unit};
use super::{Reloads, Snapshot, drops, rules};

/// What the names of malformed outcomes start with.
const MALFORMED: &str = "malformed:";

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families(&mut Families::new(encoder))
    }
}

impl Snapshot {
    fn families(&self, families: &mut Families<'_>) -> fmt::Result {
        self.daemon(families)?;
        self.policy(families)?;
        self.reloads(families)?;
        self.interfaces(families)?;
        self.outcomes(families)?;
        let counters = self.sample.counters();
        let rules = rules::RuleSeries::of(&counters.rules, &self.policy.enforced);
        rules.encode(families)?;
        let drops = drops::DropSeries::of(&counters.drops, &self.policy.ports);
        drops.encode(families)?;
        self.events(families)?;
        let folded = [
            ([("what", "rule_packets")], rules.folded_packets()),
            ([("what", "rule_bytes")], rules.folded_bytes()),
            ([("what", "ports")], drops.folded()),
        ];
        families.gauges(
            "portguard_exporter_folded",
            Unit::None,
            "Rules and ports without a series of their own, counted in one named other.",
            folded,
        )
    }

    fn daemon(&self, families: &mut Families<'_>) -> fmt::Result {
        families.info(
            "portguard_build",
            "The version of the daemon.",
            [("version", self.status.version.as_str())],
        )?;
        families.gauge(
            "portguard_start_time",
            Unit::Seconds,
            "When the daemon started, since 1970.",
            self.started_unix_s,
        )?;
        families.gauge(
            "portguard_degraded_reasons",
            Unit::None,
            "Reasons why not all is as it should be; portguard status tells them.",
            self.status.degraded.len(),
        )?;
        families.gauge(
            "portguard_bans",
            Unit::None,
            "Sources that are banned.",
            self.bans,
        )?;
        families.gauge(
            "portguard_bans_capacity",
            Unit::None,
            "Sources that can be banned at the same time.",
            self.bans_capacity,
        )
    }

    fn policy(&self, families: &mut Families<'_>) -> fmt::Result {
        let status = &self.status;
        families.gauge(
            "portguard_policy_generation",
            Unit::None,
            "Number of the policy in force, one more with each that takes effect.",
            status.generation,
        )?;
        families.gauge(
            "portguard_policy_rules",
            Unit::None,
            "Rules of the policy in force.",
            status.rules,
        )?;
        families.gauge(
            "portguard_policy_enforced",
            Unit::None,
            "0 in a dry run, in which nothing is dropped.",
            u64::from(status.enforce),
        )?;
        families.gauge(
            "portguard_policy_last_change_timestamp",
            Unit::Seconds,
            "When the policy in force took effect, since 1970.",
            self.policy.changed_unix_s,
        )?;
        families.gauge(
            "portguard_trial_active",
            Unit::None,
            "1 while the policy in force is on trial.",
            u64::from(status.trial_s.is_some()),
        )?;
        families.gauge(
            "portguard_trial_remaining",
            Unit::Seconds,
            "Time that is left to confirm the policy on trial.",
            status.trial_s.unwrap_or_default(),
        )
    }

    fn reloads(&self, families: &mut Families<'_>) -> fmt::Result {
        let Reloads {
            success,
            unchanged,
            failure,
            durations,
        } = &self.reloads;
        families.counters(
            "portguard_reloads",
            Unit::None,
            "Changes of the policy that were asked for, and reloads.",
            [
                ([("result", "success")], *success),
                ([("result", "unchanged")], *unchanged),
                ([("result", "failure")], *failure),
            ],
        )?;
        families.histogram(
            "portguard_reload_duration",
            Unit::Seconds,
            "How long reloads took that changed the policy or failed.",
            durations,
        )?;
        let last = self.status.last_reload.as_ref();
        families.gauge(
            "portguard_last_reload_successful",
            Unit::None,
            "0 if the last reload of the policy file failed.",
            u64::from(last.is_none_or(|last| last.ok)),
        )
    }

    fn interfaces(&self, families: &mut Families<'_>) -> fmt::Result {
        let interfaces = self.status.interfaces.iter().map(|interface| {
            let mode = match interface.mode {
                Some(Mode::Native) => "native",
                Some(Mode::Generic) => "generic",
                None => "none",
            };
            let labels = [("interface", interface.name.as_str()), ("mode", mode)];
            (
                labels,
                u64::from(interface.state == InterfaceState::Attached),
            )
        });
        families.gauges(
            "portguard_interface_attached",
            Unit::None,
            "1 where the filter is at work, 0 where it waits for the interface or cannot be attached.",
            interfaces,
        )
    }

    fn events(&self, families: &mut Families<'_>) -> fmt::Result {
        let EventAccount {
            delivered,
            suppressed,
            lost,
            ..
        } = self.sample.counters().events;
        families.counters(
            "portguard_events",
            Unit::None,
            "Drop events, by what became of them.",
            [
                ([("result", "delivered")], delivered),
                ([("result", "suppressed")], suppressed),
                ([("result", "lost")], lost),
            ],
        )
    }

    fn outcomes(&self, families: &mut Families<'_>) -> fmt::Result {
        let counters = self.sample.counters();
        let frames = counters.frames;
        families.counts(
            "portguard_received",
            [
                "Packets that were judged.",
                "Bytes of these packets, from the Ethernet header on.",
            ],
            [([], frames)],
        )?;
        let (malformed, decided): (Vec<_>, Vec<_>) = counters
            .outcomes
            .iter()
            .map(|outcome| (outcome.name.as_str(), outcome.count))
            .partition(|(name, _)| name.starts_with(MALFORMED));
        families.counts(
            "portguard_outcome",
            [
                "Packets that no rule decided, by what became of them.",
                "Bytes of these packets.",
            ],
            decided
                .into_iter()
                .map(|(name, count)| ([("outcome", name)], count)),
        )?;
        families.counts(
            "portguard_malformed",
            [
                "Packets whose headers cannot be read, by the reason.",
                "Bytes of these packets.",
            ],
            malformed.into_iter().map(|(name, count)| {
                (
                    [("reason", name.strip_prefix(MALFORMED).unwrap_or(name))],
                    count,
                )
            }),
        )
    }
}
