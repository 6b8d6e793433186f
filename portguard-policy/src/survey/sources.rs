//! What becomes of some traffic, by where it comes from.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;
use std::ops::ControlFlow;

use super::{Decision, HIGHEST, Pair, Region, TooComplex, Work, interfaces_of};
use crate::compile::Tables;
use crate::prefix::Prefix;
use crate::traffic::Traffic;

/// First and last addresses of ranges of sources, by what becomes of them.
type Ranges = BTreeMap<BTreeSet<Decision>, Vec<(u128, u128)>>;

/// Sources of which the same becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BySource {
    /// What becomes of it: several decisions where the source alone does not decide.
    pub decisions: BTreeSet<Decision>,
    /// From where, in as few prefixes as there can be, in order.
    pub sources: Vec<Prefix>,
}

/// Tables that are asked about many kinds of traffic.
pub struct TrafficSurvey<'t> {
    tables: &'t Tables,
    pair: Pair<'t>,
}

impl<'t> TrafficSurvey<'t> {
    /// Prepares for questions.
    pub fn new(tables: &'t Tables) -> Self {
        Self {
            tables,
            pair: Pair::new(tables, tables),
        }
    }

    /// What becomes of all traffic that any of these descriptions means, by where it comes from. Whole packets count, TCP
    /// is a new connection, and state and bans are left aside, as in an assertion. A description that names no interface
    /// means all that the tables were compiled for.
    ///
    /// # Errors
    ///
    /// [`TooComplex`] where this is about more combinations of fields than are looked at.
    pub fn by_source(&self, traffic: &[Traffic]) -> Result<Vec<BySource>, TooComplex> {
        let interfaces = interfaces_of(&[self.tables]);
        let regions: Vec<Region> = traffic
            .iter()
            .map(|own| Region::of(own, interfaces.clone()))
            .collect();
        let mut work = Work::new();
        let mut found: BTreeMap<BTreeSet<Decision>, Vec<Prefix>> = BTreeMap::new();
        for family in [0, 1] {
            for (decisions, ranges) in self.of_family(&regions, family, &mut work)? {
                let prefixes = found.entry(decisions).or_default();
                for range in ranges {
                    cover(family == 0, range, prefixes);
                }
            }
        }
        let answers = found.into_iter();
        let answers = answers.map(|(decisions, sources)| BySource { decisions, sources });
        Ok(answers.filter(|own| !own.decisions.is_empty()).collect())
    }

    /// The ranges of sources of a family, by what becomes of them.
    fn of_family(
        &self,
        regions: &[Region],
        family: usize,
        work: &mut Work,
    ) -> Result<Ranges, TooComplex> {
        let mut wholes: Vec<(u128, u128)> = regions
            .iter()
            .filter_map(|own| own.sources[family].filter(|_| own.destinations[family].is_some()))
            .collect();
        wholes.dedup();
        if let [whole] = wholes[..] {
            let all = self.decisions(regions, family, whole, work)?;
            if all.len() <= 1 {
                return Ok(BTreeMap::from([(all, vec![whole])]));
            }
        }
        // Where all sources of a run are of one class and meant by the same descriptions, one stands for all of them.
        let mut edges = vec![0];
        for (low, high) in wholes {
            edges.push(low);
            edges.extend(high.checked_add(1));
        }
        edges.retain(|edge| *edge <= HIGHEST[family]);
        edges.sort_unstable();
        edges.dedup();
        let mut known: BTreeMap<(usize, u16), BTreeSet<Decision>> = BTreeMap::new();
        let mut found = Ranges::new();
        for (place, edge) in edges.iter().enumerate() {
            let next = edges.get(place + 1);
            let last = next.map_or(HIGHEST[family], |next| next - 1);
            for (low, high, class) in self.intervals(family, (*edge, last)) {
                let decisions = match known.entry((place, class)) {
                    Entry::Occupied(own) => own.into_mut(),
                    Entry::Vacant(own) => {
                        own.insert(self.decisions(regions, family, (low, low), work)?)
                    }
                };
                let ranges = found.entry(decisions.clone()).or_default();
                match ranges.last_mut() {
                    Some((_, last)) if last.checked_add(1) == Some(low) => *last = high,
                    _ => ranges.push((low, high)),
                }
            }
        }
        Ok(found)
    }

    /// All that becomes of the traffic from some sources of a family, of that part of it that is meant.
    fn decisions(
        &self,
        regions: &[Region],
        family: usize,
        (low, high): (u128, u128),
        work: &mut Work,
    ) -> Result<BTreeSet<Decision>, TooComplex> {
        let mut decisions = BTreeSet::new();
        for region in regions {
            let meant = region.sources[family]
                .map(|(first, last)| (low.max(first), high.min(last)))
                .filter(|(first, last)| first <= last);
            let mut sources = [None, None];
            sources[family] = meant;
            let region = Region {
                sources,
                ..region.clone()
            };
            self.pair.survey(&region, work, |found| {
                decisions.insert(found.decisions[0]);
                ControlFlow::Continue(())
            })?;
        }
        Ok(decisions)
    }

    /// The sources between two of a family, in runs of one class.
    fn intervals(&self, family: usize, (first, last): (u128, u128)) -> Vec<(u128, u128, u16)> {
        let classes = self.tables.addresses[0].as_deref();
        let starts: Vec<(u128, u16)> = match (classes, family) {
            (None, _) => vec![(0, 0)],
            (Some(own), 0) => own
                .v4
                .iter()
                .map(|(low, class)| ((*low).into(), *class))
                .collect(),
            (Some(own), _) => own.v6.clone(),
        };
        let ends = starts.iter().skip(1).map(|(low, _)| low - 1);
        let ends = ends.chain([HIGHEST[family]]);
        let runs = starts.iter().zip(ends);
        runs.map(|((low, class), high)| ((*low).max(first), high.min(last), *class))
            .filter(|(low, high, _)| low <= high)
            .collect()
    }
}

/// Adds the prefixes that are a range of addresses.
fn cover(is_v4: bool, (first, last): (u128, u128), prefixes: &mut Vec<Prefix>) {
    let bits = if is_v4 { 32 } else { 128 };
    let mut low = first;
    loop {
        // As large as its first address allows, and no larger than what is left.
        let aligned = low.trailing_zeros().min(bits);
        let left = (last - low).checked_add(1).map_or(128, u128::ilog2);
        let size = aligned.min(left);
        let address: IpAddr = if is_v4 {
            IpAddr::V4((low as u32).into())
        } else {
            IpAddr::V6(low.into())
        };
        prefixes.extend(Prefix::new(address, (bits - size) as u8));
        let length = 1_u128.checked_shl(size).unwrap_or(0);
        match low.checked_add(length) {
            Some(next) if length > 0 && next <= last => low = next,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(first: &str, last: &str) -> Vec<String> {
        let bits = |text: &str| match text.parse().expect("an address") {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let mut prefixes = Vec::new();
        cover(
            !first.contains(':'),
            (bits(first), bits(last)),
            &mut prefixes,
        );
        prefixes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_range_is_as_few_prefixes_as_can_be() {
        assert_eq!(covered("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(covered("10.0.0.0", "10.255.255.255"), ["10.0.0.0/8"]);
        assert_eq!(covered("192.0.2.7", "192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(
            covered("192.0.2.1", "192.0.2.6"),
            ["192.0.2.1", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6"]
        );
        assert_eq!(
            covered("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ["::/0"]
        );
        assert_eq!(
            covered("8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ["8000::/1"]
        );
        assert_eq!(
            covered("255.255.255.254", "255.255.255.255"),
            ["255.255.255.254/31"]
        );
    }
}
