//! What all readers of the page share: one reading of the counters each second, and one text of it. Nothing is read while
//! nobody reads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::control::{Answer, Event};
use crate::exit::{Failure, Outcome};
use crate::observe::filter::Filter;
use crate::observe::page::{Page, PolicyText};

use super::super::calls::Calls;
use super::super::tell::{Reader, feed};

/// Pages that are kept up to date at the same time, at all addresses together; a further one is refused.
const PLACES: usize = 16;

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The readers' common part.
#[derive(Debug)]
pub(super) struct Hub {
    calls: Calls,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    page: Option<Page>,
    last: Option<(Instant, Arc<News>)>,
    /// Drop events, as long as some reader holds it.
    events: Weak<Reader>,
}

/// What is told at one moment.
#[derive(Debug)]
pub(super) struct News {
    /// The policy in force, and what is told of it when there is another one.
    pub(super) policy: Arc<PolicyText>,
    pub(super) policy_event: Bytes,
    /// All the rest.
    pub(super) event: Bytes,
}

/// What a reader holds as long as it reads, so that there are events.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<Arc<Reader>>);

impl Hub {
    /// Nobody reads.
    pub(super) fn new(calls: Calls) -> Self {
        Self {
            calls,
            places: Arc::new(Semaphore::new(PLACES)),
            state: Mutex::default(),
        }
    }

    /// A place for a reader, if one is free.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The moment from which on the first news of a reader may be: what others were told in the last second will do.
    pub(super) fn first_moment() -> Instant {
        let now = Instant::now();
        now.checked_sub(INTERVAL).unwrap_or(now)
    }

    /// The next moment, which is the same for all readers.
    pub(super) fn next_moment(&self) -> Instant {
        self.calls.next_moment(INTERVAL)
    }

    /// What there is to tell since a moment. The first who asks makes it, for all.
    pub(super) async fn news(&self, since: Instant, hold: &mut Hold) -> Outcome<Arc<News>> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if hold.0.is_none() {
            hold.0 = state.events.upgrade();
        }
        if let Some((taken, last)) = &state.last
            && *taken >= since
        {
            return Ok(Arc::clone(last));
        }
        let taken = Instant::now();
        let report = self.calls.report(since).await?;
        self.follow_events(report.status.events.is_some(), state, hold)
            .await;
        let told = hold.0.as_deref().map(events).unwrap_or_default();
        let policy = Arc::clone(&report.policy);
        let page = match &mut state.page {
            Some(page) => {
                page.take(report, told);
                page
            }
            // Events from before the first reading have no time.
            None => state.page.insert(Page::new(report)),
        };
        let before = state.last.take();
        let policy_event = match before {
            Some((_, before)) if Arc::ptr_eq(&before.policy, &policy) => {
                before.policy_event.clone()
            }
            _ => event("policy", policy.json())?,
        };
        let news = Arc::new(News {
            policy_event,
            policy,
            event: event("report", page.json())?,
        });
        state.last = Some((taken, Arc::clone(&news)));
        Ok(news)
    }

    /// Listens to drop events while the policy has some.
    async fn follow_events(&self, are_told: bool, state: &mut State, hold: &mut Hold) {
        if !are_told {
            hold.0 = None;
            return;
        }
        if hold.0.is_some() {
            return;
        }
        let (feed, reader) = feed(Filter::default(), false);
        match self.calls.subscribe(feed).await {
            Ok(()) => {
                let reader = Arc::new(reader);
                state.events = Arc::downgrade(&reader);
                hold.0 = Some(reader);
            }
            // The policy has changed meanwhile: the next time tells.
            Err(failure) => debug!("a page has no events: {failure}"),
        }
    }
}

/// The events that wait.
fn events(reader: &Reader) -> Vec<Event> {
    let lines = std::iter::from_fn(|| reader.take());
    lines
        .filter_map(|line| match serde_json::from_str(&line) {
            Ok(Answer::Event(event)) => Some(event),
            Ok(_) => None,
            Err(error) => {
                warn!("an event cannot be read: {error}");
                None
            }
        })
        .collect()
}

/// A server-sent event; JSON has no line ends.
fn event(name: &str, data: serde_json::Result<String>) -> Outcome<Bytes> {
    let data = data.map_err(|error| Failure::system(anyhow::Error::new(error)))?;
    Ok(format!("event: {name}\ndata: {data}\n\n").into())
}
