//! How fast everything counted in the last samples.

use std::collections::{HashMap, VecDeque};

use super::rows::Subject;

/// Samples that are kept.
pub const SAMPLES: usize = 60;

/// Rates of the last [`SAMPLES`] samples, in packets a second. What counted nothing in all of them takes no room.
#[derive(Clone, Debug, Default)]
pub struct History {
    frames: VecDeque<f64>,
    series: HashMap<Subject, VecDeque<f64>>,
}

impl History {
    /// Adds a sample: the rate of all frames, and of what counted in its time.
    pub(in crate::observe) fn push(
        &mut self,
        frames: f64,
        rates: impl IntoIterator<Item = (Subject, f64)>,
    ) {
        let before = self.frames.len();
        append(&mut self.frames, frames);
        for series in self.series.values_mut() {
            append(series, 0.0);
        }
        for (subject, rate) in rates {
            let series = self.series.entry(subject).or_insert_with(|| {
                // Nothing before this sample.
                let mut series = VecDeque::from(vec![0.0; before]);
                append(&mut series, 0.0);
                series
            });
            if let Some(last) = series.back_mut() {
                *last = rate;
            }
        }
        self.series
            .retain(|_, series| series.iter().any(|rate| *rate > 0.0));
    }

    /// The rates of all frames, oldest first.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.frames.iter().copied()
    }

    /// The rates of one subject, oldest first: as many as there are samples.
    #[must_use]
    pub fn of(&self, subject: &Subject) -> Vec<f64> {
        match self.series.get(subject) {
            Some(series) => series.iter().copied().collect(),
            None => vec![0.0; self.frames.len()],
        }
    }

    /// Whether a subject takes room.
    #[must_use]
    pub fn has(&self, subject: &Subject) -> bool {
        self.series.contains_key(subject)
    }

    /// Subjects that take room.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.series.len()
    }
}

fn append(series: &mut VecDeque<f64>, rate: f64) {
    if series.len() == SAMPLES {
        series.pop_front();
    }
    series.push_back(rate);
}
