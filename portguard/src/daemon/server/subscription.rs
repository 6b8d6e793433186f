//! Answering what is counted, once or again and again.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::Instant;

use super::super::calls::{Calls, failed};
use super::{send, send_line};

/// Shortest time between two answers.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Answers once, and then each interval until the client has gone.
///
/// The moments of an interval are the same for all clients, so that one reading of the counters serves them all. Each
/// client is written to by a task of its own: one that is slow misses answers, and holds up nobody else.
pub(super) async fn serve(
    interval: Option<Duration>,
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    calls: &Calls,
) -> io::Result<()> {
    let mut moment = Instant::now();
    loop {
        match calls.sample(moment).await {
            Ok(sample) => send_line(&mut write, sample.line()?).await?,
            Err(failure) => return send(&mut write, &failed(&failure)).await,
        }
        let Some(interval) = interval else {
            return Ok(());
        };
        moment = calls.next_moment(interval.max(MIN_INTERVAL));
        // A client that is gone gives its place back at once; one that goes on talking is ignored.
        let mut rest = [0; 256];
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(moment) => break,
                read = read.read(&mut rest) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }
}
