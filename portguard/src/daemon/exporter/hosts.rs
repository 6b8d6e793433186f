//! By which names a browser may ask for the page.
//!
//! A page of a stranger may have a name that first leads to the stranger and then to this host (DNS rebinding); the browser would
//! let it read everything here. But the browser says the name.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::http::uri::Authority;

/// Names and addresses by which the page is asked for.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// Those of the policy, in lower case.
    names: Vec<String>,
}

impl Hosts {
    /// With these names, in lower case, beside `localhost`, addresses of the loopback and that of the connection.
    pub(super) const fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Whether a request that arrived at an address may be answered. `target` is the host in its request line, which is seldom
    /// there.
    pub(super) fn allow(
        &self,
        headers: &HeaderMap,
        target: Option<&Authority>,
        local: Option<IpAddr>,
    ) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let host = host.to_str().ok().and_then(parse);
        let is_allowed = |host: &Authority| self.allows(host.host(), local);
        host.as_ref().is_some_and(is_allowed) && target.is_none_or(is_allowed)
    }

    /// Whether a host is this one; any port will do, since a tunnel may lead here from any.
    fn allows(&self, host: &str, local: Option<IpAddr>) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return address.is_loopback() || Some(address) == local;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost" || self.names.contains(&host)
    }
}

/// Whether the browser says that a page of another site asks.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    let own = headers.get(HOST).map(|host| host.as_bytes());
    let origin = headers.get(ORIGIN).map(|origin| {
        let origin = origin.as_bytes();
        let host = origin.strip_prefix(b"http://");
        host.or_else(|| origin.strip_prefix(b"https://"))
    });
    let site = headers
        .get("sec-fetch-site")
        .map(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    origin.is_some_and(|origin| origin != own) || site == Some(false)
}

fn parse(host: &str) -> Option<Authority> {
    let authority: Authority = host.parse().ok()?;
    // Who asks by a name and password means another server.
    (!host.contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn the_page_is_asked_for_by_its_own_names_alone() {
        let hosts = Hosts::new(vec!["fw.example.net".into()]);
        let local = Some("192.0.2.1".parse().unwrap());
        let allow = |host: &str| hosts.allow(&headers(&[("host", host)]), None, local);
        for own in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "127.0.0.1:9477",
            "127.8.9.1",
            "[::1]",
            "[::1]:9477",
            "192.0.2.1:9477",
            "fw.example.net",
            "FW.example.net:443",
        ] {
            assert!(allow(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:9477",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "fw.example.net.evil.example",
            "192.0.2.2",
            "0.0.0.0",
            "[::]",
            "[::2]:9477",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost/",
            "localhost evil",
            "",
        ] {
            assert!(!allow(other), "{other}");
        }
        // Who says nothing, or two things, is no browser of anybody who may read this.
        assert!(!hosts.allow(&headers(&[]), None, local));
        let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
        assert!(!hosts.allow(&twice, None, local));
        let own = headers(&[("host", "localhost")]);
        let target = |text: &str| text.parse::<Authority>().unwrap();
        assert!(hosts.allow(&own, Some(&target("localhost:1")), local));
        assert!(!hosts.allow(&own, Some(&target("evil.example")), local));
        // Where the address of the connection is not known, it stands for nothing.
        assert!(!hosts.allow(&headers(&[("host", "192.0.2.1")]), None, None));
    }

    #[test]
    fn a_page_of_another_site_is_known_by_what_the_browser_says() {
        for (site, origin, is_other) in [
            (None, None, false),
            (Some("same-origin"), None, false),
            (Some("none"), None, false),
            (Some("cross-site"), None, true),
            (Some("same-site"), None, true),
            (None, Some("http://localhost:9477"), false),
            (None, Some("https://localhost:9477"), false),
            (None, Some("http://localhost:80"), true),
            (None, Some("http://evil.example"), true),
            (None, Some("null"), true),
            (Some("same-origin"), Some("http://evil.example"), true),
        ] {
            let mut pairs = vec![("host", "localhost:9477")];
            pairs.extend(site.map(|site| ("sec-fetch-site", site)));
            pairs.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(is_cross_site(&headers(&pairs)), is_other, "{pairs:?}");
        }
    }
}
