//! Interfaces that a rule matches, by name.

use std::collections::BTreeSet;

/// The loopback device, which portguard does not filter.
const LOOPBACK: &str = "lo";

/// Names, or beginnings of names with a `*` behind them: those in `only`, or all, but for those in `not`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    only: Option<BTreeSet<String>>,
    not: BTreeSet<String>,
}

impl Interfaces {
    /// These alone.
    pub(crate) fn only(names: impl IntoIterator<Item = String>) -> Self {
        let only = names.into_iter().filter(|name| name != LOOPBACK).collect();
        Self {
            only: Some(only),
            not: BTreeSet::new(),
        }
    }

    /// All but these.
    pub(crate) fn not(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            only: None,
            not: names.into_iter().filter(|name| name != LOOPBACK).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.only.as_ref().is_some_and(BTreeSet::is_empty)
    }

    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let only = match (&self.only, &other.only) {
            (None, None) => None,
            (Some(own), None) | (None, Some(own)) => Some(own.clone()),
            (Some(own), Some(its)) => {
                let pairs = own
                    .iter()
                    .flat_map(|left| its.iter().map(move |right| (left, right)));
                Some(
                    pairs
                        .filter_map(|(left, right)| common(left, right))
                        .collect(),
                )
            }
        };
        let mut both = Self {
            only,
            not: self.not.union(&other.not).cloned().collect(),
        };
        if let Some(only) = &mut both.only {
            only.retain(|name| !both.not.iter().any(|not| means(not, name)));
            both.not
                .retain(|not| only.iter().any(|name| means(name, not)));
        }
        both
    }

    /// Whether another has no interface that this one has not. May say no where it is so.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let within = match (&self.only, &other.only) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(its)) => its
                .iter()
                .all(|name| own.iter().any(|own| means(own, name))),
        };
        let spared = self.not.iter().all(|not| {
            other.not.iter().any(|its| means(its, not))
                || other
                    .only
                    .as_ref()
                    .is_some_and(|only| only.iter().all(|name| common(name, not).is_none()))
        });
        within && spared
    }

    /// The patterns as a policy writes them, `None` for no condition.
    ///
    /// # Errors
    ///
    /// The interfaces that had to be left out by name, which a policy cannot say.
    pub(crate) fn patterns(&self) -> Result<Option<Vec<&str>>, Vec<&str>> {
        if !self.not.is_empty() {
            return Err(self.not.iter().map(String::as_str).collect());
        }
        let only = self.only.as_ref();
        Ok(only.map(|names| names.iter().map(String::as_str).collect()))
    }
}

/// Whether a pattern means every name that another means.
fn means(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => other.starts_with(beginning),
        None => pattern == other,
    }
}

/// The narrower of two patterns, if they have names in common.
fn common(left: &str, right: &str) -> Option<String> {
    if means(left, right) {
        Some(right.to_owned())
    } else if means(right, left) {
        Some(left.to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Interfaces {
        Interfaces::only(names.iter().map(|name| (*name).to_owned()))
    }

    fn not(names: &[&str]) -> Interfaces {
        Interfaces::not(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn beginnings_mean_names() {
        assert_eq!(
            only(&["eth*"]).intersect(&only(&["eth0", "wan0"])),
            only(&["eth0"])
        );
        assert!(only(&["eth0"]).intersect(&only(&["wan*"])).is_empty());
        assert!(only(&["eth*"]).covers(&only(&["eth0", "eth1"])));
        assert!(!only(&["eth0"]).covers(&only(&["eth*"])));
    }

    #[test]
    fn loopback_is_never_meant() {
        assert!(only(&["lo"]).is_empty());
        assert_eq!(not(&["lo"]), Interfaces::default());
    }

    #[test]
    fn what_is_left_out_can_be_said_where_the_rest_is_known() {
        let known = only(&["eth0", "eth1"]);
        assert_eq!(
            known.intersect(&not(&["eth0"])).patterns(),
            Ok(Some(vec!["eth1"]))
        );
        assert_eq!(not(&["eth0"]).patterns(), Err(vec!["eth0"]));
        assert!(!not(&["eth0"]).covers(&Interfaces::default()));
        assert!(Interfaces::default().covers(&not(&["eth0"])));
        assert!(not(&["eth0"]).covers(&only(&["eth1"])));
    }
}
