//! Writing families of metrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry;

use crate::control::Count;

/// What a family counts or measures; its name ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things that the name tells.
    None,
    /// Frames.
    Packets,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    fn known(self) -> Option<registry::Unit> {
        match self {
            Self::None => None,
            Self::Packets => Some(registry::Unit::Other("packets".into())),
            Self::Bytes => Some(registry::Unit::Bytes),
            Self::Seconds => Some(registry::Unit::Seconds),
        }
    }
}

/// The labels of a series, with their values.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// Where families are written.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A counter with labels. The text adds `_total` to its name, after the unit.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        unit: Unit,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let unit = unit.known();
        let counter = MetricType::Counter;
        let mut family = self
            .0
            .encode_descriptor(name, help, unit.as_ref(), counter)?;
        series.into_iter().try_for_each(|(labels, value)| {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)
        })
    }

    /// A pair of counters, of packets and of their bytes.
    pub(super) fn counts<'l, const N: usize>(
        &mut self,
        name: &str,
        [packets_help, bytes_help]: [&str; 2],
        series: impl IntoIterator<Item = (Labels<'l, N>, Count)>,
    ) -> fmt::Result {
        let series: Vec<_> = series.into_iter().collect();
        let packets = series
            .iter()
            .map(|(labels, count)| (*labels, count.packets));
        self.counters(name, Unit::Packets, packets_help, packets)?;
        let bytes = series.iter().map(|(labels, count)| (*labels, count.bytes));
        self.counters(name, Unit::Bytes, bytes_help, bytes)
    }

    /// A gauge with labels.
    pub(super) fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        unit: Unit,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let unit = unit.known();
        let gauge = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), gauge)?;
        series.into_iter().try_for_each(|(labels, value)| {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)
        })
    }

    /// A gauge without labels.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Unit,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, unit, help, [([], value)])
    }

    /// A histogram without labels.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        unit: Unit,
        help: &str,
        histogram: &Histogram,
    ) -> fmt::Result {
        let (unit, kind) = (unit.known(), MetricType::Histogram);
        let family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        histogram.encode(family)
    }

    /// What does not change, as labels. The text adds `_info` to its name.
    pub(super) fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_, N>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&labels)
    }
}
