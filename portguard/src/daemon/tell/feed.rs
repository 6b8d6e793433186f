//! The queue of one reader of events. It is bounded: who does not read loses what does not fit, and nobody waits for anybody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use crate::control::EventAccount;
use crate::observe::filter::Filter;

/// Bytes of events that wait for one reader at most.
pub(in super::super) const QUEUE_BYTES: usize = 1 << 20;

/// What an event takes beside its text.
const OVERHEAD_BYTES: usize = 64;

/// Where events for one reader go in.
#[derive(Debug)]
pub(in super::super) struct Feed {
    pub(super) filter: Filter,
    pub(super) with_bytes: bool,
    queue: Weak<Queue>,
    watcher: watch::Sender<Host>,
}

/// What a reader is told of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Host {
    pub(in super::super) account: EventAccount,
    pub(in super::super) enabled: bool,
}

/// Where they come out.
#[derive(Debug)]
pub(in super::super) struct Reader {
    queue: Arc<Queue>,
    /// What became of events on the host.
    pub(in super::super) host: watch::Receiver<Host>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
    lost: u64,
}

/// Both ends of a queue.
pub(in super::super) fn feed(filter: Filter, with_bytes: bool) -> (Feed, Reader) {
    let queue = Arc::new(Queue::default());
    let (watcher, host) = watch::channel(Host::default());
    let feed = Feed {
        filter,
        with_bytes,
        queue: Arc::downgrade(&queue),
        watcher,
    };
    (feed, Reader { queue, host })
}

impl Feed {
    /// The rule that it asks for.
    pub(in super::super) fn rule(&self) -> Option<&str> {
        self.filter.rule.as_deref()
    }

    /// Whether the reader is still there.
    pub(super) fn is_read(&self) -> bool {
        self.queue.strong_count() > 0
    }

    /// Puts a line in, or counts it as lost.
    pub(super) fn push(&self, line: &Arc<str>) {
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        let size = line.len() + OVERHEAD_BYTES;
        let mut waiting = queue.lock();
        if waiting.bytes + size > QUEUE_BYTES {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += size;
        waiting.lines.push_back(Arc::clone(line));
        drop(waiting);
        queue.filled.notify_one();
    }

    /// Tells what became of events on the host.
    pub(super) fn tell(&self, host: Host) {
        self.watcher.send_if_modified(|present| {
            let is_new = *present != host;
            *present = host;
            is_new
        });
    }
}

impl Reader {
    /// Waits until there is something to take. May be dropped before.
    pub(in super::super) async fn filled(&self) {
        while self.queue.lock().lines.is_empty() {
            self.queue.filled.notified().await;
        }
    }

    /// Takes the next line.
    pub(in super::super) fn take(&self) -> Option<Arc<str>> {
        let mut waiting = self.queue.lock();
        let line = waiting.lines.pop_front()?;
        waiting.bytes -= line.len() + OVERHEAD_BYTES;
        Some(line)
    }

    /// Events that did not fit.
    pub(in super::super) fn lost(&self) -> u64 {
        self.queue.lock().lost
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that could panic is done under it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_else_is_lost() {
        let (feed, reader) = feed(Filter::default(), false);
        let line: Arc<str> = "x".repeat(1000).into();
        let fit = QUEUE_BYTES / (1000 + OVERHEAD_BYTES);
        for _ in 0..fit + 7 {
            feed.push(&line);
        }
        assert_eq!(reader.lost(), 7);
        let taken = std::iter::from_fn(|| reader.take()).count();
        assert_eq!(taken, fit);
        // There is room again.
        feed.push(&line);
        assert_eq!((reader.take().is_some(), reader.lost()), (true, 7));
        assert!(feed.is_read());
        drop(reader);
        assert!(!feed.is_read());
        feed.push(&line);
    }
}
