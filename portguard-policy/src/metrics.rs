//! `metrics`: where they can be scraped, and whether there is a page beside them.

use std::net::{IpAddr, SocketAddr};

use crate::document::{Kind, Node};
use crate::keys::{self, Field, Fields};
use crate::page;
use crate::policy::Metrics;
use crate::problem::{Problem, quoted};
use crate::validate::Validator;
use crate::values::{decimal, list, text};

/// Most addresses at which metrics can be scraped.
const MOST: usize = 8;

const EXAMPLE: &str = "metrics: { listen: 127.0.0.1:9477 }";

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// Reads `metrics: { listen: ADDRESS:PORT, page: true }`, where a list of addresses may stand. Each address is given
    /// once.
    pub(crate) fn metrics(&mut self, field: Field<'d, 'a>) -> Metrics {
        let Kind::Mapping(pairs) = &field.value.kind else {
            self.problems.push(
                Problem::error(
                    field.value.span,
                    format!(
                        "`metrics` is a mapping of keys, found {}",
                        field.value.describe()
                    ),
                )
                .hint(format!("write `{EXAMPLE}`")),
            );
            return Metrics::default();
        };
        let fields = Fields::read(
            self.source.document,
            field.value,
            pairs,
            &keys::METRICS,
            self.problems,
        );
        let Some(listen) = fields.get("listen") else {
            if !fields.refused {
                self.problems.push(
                    Problem::error(field.key, "`metrics` has no `listen`")
                        .hint(format!("write `{EXAMPLE}`, or no `metrics` at all")),
                );
            }
            return Metrics::default();
        };
        let page = fields
            .get("page")
            .and_then(|field| page::read(self.source.document, field, self.problems));
        let nodes = list(
            self.source.document,
            listen,
            "listen",
            "no `metrics` at all",
            self.problems,
        );
        if let Some(beyond) = nodes.get(MOST) {
            self.problems.push(
                Problem::error(
                    beyond.span,
                    format!("`listen` has more than {MOST} addresses"),
                )
                .hint("an address of all interfaces, `0.0.0.0` or `[::]`, stands for many"),
            );
            return Metrics::default();
        }
        let mut metrics = Metrics {
            listen: Vec::new(),
            page,
        };
        for node in nodes {
            match address(node) {
                Ok(address) if metrics.listen.contains(&address) => self.problems.push(
                    Problem::warning(node.span, format!("{} stands twice", node.describe()))
                        .hint("remove one of the two"),
                ),
                Ok(address) => {
                    metrics.listen.push(address);
                    if !address.ip().is_loopback() {
                        let has_page = metrics.page_at(address).is_some();
                        self.problems.push(exposed(node, address, has_page));
                    }
                }
                Err(problem) => self.problems.push(*problem),
            }
        }
        if let Some(field) = fields.get("page") {
            page::refuse_where_it_is_nowhere(field, &metrics, self.problems);
        }
        metrics
    }
}

/// What whoever reaches an address that is not of this host alone can read.
fn exposed(node: &Node<'_>, address: SocketAddr, has_page: bool) -> Problem {
    let (what, more) = if has_page {
        (
            "the metrics and the page",
            "; the page shows the text of the policy and addresses of senders, too",
        )
    } else {
        ("the metrics", "")
    };
    Problem::warning(
        node.span,
        format!("whoever reaches {address} can read {what}"),
    )
    .label("not for this host alone")
    .hint(format!(
        "they tell the names of rules and interfaces, which ports are blocked and how much is dropped, and ask for no \
         password{more}: listen at 127.0.0.1, or let a rule pass the port from who is to read them alone"
    ))
}

fn address(node: &Node<'_>) -> Result<SocketAddr, Box<Problem>> {
    let wrong = |hint: String| {
        let message = format!(
            "`listen` is an address with a port, found {}",
            node.describe()
        );
        Box::new(Problem::error(node.span, message).hint(hint))
    };
    let Some(text) = text(node) else {
        return Err(wrong("write `127.0.0.1:9477`".into()));
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        let port = text.rsplit(':').next().and_then(decimal);
        return match port {
            Some(1..) => Ok(address),
            _ => Err(wrong("a port is a plain number from 1 to 65535".into())),
        };
    }
    let host = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    if let Some(address) = host(text) {
        // `::1:9477` is an address without a port.
        let hint = match (address, text.rsplit_once(':')) {
            (IpAddr::V6(_), Some((before, port)))
                if !text.starts_with('[') && host(before).is_some() && decimal(port).is_some() =>
            {
                format!(
                    "an IPv6 address stands in brackets before its port: `\"[{before}]:{port}\"`"
                )
            }
            _ => format!(
                "write its port, too: `\"{}\"`",
                SocketAddr::new(address, 9477)
            ),
        };
        return Err(wrong(hint));
    }
    if decimal(text).is_some() {
        return Err(wrong(format!("write the address, too: `127.0.0.1:{text}`")));
    }
    Err(match text.rsplit_once(':') {
        Some((name, port)) if decimal(port).is_some() && host(name).is_none() => wrong(format!(
            "names are not looked up: write an address in the place of {}",
            quoted(name)
        )),
        Some((name, _)) if host(name).is_some() => {
            wrong("a port is a plain number from 1 to 65535".into())
        }
        _ => wrong("write `127.0.0.1:9477`, or `\"[::1]:9477\"`".into()),
    })
}
