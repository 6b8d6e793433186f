//! `trusted`: sources that pass before any rule.

use std::sync::Arc;

use crate::addresses::Addresses;
use crate::document::Kind;
use crate::keys::{self, Field, Fields};
use crate::policy::Trusted;
use crate::problem::Problem;
use crate::validate::Validator;

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// Reads `trusted`: addresses, prefixes and sets, or `{ from: ..., interfaces: ... }`, or a list of both.
    pub(crate) fn trusted(&mut self, field: Field<'d, 'a>) -> Vec<Trusted> {
        let entries: Vec<_> = match &field.value.kind {
            Kind::Sequence(items) if !items.is_empty() => items
                .iter()
                .map(|id| self.source.document.get(*id))
                .collect(),
            _ => vec![field.value],
        };
        let plain = |value: &&crate::document::Node<'a>| !matches!(value.kind, Kind::Mapping(_));
        let mut trusted = Vec::new();
        if entries.iter().all(plain) {
            // One list, so that a million addresses are one set.
            let from = self.addresses(field, "trusted");
            push(&mut trusted, from, None);
            return trusted;
        }
        for value in entries {
            if self.problems.is_full() {
                break;
            }
            let field = Field {
                key: field.key,
                value,
            };
            let Kind::Mapping(pairs) = &value.kind else {
                let from = self.addresses(field, "trusted");
                push(&mut trusted, from, None);
                continue;
            };
            let fields = Fields::read(
                self.source.document,
                value,
                pairs,
                &keys::TRUSTED,
                self.problems,
            );
            let interfaces = fields.get("interfaces");
            let interfaces = interfaces.map(|field| self.some_interfaces(field));
            match fields.get("from") {
                Some(field) => {
                    let from = self.addresses(field, "from");
                    push(&mut trusted, from, interfaces);
                }
                None if !fields.refused => self.problems.push(
                    Problem::error(fields.head, "an entry of `trusted` has no `from`")
                        .hint("write `{ from: 10.0.0.0/8, interfaces: [mgmt0] }`"),
                ),
                None => {}
            }
        }
        trusted
    }
}

/// Adds an entry; what holds no address trusts nobody.
fn push(
    trusted: &mut Vec<Trusted>,
    from: Arc<Addresses>,
    interfaces: Option<Vec<crate::interface::InterfacePattern>>,
) {
    if !from.is_empty() {
        trusted.push(Trusted { from, interfaces });
    }
}
