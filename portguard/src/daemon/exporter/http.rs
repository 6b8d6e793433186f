//! Answering scrapes over HTTP. Whoever connects may be hostile, and holds up nobody else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Weak;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::observe::metrics::Format;

use super::super::calls::Calls;

/// Connections to an address that are served at once. For a further one the oldest is closed: a scrape takes
/// milliseconds, so the oldest is one that waits for nothing good.
const PLACES: usize = 32;

/// How long the header of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// How long a connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Longest header of a request in bytes.
const HEADER_BYTES: usize = 16 * 1024;

/// How long to accept no connection after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// How old the figures of a scrape may be: so often at most are they read, whoever asks.
const AGE: Duration = Duration::from_millis(100);

/// Accepts connections until the listener is dropped.
pub(super) async fn accept(listener: Weak<TcpListener>, calls: Calls) {
    let mut connections = JoinSet::new();
    let mut places: VecDeque<AbortHandle> = VecDeque::with_capacity(PLACES);
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
        places.retain(|connection| !connection.is_finished());
        if places.len() >= PLACES
            && let Some(oldest) = places.pop_front()
        {
            oldest.abort();
        }
        places.push_back(connections.spawn(serve(stream, calls.clone())));
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

async fn serve(stream: TcpStream, calls: Calls) {
    let service = service_fn(|request| answer(request, &calls));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("a connection for metrics ended early: {error}"),
        Err(_elapsed) => debug!("a connection for metrics was too slow"),
    }
}

type Reply = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, calls: &Calls) -> Result<Reply, Infallible> {
    if request.uri().path() != "/metrics" {
        let text = "not found; metrics are at /metrics\n";
        return Ok(say(StatusCode::NOT_FOUND, text.into()));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "metrics can be read by GET and HEAD alone\n";
        let mut reply = say(StatusCode::METHOD_NOT_ALLOWED, text.into());
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        reply.headers_mut().insert(ALLOW, allowed);
        return Ok(reply);
    }
    let format = format(request.headers());
    let now = Instant::now();
    let since = now.checked_sub(AGE).unwrap_or(now);
    let text = match calls.scrape(since).await {
        Ok(snapshot) => snapshot.text(format).map_err(|error| error.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    Ok(match text {
        Ok(text) => reply(StatusCode::OK, format.content_type(), text),
        Err(error) => say(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{error}\n").into(),
        ),
    })
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

fn say(status: StatusCode, text: Bytes) -> Reply {
    reply(status, "text/plain; charset=utf-8", text)
}

fn reply(status: StatusCode, content_type: &'static str, text: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(text));
    *reply.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}
