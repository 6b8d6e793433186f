//! The web page: files that are in this program, and the stream that keeps it up to date.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Either;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, StatusCode};
use tokio::sync::mpsc;

use super::hosts::{Hosts, is_cross_site};
use super::http::{Reply, refuse_what_would_change, reply, say};
use super::hub::Hub;
use super::stream::Stream;

/// Where the stream is.
const STREAM: &str = "/stream";

/// A file of the page.
struct File {
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const FILES: [File; 4] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        content: include_bytes!("assets/page.html"),
    },
    File {
        path: "/page.css",
        content_type: "text/css; charset=utf-8",
        content: include_bytes!("assets/page.css"),
    },
    File {
        path: "/page.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("assets/page.js"),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        content: include_bytes!("assets/icon.svg"),
    },
];

/// What a browser is told with every answer: to run nothing that is not in [`FILES`], to show the page in no other one, to keep
/// nothing, and to tell nobody where it was.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// The page at one address.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) hosts: Hosts,
    pub(super) hub: Arc<Hub>,
}

impl Site {
    /// Answers a request that arrived at an address; `None` if it is not for the page. What begins a stream has it put into
    /// `start`.
    pub(super) fn answer(
        &self,
        request: &Request<Incoming>,
        local: Option<IpAddr>,
        start: &mpsc::Sender<Stream>,
    ) -> Option<Reply> {
        let path = request.uri().path();
        let file = FILES.iter().find(|file| file.path == path);
        if file.is_none() && path != STREAM {
            return None;
        }
        let mut reply = self.reply(request, local, file, start);
        for (name, value) in HEADERS {
            let value = HeaderValue::from_static(value);
            reply.headers_mut().insert(name, value);
        }
        Some(reply)
    }

    fn reply(
        &self,
        request: &Request<Incoming>,
        local: Option<IpAddr>,
        file: Option<&File>,
        start: &mpsc::Sender<Stream>,
    ) -> Reply {
        let target = request.uri().authority();
        if !self.hosts.allow(request.headers(), target, local) {
            let text = "this page is not served by that name; the key `hosts` of `page` adds names (docs/page.md)\n";
            return say(StatusCode::MISDIRECTED_REQUEST, text);
        }
        if let Some(refusal) = refuse_what_would_change(request.method()) {
            return refusal;
        }
        match file {
            Some(file) => reply(
                StatusCode::OK,
                file.content_type,
                Bytes::from_static(file.content),
            ),
            None => self.stream(request, start),
        }
    }

    fn stream(&self, request: &Request<Incoming>, start: &mpsc::Sender<Stream>) -> Reply {
        if is_cross_site(request.headers()) {
            let text = "this is for the page at / alone\n";
            return say(StatusCode::FORBIDDEN, text);
        }
        let mut answer = reply(StatusCode::OK, "text/event-stream", Bytes::new());
        if *request.method() == Method::HEAD {
            return answer;
        }
        let begun = Stream::begin(&self.hub).and_then(|(stream, body)| {
            // A connection has one request.
            start.try_send(stream).ok()?;
            Some(body)
        });
        let Some(body) = begun else {
            let text = "too many pages are open; close some, or ask again later\n";
            let mut reply = say(StatusCode::SERVICE_UNAVAILABLE, text);
            let seconds = HeaderValue::from_static("5");
            reply.headers_mut().insert(RETRY_AFTER, seconds);
            return reply;
        };
        *answer.body_mut() = Either::Right(body);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.path == path).unwrap();
        str::from_utf8(file.content).unwrap()
    }

    #[test]
    fn the_page_is_these_files_and_nothing_from_elsewhere() {
        let page = text("/");
        let named = ["href=\"", "src=\""].into_iter().flat_map(|key| {
            let rest = page.split(key).skip(1);
            rest.filter_map(|rest| rest.split('"').next())
        });
        let named: Vec<&str> = named.collect();
        assert_eq!(named.len(), 3, "{named:?}");
        for path in named {
            assert!(FILES.iter().any(|file| file.path == path), "{path}");
        }
        for file in ["/", "/page.css", "/page.js"] {
            let text = text(file).replace("http://www.w3.org/2000/svg", "");
            for outside in ["http:", "https:", "url(", "@import", "//cdn", "import("] {
                assert!(!text.contains(outside), "{file}: {outside}");
            }
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy_or_makes_markup_of_text() {
        let page = text("/");
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("<script src=").count(), 1);
        for inline in [" on", "style=", "<style", "javascript:", "srcdoc"] {
            let found = page.match_indices(inline).find(|(at, _)| {
                // ` on` of a handler, not of a sentence.
                inline != " on"
                    || page[*at..]
                        .split(['=', ' ', '>'])
                        .nth(1)
                        .is_some_and(|name| page[*at + 1 + name.len()..].starts_with('='))
            });
            assert_eq!(found, None, "{inline}");
        }
        let script = text("/page.js");
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "eval",
            "Function(",
            "setHTML",
            "\"style\"",
        ] {
            assert!(!script.contains(markup), "{markup}");
        }
    }
}
