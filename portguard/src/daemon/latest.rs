//! What is read once for all who ask for the same moment.

use std::sync::Arc;

use tokio::time::Instant;

/// The last reading, for whoever is content with it.
#[derive(Debug)]
pub(super) struct Latest<T>(Option<(Instant, Arc<T>)>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Latest<T> {
    /// What there was at a moment or later. Many who ask for the same moment get the same reading.
    pub(super) fn get(
        &mut self,
        since: Instant,
        read: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Arc<T>> {
        if let Some((taken, last)) = &self.0
            && *taken >= since
        {
            return Ok(Arc::clone(last));
        }
        let taken = Instant::now();
        let reading = Arc::new(read()?);
        self.0 = Some((taken, Arc::clone(&reading)));
        Ok(reading)
    }

    /// Forgets the last reading, since another policy may be in force now.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    /// Says which reading it is.
    fn read(readings: &Cell<u64>) -> anyhow::Result<u64> {
        readings.set(readings.get() + 1);
        Ok(readings.get())
    }

    #[test]
    fn all_who_ask_for_the_same_moment_share_one_reading() {
        let (readings, mut latest) = (Cell::new(0), Latest::default());
        let mut get = |since| *latest.get(since, || read(&readings)).expect("a reading");
        let moment = Instant::now();
        let all: Vec<u64> = (0..100).map(|_| get(moment)).collect();
        assert_eq!(all, [1; 100]);
        // Who asks for an earlier moment is content with a later one.
        assert_eq!(get(moment - Duration::from_secs(1)), 1);
        // Who asks later gets what there is since.
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(get(Instant::now()), 2);
    }

    #[test]
    fn what_was_read_of_another_policy_is_not_given_out() {
        let (readings, mut latest) = (Cell::new(0), Latest::default());
        let moment = Instant::now();
        latest.get(moment, || read(&readings)).expect("a reading");
        latest.forget();
        let second = latest.get(moment, || read(&readings)).expect("a reading");
        assert_eq!(*second, 2);
    }

    #[test]
    fn a_reading_that_fails_is_not_kept() {
        let (readings, mut latest) = (Cell::new(0), Latest::default());
        let moment = Instant::now();
        let failed = latest.get(moment, || anyhow::bail!("no memory"));
        assert_eq!(failed.expect_err("fails").to_string(), "no memory");
        let first = latest.get(moment, || read(&readings)).expect("a reading");
        assert_eq!(*first, 1);
    }
}
