//! What keeps one page up to date: server-sent events, one each second.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::observe::page::PolicyText;

use super::hub::{Hold, Hub};

/// How long a reader may take nothing. What it misses meanwhile is not kept for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that wait for the connection to take them.
const QUEUE: usize = 1;

/// Milliseconds after which a browser comes again when the connection is lost.
const FIRST: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// One reader.
pub(super) struct Stream {
    hub: Arc<Hub>,
    sender: Sender<Bytes>,
    /// The policy that it was told last.
    told: Option<Arc<PolicyText>>,
    hold: Hold,
    _place: OwnedSemaphorePermit,
}

/// Why a stream ends at once.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("its reader is gone")]
    Gone,
    #[error("its reader has taken nothing for {} s", PATIENCE.as_secs())]
    Stalled,
}

impl Stream {
    /// A reader and what it reads, if there is a place.
    pub(super) fn begin(hub: &Arc<Hub>) -> Option<(Self, Channel<Bytes>)> {
        let place = hub.place()?;
        let (sender, body) = Channel::new(QUEUE);
        let stream = Self {
            hub: Arc::clone(hub),
            sender,
            told: None,
            hold: Hold::default(),
            _place: place,
        };
        Some((stream, body))
    }

    /// Tells what there is to tell until the daemon stops, or the reader is gone or takes nothing.
    ///
    /// # Errors
    ///
    /// When nothing can be told to it any more.
    pub(super) async fn run(mut self) -> Result<(), Ended> {
        self.send(FIRST).await?;
        let mut moment = Hub::first_moment();
        loop {
            let news = match self.hub.news(moment, &mut self.hold).await {
                Ok(news) => news,
                Err(failure) => return self.send(failed(&failure.to_string())).await,
            };
            let is_told = |told: &Arc<PolicyText>| Arc::ptr_eq(told, &news.policy);
            if !self.told.as_ref().is_some_and(is_told) {
                self.send(news.policy_event.clone()).await?;
                self.told = Some(Arc::clone(&news.policy));
            }
            self.send(news.event.clone()).await?;
            moment = self.hub.next_moment();
            tokio::time::sleep_until(moment).await;
        }
    }

    async fn send(&mut self, event: Bytes) -> Result<(), Ended> {
        match timeout(PATIENCE, self.sender.send_data(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(Ended::Gone),
            Err(_elapsed) => Err(Ended::Stalled),
        }
    }
}

/// What went wrong, as an event.
fn failed(reason: &str) -> Bytes {
    let reason = serde_json::Value::from(reason);
    format!("event: failed\ndata: {reason}\n\n").into()
}
