//! Rates: the matches `limit`, `hashlimit` and `recent`.

use super::Family;
use super::matches::{Reader, Step};
use super::words::Word;
use crate::finding::{Finding, Kind};
use crate::model::{Rate, RateTest, Verdict};

/// What `limit` and `hashlimit` say.
#[derive(Default)]
pub(super) struct Limits {
    rate: Option<(u64, String)>,
    burst: Option<u64>,
    over: bool,
    /// The mode of hashlimit.
    mode: Option<String>,
    source_mask: Option<u32>,
    /// What stands in the way of a limit of portguard.
    odd: Option<String>,
}

/// What `recent` says.
#[derive(Default)]
pub(super) struct Recent {
    set: bool,
    update: bool,
    seconds: Option<u64>,
    hits: Option<u64>,
    odd: bool,
}

/// Packets that `limit` and `hashlimit` let through at once if not told (iptables-extensions(8)).
const DEFAULT_BURST: u64 = 5;

impl Reader<'_> {
    pub(super) fn finish_limit(&mut self) {
        let limits = std::mem::take(&mut self.limits);
        if let Some(odd) = limits.odd {
            return self.unknown(odd);
        }
        let Some((count, unit)) = limits.rate else {
            return;
        };
        let per_source = match limits.mode.as_deref() {
            None | Some("") => false,
            Some("srcip") => true,
            Some(other) => return self.unknown(format!("a rate for each `{other}`")),
        };
        if per_source
            && limits
                .source_mask
                .is_some_and(|mask| mask != self.host_bits())
        {
            return self.unknown("a rate for each network of sources".into());
        }
        let burst = limits.burst.unwrap_or(DEFAULT_BURST);
        match Rate::new(count, &unit, burst, per_source) {
            Some(rate) => {
                self.rule.limit = Some(RateTest {
                    rate,
                    over: limits.over,
                });
            }
            None => self.unknown(format!("a rate of {count} in a {unit}")),
        }
    }

    /// Bits of a source that portguard gives a ceiling of its own.
    fn host_bits(&self) -> u32 {
        match self.family {
            Family::V4 => 32,
            Family::V6 => 64,
        }
    }

    /// `recent` counts in a window that slides: `--seconds 30 --hitcount 6` lets five through in any 30 seconds. A bucket
    /// of four that gets one more in 30 seconds never lets more through.
    pub(super) fn finish_recent(&mut self) {
        let recent = std::mem::take(&mut self.recent);
        if !(recent.set || recent.update || recent.odd) {
            return;
        }
        if recent.set && !recent.update && !recent.odd && self.rule.verdict == Verdict::Continue {
            // It only remembers.
            self.is_possible = false;
            return;
        }
        let within = recent.hits.zip(recent.seconds).filter(|(hits, seconds)| {
            *hits >= 3 && *seconds > 0 && *seconds <= 60 && !recent.odd && !recent.set
        });
        let rate =
            within.and_then(|(hits, seconds)| Rate::new(60 / seconds, "minute", hits - 2, true));
        match rate {
            Some(rate) => {
                self.rule.limit = Some(RateTest { rate, over: true });
                self.findings.push(Finding {
                    kind: Kind::Stricter,
                    file: self.origin.file.clone(),
                    line: self.origin.line,
                    original: self.origin.text.clone(),
                    reason: "`recent` counts in a window that slides, and portguard fills a bucket"
                        .into(),
                    consequence: format!(
                        "at once pass {}, and later {} a minute, so that never more pass than did",
                        rate.burst, rate.count
                    ),
                });
            }
            None => self.unknown("what the match `recent` remembers".into()),
        }
    }

    pub(super) fn limit(&mut self, option: &Word, inverted: bool) -> Step {
        match option.text.as_str() {
            "--limit" | "--hashlimit" | "--hashlimit-upto" | "--hashlimit-above" => {
                let value = self.value(option)?;
                self.limits.over = (option.text == "--hashlimit-above") != inverted;
                let (count, unit) = value
                    .text
                    .split_once('/')
                    .unwrap_or((&value.text, "second"));
                match count.parse() {
                    Ok(count) => self.limits.rate = Some((count, unit.to_owned())),
                    Err(_) => self.limits.odd = Some(format!("a rate of {}", value.text)),
                }
            }
            "--limit-burst" | "--hashlimit-burst" => {
                let value = self.value(option)?;
                match value.text.parse() {
                    Ok(burst) => self.limits.burst = Some(burst),
                    Err(_) => self.limits.odd = Some(format!("a burst of {}", value.text)),
                }
            }
            "--hashlimit-mode" => self.limits.mode = Some(self.value(option)?.text),
            "--hashlimit-srcmask" => {
                let value = self.value(option)?;
                match value.text.parse() {
                    Ok(bits) => self.limits.source_mask = Some(bits),
                    Err(_) => return self.wrong(&value, "this is no length of a prefix"),
                }
            }
            // How the table is kept.
            "--hashlimit-name"
            | "--hashlimit-htable-size"
            | "--hashlimit-htable-max"
            | "--hashlimit-htable-expire"
            | "--hashlimit-htable-gcinterval"
            | "--hashlimit-dstmask" => {
                self.value(option)?;
            }
            other => {
                let odd = format!("`{other}`");
                self.other(option, inverted);
                self.limits.odd = Some(odd);
            }
        }
        Ok(())
    }

    pub(super) fn recent(&mut self, option: &Word, inverted: bool) -> Step {
        self.recent.odd |= inverted;
        match option.text.as_str() {
            "--set" => self.recent.set = true,
            "--update" => self.recent.update = true,
            "--rcheck" | "--rdest" | "--remove" | "--rttl" => self.recent.odd = true,
            "--rsource" | "--reap" => {}
            "--seconds" | "--hitcount" => {
                let value = self.value(option)?;
                let Ok(number) = value.text.parse() else {
                    return self.wrong(&value, "this is no number");
                };
                match option.text.as_str() {
                    "--seconds" => self.recent.seconds = Some(number),
                    _ => self.recent.hits = Some(number),
                }
            }
            // `--name`, and `--mask` of a host.
            _ => {
                let value = self.value(option)?;
                let whole = ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
                self.recent.odd |= option.text == "--mask" && !whole.contains(&value.text.as_str());
            }
        }
        Ok(())
    }
}
