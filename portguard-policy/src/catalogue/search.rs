//! Finding ports in the catalogue: by number, by name, by what threatens them.

use std::collections::BTreeSet;
use std::fmt;

use super::{Class, Entry, entries};
use crate::policy::{PortRange, Transport};
use crate::suggest::nearest;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Ports, of one protocol or of all.
    Ports(PortRange, Option<Transport>),
    /// Words, in lower case, of one protocol or of all: a name of a service, or words of what is known of ports.
    Words(String, Option<Transport>),
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is nothing in it.
    #[error("nothing is asked; a port is expected, or a name, or a word: `445`, `ssh`, `mirai`")]
    Empty,
    /// It begins like a port, and is none.
    #[error(
        "`{0}` is no port and no range: a port is a plain decimal from 1 to 65535, a range is `6000-6010`"
    )]
    Port(String),
    /// The first port of a range is above its last.
    #[error("the range `{0}` begins above its end")]
    Reversed(String),
    /// What stands behind the slash is no protocol with ports.
    #[error("`{0}` is no protocol with ports: these are `tcp`, `udp` and `sctp`")]
    Protocol(String),
}

impl Query {
    /// Reads a query: `445`, `445/udp`, `6000-6010`, `smb`, `ssh/tcp`, `remote desktop`.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when nothing could be found by it.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        let (base, suffix) = match text.rsplit_once('/') {
            Some((base, suffix)) => (base, Some(suffix)),
            None => (text, None),
        };
        let numeric = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_digit())
                && text
                    .chars()
                    .all(|own| own.is_ascii_digit() || "-+_.:".contains(own))
        };
        if numeric(base) {
            let transport = match suffix {
                Some(name) => Some(
                    Transport::from_name(name)
                        .ok_or_else(|| QueryError::Protocol(name.to_owned()))?,
                ),
                None => None,
            };
            return Ok(Self::Ports(range(base)?, transport));
        }
        let (words, transport) = match suffix.and_then(Transport::from_name) {
            Some(transport) => (base, Some(transport)),
            None => (text, None),
        };
        if words_of(words).next().is_none() {
            return Err(QueryError::Empty);
        }
        Ok(Self::Words(words.to_lowercase(), transport))
    }

    /// The protocol to which it is narrowed.
    pub fn transport(&self) -> Option<Transport> {
        let (Self::Ports(_, transport) | Self::Words(_, transport)) = self;
        *transport
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports(range, _) => write!(f, "{range}")?,
            Self::Words(words, _) => f.write_str(words)?,
        }
        match self.transport() {
            Some(transport) => write!(f, "/{transport}"),
            None => Ok(()),
        }
    }
}

fn range(text: &str) -> Result<PortRange, QueryError> {
    let port = |own: &str| {
        let plain = own.bytes().all(|byte| byte.is_ascii_digit()) && !own.starts_with('0');
        let number = own.parse().ok().filter(|_| plain);
        number.ok_or_else(|| QueryError::Port(text.to_owned()))
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (port(low)?, port(high)?),
        None => (port(text)?, port(text)?),
    };
    if low > high {
        return Err(QueryError::Reversed(text.to_owned()));
    }
    Ok(PortRange { low, high })
}

/// A query with what narrows it. The default finds everything.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// What is looked for.
    pub query: Option<Query>,
    /// Only ports of this profile.
    pub profile: Option<String>,
    /// Only ports of this class.
    pub class: Option<Class>,
}

/// What a search has found, each by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What was asked for.
    pub entries: Vec<&'static Entry>,
    /// What else has the words of the query, where a service has them as its name.
    pub related: Vec<&'static Entry>,
    /// Where nothing is found: what may have been meant, best first, at most three.
    pub nearest: Vec<String>,
}

impl Search {
    /// Looks through the catalogue. A word finds what has a word that begins with it.
    pub fn run(&self) -> Found {
        let fits = |entry: &&Entry| self.fits(entry);
        let candidates: Vec<&'static Entry> = entries().iter().filter(fits).collect();
        match &self.query {
            None => Found {
                entries: candidates,
                ..Found::default()
            },
            Some(Query::Ports(range, _)) => {
                let within = |entry: &&Entry| (range.low..=range.high).contains(&entry.port);
                Found {
                    entries: candidates.into_iter().filter(within).collect(),
                    ..Found::default()
                }
            }
            Some(Query::Words(words, _)) => by_words(words, candidates),
        }
    }

    /// Whether an entry is of the protocol, the profile and the class that are asked for.
    fn fits(&self, entry: &Entry) -> bool {
        let transport = self.query.as_ref().and_then(Query::transport);
        transport.is_none_or(|own| entry.transports.contains(&own))
            && self
                .profile
                .as_ref()
                .is_none_or(|own| entry.profiles.contains(&own.as_str()))
            && self.class.is_none_or(|own| entry.class() == own)
    }
}

fn by_words(text: &str, candidates: Vec<&'static Entry>) -> Found {
    let is_named = |entry: &Entry| entry.service == Some(text) || entry.aliases.contains(&text);
    let mentions = |entry: &Entry| {
        let known = known(entry);
        words_of(text).all(|word| known.iter().any(|own| own.starts_with(word)))
    };
    let (named, others): (Vec<_>, Vec<_>) =
        candidates.iter().copied().partition(|own| is_named(own));
    let mentioned = others.into_iter().filter(|own| mentions(own)).collect();
    if !named.is_empty() {
        return Found {
            entries: named,
            related: mentioned,
            ..Found::default()
        };
    }
    let nearest = if mentioned.is_empty() {
        near(text, &candidates)
    } else {
        Vec::new()
    };
    Found {
        entries: mentioned,
        nearest,
        ..Found::default()
    }
}

