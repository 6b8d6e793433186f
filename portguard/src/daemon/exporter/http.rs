//! Answering scrapes and browsers over HTTP. Whoever connects may be hostile, and holds up nobody else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_tcp_user_timeout};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::observe::metrics::Format;

use super::super::calls::Calls;
use super::page;
use super::stream::Stream;

/// Connections to an address that are served at once, but for those on which a page is kept up to date. For a further one the
/// oldest is closed: a scrape takes milliseconds, so the oldest is one that waits for nothing good.
const PLACES: usize = 32;

/// How long the header of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// How long a connection may last, unless a page is kept up to date on it.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Longest header of a request in bytes.
const HEADER_BYTES: usize = 16 * 1024;

/// Bytes that the kernel holds for who does not read, and as many for its own accounts (socket(7)).
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long to accept no connection after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// How old the figures of a scrape may be: so often at most are they read, whoever asks.
const AGE: Duration = Duration::from_millis(100);

/// What is served at an address.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) calls: Calls,
    /// The page beside the metrics.
    pub(super) page: Option<page::Site>,
}

/// A connection that is served.
struct Place {
    task: AbortHandle,
    /// A page is kept up to date on it. Those have places of their own.
    is_stream: Arc<AtomicBool>,
}

/// Accepts connections until the listener is dropped.
pub(super) async fn accept(listener: Weak<TcpListener>, site: Site) {
    let mut connections = JoinSet::new();
    let mut places: VecDeque<Place> = VecDeque::with_capacity(PLACES);
    while let Some(accepted) = next(&listener).await {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                warn!("cannot accept a connection for metrics: {error}");
                // Out of descriptors, for instance: trying again at once would spin.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        places
            .retain(|place| !place.task.is_finished() && !place.is_stream.load(Ordering::Relaxed));
        if places.len() >= PLACES
            && let Some(oldest) = places.pop_front()
        {
            oldest.task.abort();
        }
        let is_stream = Arc::new(AtomicBool::new(false));
        let task = connections.spawn(serve(stream, site.clone(), Arc::clone(&is_stream)));
        places.push_back(Place { task, is_stream });
    }
}

/// The next connection; `None` when the listener is gone.
async fn next(listener: &Weak<TcpListener>) -> Option<io::Result<TcpStream>> {
    poll_fn(|context| match listener.upgrade() {
        None => Poll::Ready(None),
        Some(listener) => listener
            .poll_accept(context)
            .map(|accepted| Some(accepted.map(|(stream, _address)| stream))),
    })
    .await
}

async fn serve(stream: TcpStream, site: Site, is_stream: Arc<AtomicBool>) {
    if let Err(error) = keep_little(&stream) {
        debug!("a connection for metrics holds more than it should: {error}");
    }
    let local = stream.local_addr().ok().map(|address| address.ip());
    let (start, mut started) = mpsc::channel(1);
    let service = service_fn(|request| answer(request, &site, local, &start));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let stream = tokio::select! {
        result = &mut connection => return note(result),
        Some(stream) = started.recv() => stream,
        () = tokio::time::sleep(CONNECTION_TIME) => {
            debug!("a connection for metrics was too slow");
            return;
        }
    };
    is_stream.store(true, Ordering::Relaxed);
    // In this task, so that both end together.
    tokio::select! {
        result = &mut connection => return note(result),
        ended = stream.run() => if let Err(ended) = ended {
            debug!("the connection of a page ends: {ended}");
            return;
        },
    }
    // What was said last is on its way.
    match timeout(CONNECTION_TIME, connection).await {
        Ok(result) => note(result),
        Err(_elapsed) => debug!("the connection of a page was too slow"),
    }
}

/// Has the kernel keep little of what is not read, and not for long, also when the connection is closed here.
fn keep_little(stream: &TcpStream) -> rustix::io::Result<()> {
    set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES)?;
    let milliseconds = u32::try_from(CONNECTION_TIME.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(stream, milliseconds)
}

fn note(result: hyper::Result<()>) {
    if let Err(error) = result {
        debug!("a connection for metrics ended early: {error}");
    }
}

/// An answer: a text, or what keeps a page up to date.
pub(super) type Reply = Response<Either<Full<Bytes>, Channel<Bytes>>>;

async fn answer(
    request: Request<Incoming>,
    site: &Site,
    local: Option<IpAddr>,
    start: &mpsc::Sender<Stream>,
) -> Result<Reply, Infallible> {
    if request.uri().path() == "/metrics" {
        return Ok(metrics(&request, &site.calls).await);
    }
    if let Some(page) = &site.page
        && let Some(reply) = page.answer(&request, local, start)
    {
        return Ok(reply);
    }
    let text = match site.page {
        Some(_) => "not found; metrics are at /metrics, the page at /\n",
        None => "not found; metrics are at /metrics\n",
    };
    Ok(say(StatusCode::NOT_FOUND, text))
}

async fn metrics(request: &Request<Incoming>, calls: &Calls) -> Reply {
    if let Some(refusal) = refuse_what_would_change(request.method()) {
        return refusal;
    }
    let format = format(request.headers());
    let now = Instant::now();
    let since = now.checked_sub(AGE).unwrap_or(now);
    let text = match calls.scrape(since).await {
        Ok(snapshot) => snapshot.text(format).map_err(|error| error.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    match text {
        Ok(text) => reply(StatusCode::OK, format.content_type(), text),
        Err(error) => say(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Everything here can be read, and nothing changed.
pub(super) fn refuse_what_would_change(method: &Method) -> Option<Reply> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let text = "this can be read, by GET and HEAD alone\n";
    let mut reply = say(StatusCode::METHOD_NOT_ALLOWED, text);
    let allowed = HeaderValue::from_static("GET, HEAD");
    reply.headers_mut().insert(ALLOW, allowed);
    Some(reply)
}

fn format(headers: &HeaderMap) -> Format {
    let mut accepted = headers.get_all(ACCEPT).iter();
    let is_open = accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.contains("application/openmetrics-text"))
    });
    if is_open {
        Format::OpenMetrics
    } else {
        Format::Classic
    }
}

pub(super) fn say(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", text.into())
}

pub(super) fn reply(status: StatusCode, content_type: &'static str, text: Bytes) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(text)));
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}
