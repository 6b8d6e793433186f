//! `events: { rate: 100/s, snap: 128 }`: what is told of dropped packets.

use portguard_common::limits::{SNAP_DEFAULT, SNAP_LARGEST, SNAP_MAX, SNAP_MIN};

use crate::document::{Document, Kind, Node};
use crate::keys::{self, Field, Fields};
use crate::policy::{Events, Rate};
use crate::problem::{Problem, Problems};
use crate::values::{decimal, rate, text};

const HINT: &str = "write `events: { rate: 100/s }`, or remove the key: there are no events then";

/// The key `events` of a policy.
pub(crate) fn read<'d>(
    document: &'d Document<'_>,
    field: Field<'d, '_>,
    problems: &mut Problems,
) -> Option<Events> {
    let Kind::Mapping(pairs) = &field.value.kind else {
        let span = if field.value.is_null() {
            field.key
        } else {
            field.value.span
        };
        let found = field.value.describe();
        problems.push(
            Problem::error(
                span,
                format!("`events` is a mapping with a `rate`, found {found}"),
            )
            .hint(HINT),
        );
        return None;
    };
    let fields = Fields::read(document, field.value, pairs, &keys::EVENTS, problems);
    let snap_bytes = match fields.get("snap") {
        Some(field) => snap(field.value, problems),
        None => Some(SNAP_DEFAULT),
    };
    let Some(field) = fields.get("rate") else {
        if !fields.refused {
            problems.push(Problem::error(fields.head, "`events` has no `rate`").hint(HINT));
        }
        return None;
    };
    let (count, period) = rate(field.value, problems)?;
    Some(Events {
        rate: Rate {
            count,
            period,
            burst: Rate::default_burst(count, period),
        },
        snap_bytes: snap_bytes?,
    })
}

/// Bytes of each frame that are kept.
fn snap(node: &Node<'_>, problems: &mut Problems) -> Option<u32> {
    let found = text(node);
    if found == Some("full") {
        return Some(SNAP_MAX);
    }
    let bytes = found
        .and_then(decimal)
        .and_then(|bytes| u32::try_from(bytes).ok());
    if let Some(bytes) = bytes.filter(|bytes| (SNAP_MIN..=SNAP_LARGEST).contains(bytes)) {
        return Some(bytes);
    }
    problems.push(
        Problem::error(
            node.span,
            format!(
                "`snap` is a number of bytes from {SNAP_MIN} to {SNAP_LARGEST}, or `full`, found {}",
                node.describe()
            ),
        )
        .hint(format!(
            "{SNAP_DEFAULT} bytes hold the headers of nearly all packets; `full` keeps up to {SNAP_MAX}"
        )),
    );
    None
}