/// Names of services and threats that are spelt like the words.
fn near(text: &str, candidates: &[&'static Entry]) -> Vec<String> {
    let names: BTreeSet<String> = candidates
        .iter()
        .flat_map(|entry| {
            let services = entry.service.iter().chain(&entry.aliases).copied();
            services.chain(entry.abuse.iter().map(|own| own.name))
        })
        .map(str::to_lowercase)
        .collect();
    let near = nearest(text, names.iter().map(String::as_str));
    near.into_iter().map(str::to_owned).collect()
}

/// All words by which a port is found, in lower case. Why something is advised is not among them: it often names what
/// to use instead.
fn known(entry: &Entry) -> BTreeSet<String> {
    let services = entry.service.iter().chain(&entry.aliases).copied();
    let abuse = entry.abuse.iter().flat_map(|own| [own.name, own.text]);
    let texts = services.chain(abuse).chain([entry.purpose]);
    texts
        .flat_map(|text| {
            words_of(text)
                .map(str::to_lowercase)
                .collect::<Vec<String>>()
        })
        .collect()
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|own: char| !own.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let search = Search {
            query: Some(query),
            ..Search::default()
        };
        search.run()
    }

    fn ports(entries: &[&Entry]) -> Vec<u16> {
        entries.iter().map(|entry| entry.port).collect()
    }

    #[test]
    fn by_number() {
        for (text, expected) in [
            ("445", vec![445]),
            ("445/tcp", vec![445]),
            ("445/sctp", vec![]),
            ("512", vec![512, 512]),
            ("512/udp", vec![512]),
            (
                "6000-6010",
                vec![6000, 6001, 6002, 6003, 6004, 6005, 6006, 6007],
            ),
            ("6000-6010/udp", vec![]),
            ("80-80", vec![80]),
            ("65535", vec![]),
        ] {
            assert_eq!(ports(&found(text).entries), expected, "{text}");
        }
    }

    #[test]
    fn by_name_and_alias() {
        for (text, port) in [
            ("smb", 445),
            ("SMB", 445),
            ("microsoft-ds", 445),
            ("ssh/tcp", 22),
            ("rdp", 3389),
            ("x11-1", 6001),
            ("tr-069", 7547),
        ] {
            assert_eq!(ports(&found(text).entries), [port], "{text}");
        }
        assert!(found("ssh/udp").entries.is_empty());
        let ftp = found("ftp");
        assert_eq!(ports(&ftp.entries), [21]);
        let related = ports(&ftp.related);
        assert!(related.contains(&990) && !related.contains(&21));
        assert!(!related.contains(&69), "a word within `tftp` is none");
    }

    #[test]
    fn by_threat() {
        for (text, expected) in [
            ("wannacry", vec![445]),
            ("Blaster", vec![69, 135, 4444]),
            ("slammer", vec![1434]),
            ("CVE-2017-17215", vec![37215]),
            ("eternalblue", vec![445]),
            ("remote desktop", vec![3283, 3389, 3389, 5900, 5901]),
            ("kinsing", vec![2375]),
        ] {
            assert_eq!(ports(&found(text).entries), expected, "{text}");
        }
        let mirai = ports(&found("mirai").entries);
        for port in [23, 2323, 7547, 37215, 52869] {
            assert!(mirai.contains(&port), "{port}");
        }
    }

    #[test]
    fn nothing_found_suggests_what_is_near() {
        assert_eq!(found("sasserr").nearest, ["sasser"]);
        assert_eq!(found("mircosoft-ds").nearest, ["microsoft-ds"]);
        assert_eq!(found("zzzzzzzz"), Found::default());
        assert!(found("ssh").nearest.is_empty());
    }

    #[test]
    fn profile_and_class_narrow() {
        let search = Search {
            profile: Some("trojans".into()),
            ..Search::default()
        };
        assert_eq!(
            ports(&search.run().entries),
            [79, 99, 1024, 5554, 7306, 7626, 8011]
        );
        let search = Search {
            class: Some(Class::WellKnown),
            ..search
        };
        assert_eq!(ports(&search.run().entries), [79, 99]);
        let everything = Search::default().run();
        assert_eq!(everything.entries.len(), entries().len());
        let classes = Class::ALL.map(|class| {
            let search = Search {
                class: Some(class),
                ..Search::default()
            };
            search.run().entries.len()
        });
        assert_eq!(classes.iter().sum::<usize>(), entries().len());
    }

    #[test]
    fn what_is_no_query_says_why() {
        let port = |text: &str| QueryError::Port(text.into());
        for (text, error) in [
            ("", QueryError::Empty),
            (" / ", QueryError::Empty),
            ("0", port("0")),
            ("65536", port("65536")),
            ("010", port("010")),
            ("22:22", port("22:22")),
            ("1-2-3", port("1-2-3")),
            ("1-", port("1-")),
            ("9-5", QueryError::Reversed("9-5".into())),
            ("80/http", QueryError::Protocol("http".into())),
            ("80/", QueryError::Protocol(String::new())),
        ] {
            assert_eq!(Query::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_query_is_written_as_it_is_read() {
        for text in [
            "445",
            "445/udp",
            "6000-6010",
            "6000-6010/tcp",
            "ssh/tcp",
            "remote desktop",
        ] {
            let query = Query::parse(text).expect(text);
            assert_eq!(query.to_string(), text);
        }
    }
}
