//! Questions to the control loop, and their answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::control::{Answer, Request};
use crate::exit::{Failure, Outcome};
use crate::observe::metrics::Snapshot;
use crate::observe::page::Report;
use crate::observe::sample::Sample;

use super::tell::Feed;

/// Questions that may wait.
const BACKLOG: usize = 16;

/// A question, with the place where the answer goes.
pub(super) enum Call {
    /// A request, which is carried out for whoever asked alone.
    Request(Request, oneshot::Sender<Answer>),
    /// Events, which go to this place from now on.
    Subscribe(Feed, oneshot::Sender<Outcome>),
    /// What is counted, as it was at this moment or later.
    Sample(Instant, oneshot::Sender<Outcome<Arc<Sample>>>),
    /// All that metrics tell, in the same way.
    Scrape(Instant, oneshot::Sender<Outcome<Arc<Snapshot>>>),
    /// All that the web page shows, in the same way.
    Report(Instant, oneshot::Sender<Outcome<Arc<Report>>>),
}

/// Where questions are asked.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    sender: mpsc::Sender<Call>,
    /// From where the moments of all intervals are counted.
    epoch: Instant,
}

impl Calls {
    /// The side that asks, and the one that answers.
    pub(super) fn new() -> (Self, mpsc::Receiver<Call>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let epoch = Instant::now();
        (Self { sender, epoch }, receiver)
    }

    /// Has a request carried out.
    pub(super) async fn ask(&self, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        let call = Call::Request(request, reply);
        if self.sender.send(call).await.is_err() {
            return failed(&stopping());
        }
        answer.await.unwrap_or_else(|_stopped| failed(&stopping()))
    }

    /// Has events sent to a place from now on.
    pub(super) async fn subscribe(&self, feed: Feed) -> Outcome {
        self.get(|reply| Call::Subscribe(feed, reply)).await
    }

    /// What is counted, as it was at a moment or later.
    pub(super) async fn sample(&self, since: Instant) -> Outcome<Arc<Sample>> {
        self.get(|reply| Call::Sample(since, reply)).await
    }

    /// All that metrics tell, as it was at a moment or later.
    pub(super) async fn scrape(&self, since: Instant) -> Outcome<Arc<Snapshot>> {
        self.get(|reply| Call::Scrape(since, reply)).await
    }

    /// All that the web page shows, as it was at a moment or later.
    pub(super) async fn report(&self, since: Instant) -> Outcome<Arc<Report>> {
        self.get(|reply| Call::Report(since, reply)).await
    }

    async fn get<T>(&self, call: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Call) -> Outcome<T> {
        let (reply, answer) = oneshot::channel();
        if self.sender.send(call(reply)).await.is_err() {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_stopped| Err(stopping()))
    }

    /// The next moment of an interval, at least half of it away. All who wait for an interval wait for the same moments.
    pub(super) fn next_moment(&self, interval: Duration) -> Instant {
        next_moment(self.epoch, Instant::now(), interval)
    }
}

fn next_moment(epoch: Instant, now: Instant, interval: Duration) -> Instant {
    let since_last_ns = now.duration_since(epoch).as_nanos() % interval.as_nanos().max(1);
    // It is less than the time since the epoch, some years.
    let since_last = Duration::from_nanos(u64::try_from(since_last_ns).unwrap_or(u64::MAX));
    let left = interval.saturating_sub(since_last);
    if left < interval / 2 {
        now + left + interval
    } else {
        now + left
    }
}

/// The answer that says why a request failed.
pub(super) fn failed(failure: &Failure) -> Answer {
    Answer::Failed {
        exit: failure.exit as u8,
        error: failure.to_string(),
    }
}

fn stopping() -> Failure {
    Failure::system(anyhow!("the daemon is stopping"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_for_an_interval_wait_for_the_same_moments() {
        let epoch = Instant::now();
        let next = |now_ms, interval_ms| {
            let now = epoch + Duration::from_millis(now_ms);
            let moment = next_moment(epoch, now, Duration::from_millis(interval_ms));
            moment.duration_since(epoch).as_millis()
        };
        for (now_ms, interval_ms, expected_ms) in [
            (0, 1_000, 1_000),
            (1, 1_000, 1_000),
            (500, 1_000, 1_000),
            // Less than half an interval would be left: too short a time for a rate.
            (501, 1_000, 2_000),
            (999, 1_000, 2_000),
            (1_000, 1_000, 2_000),
            (1_003, 1_000, 2_000),
            // Every second moment of 1 s is one of 2 s.
            (999, 2_000, 2_000),
            (1_003, 2_000, 4_000),
            (7_050, 100, 7_100),
        ] {
            assert_eq!(
                next(now_ms, interval_ms),
                expected_ms,
                "{now_ms} {interval_ms}"
            );
        }
        // Never, in effect.
        next_moment(epoch, epoch, Duration::from_millis(u64::MAX));
    }
}
