//! A connection on which drop events go out.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::control::{Account, Answer, Request};
use crate::observe::filter::{Filter, parse_from};

use super::super::calls::{Calls, failed};
use super::super::tell::{QUEUE_BYTES, Reader, feed};
use super::{refused, send};

/// Longest time between two accounts, if something changed.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that are written at once.
const BATCH_BYTES: usize = 16 * 1024;

/// Sends the events that a filter chooses until the client closes its side, or the daemon stops.
pub(super) async fn events(
    filter: Result<Filter, String>,
    with_bytes: bool,
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    calls: &Calls,
) -> io::Result<()> {
    let write = &mut write;
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => return send(write, &refused(error)).await,
    };
    let (feed, reader) = feed(filter, with_bytes);
    if let Err(failure) = calls.subscribe(feed).await {
        return send(write, &failed(&failure)).await;
    }
    let mut stream = Stream {
        reader,
        delivered: 0,
        told: None,
    };
    stream.tell(write).await?;
    let mut due = Instant::now() + INTERVAL;
    let mut rest = [0; 256];
    loop {
        tokio::select! {
            () = stream.reader.filled() => stream.send_some(write).await?,
            () = tokio::time::sleep_until(due) => {}
            // A client that closes its side has seen enough; one that goes on talking is ignored.
            got = read.read(&mut rest) => {
                if got? == 0 {
                    return stream.end(write, calls).await;
                }
            }
        }
        if Instant::now() >= due {
            due = Instant::now() + INTERVAL;
            stream.tell_if_changed(write).await?;
        }
    }
}

/// The filter that a request asks for.
pub(super) fn filter(
    rule: Option<String>,
    port: Option<u16>,
    from: Option<&str>,
) -> Result<Filter, String> {
    let from = from.map(parse_from).transpose();
    Ok(Filter {
        rule,
        port,
        from: from.map_err(|error| format!("`from`: {error}"))?,
    })
}

/// What was sent so far.
struct Stream {
    reader: Reader,
    delivered: u64,
    /// The account that was sent last.
    told: Option<Account>,
}

impl Stream {
    /// Sends events that wait. Who does not read holds up nobody else: what comes meanwhile waits, or is lost to it.
    async fn send_some(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut text = String::new();
        while text.len() < BATCH_BYTES
            && let Some(line) = self.reader.take()
        {
            text.push_str(&line);
            self.delivered += 1;
        }
        write.write_all(text.as_bytes()).await
    }

    /// Sends what waits, as much as a queue holds, and the last account, which is of this very moment.
    async fn end(
        &mut self,
        write: &mut (impl AsyncWrite + Unpin),
        calls: &Calls,
    ) -> io::Result<()> {
        let status = calls.ask(Request::Status {}).await;
        for _ in 0..QUEUE_BYTES.div_ceil(BATCH_BYTES) {
            self.send_some(write).await?;
        }
        let mut account = self.account();
        if let Answer::Status(status) = status {
            account.host = status.event_account;
        }
        self.send_account(account, write).await
    }

    fn account(&self) -> Account {
        let host = *self.reader.host.borrow();
        Account {
            delivered: self.delivered,
            lost: self.reader.lost(),
            enabled: host.enabled,
            host: host.account,
        }
    }

    async fn tell_if_changed(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.told == Some(self.account()) {
            return Ok(());
        }
        self.tell(write).await
    }

    async fn tell(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.send_account(self.account(), write).await
    }

    async fn send_account(
        &mut self,
        account: Account,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        self.told = Some(account);
        let mut line = serde_json::to_vec(&Answer::Account(account))?;
        line.push(b'\n');
        write.write_all(&line).await
    }
}
