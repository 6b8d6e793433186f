//! `page`, a key of `metrics`: the web page beside them.

use crate::document::{Document, Kind, Node};
use crate::keys::{self, Field, Fields};
use crate::policy::{Metrics, Page};
use crate::problem::{Problem, Problems};
use crate::values::{boolean, list, text};

/// Most names by which a browser may ask for it.
const MOST: usize = 16;

/// Longest name of a host in bytes (RFC 1035, 2.3.4, less the dot that is not written).
const LONGEST_HOST: usize = 253;

/// Longest part of one between dots in bytes (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

/// Reads `page: true`, or `page: { exposed: true, hosts: [NAME] }`.
pub(crate) fn read<'d>(
    document: &'d Document<'_>,
    field: Field<'d, '_>,
    problems: &mut Problems,
) -> Option<Page> {
    let Kind::Mapping(pairs) = &field.value.kind else {
        let wanted = boolean(field.value, "page", problems)?;
        return wanted.then(Page::default);
    };
    let fields = Fields::read(document, field.value, pairs, &keys::PAGE, problems);
    let exposed = fields
        .get("exposed")
        .and_then(|field| boolean(field.value, "exposed", problems));
    let hosts = fields
        .get("hosts")
        .map(|field| hosts(document, field, problems));
    if pairs.is_empty() {
        problems.push(
            Problem::error(field.value.span, "`page` is an empty mapping")
                .hint("write `page: true`, or no `page` at all"),
        );
    }
    Some(Page {
        exposed: exposed.unwrap_or(false),
        hosts: hosts.unwrap_or_default(),
    })
}

/// A page that is for this host alone, where metrics are at no address of this host alone.
pub(crate) fn refuse_where_it_is_nowhere(
    field: Field<'_, '_>,
    metrics: &Metrics,
    problems: &mut Problems,
) {
    let is_nowhere = |address: &std::net::SocketAddr| metrics.page_at(*address).is_none();
    if metrics.page.is_none() || metrics.listen.is_empty() || !metrics.listen.iter().all(is_nowhere)
    {
        return;
    }
    problems.push(
        Problem::error(
            field.key,
            "the page is served at loopback addresses alone, and `listen` has none",
        )
        .hint(
            "add `127.0.0.1:9477` to `listen` and reach the page through SSH (docs/page.md); or, if everybody who \
             reaches the address may read policy and senders, write `page: { exposed: true }`",
        ),
    );
}

fn hosts<'d>(
    document: &'d Document<'_>,
    field: Field<'d, '_>,
    problems: &mut Problems,
) -> Vec<String> {
    let nodes = list(document, field, "hosts", "no `hosts` at all", problems);
    if let Some(beyond) = nodes.get(MOST) {
        problems.push(
            Problem::error(beyond.span, format!("`hosts` has more than {MOST} names"))
                .hint("remove those by which nobody asks"),
        );
        return Vec::new();
    }
    let mut hosts: Vec<String> = Vec::new();
    for node in nodes {
        match host(node) {
            Ok(host) if hosts.contains(&host) => problems.push(
                Problem::warning(node.span, format!("{} stands twice", node.describe()))
                    .hint("remove one of the two"),
            ),
            Ok(host) => hosts.push(host),
            Err(problem) => problems.push(*problem),
        }
    }
    hosts
}

fn host(node: &Node<'_>) -> Result<String, Box<Problem>> {
    let wrong = |hint: &str| {
        let message = format!("`hosts` has names of hosts, found {}", node.describe());
        Box::new(Problem::error(node.span, message).hint(hint.to_owned()))
    };
    let Some(text) = text(node) else {
        return Err(wrong("write `fw.example.net`"));
    };
    if text.contains("//") || text.contains('/') {
        return Err(wrong(
            "write the name alone, without `http://` and without a path",
        ));
    }
    if text.contains('*') {
        return Err(wrong(
            "each name is written out: whoever owns a name that a `*` stands for could read the page",
        ));
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err(wrong(
            "the address at which the page is served needs no name; remove it",
        ));
    }
    if text.contains(':') {
        return Err(wrong("write the name without a port: any port will do"));
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() > LONGEST_HOST || !text.split('.').all(is_label) {
        return Err(wrong(
            "a name is made of letters, digits, `-` and `_`, with dots between them: `fw.example.net`",
        ));
    }
    Ok(text.to_ascii_lowercase())
}
