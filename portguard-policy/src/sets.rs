//! `sets`, and every list of addresses that may name them.

use std::collections::BTreeMap;
use std::sync::Arc;

use portguard_common::limits;

use crate::addresses::{Addresses, Ranges};
use crate::document::{Kind, Node, NodeId};
use crate::keys::{self, Field, Fields};
use crate::prefix;
use crate::problem::{Problem, Span, one_of, quoted};
use crate::set_file;
use crate::suggest::nearest;
use crate::validate::Validator;
use crate::values::{boolean, is_name, list, text};

/// The sets of a policy by name.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    sets: BTreeMap<String, Set>,
    /// Bytes of all files read so far.
    bytes: usize,
    /// Ranges that lists hold beside the sets that are shared.
    copied: usize,
}

#[derive(Debug)]
struct Set {
    key: Span,
    addresses: Arc<Addresses>,
    used: bool,
}

impl Sets {
    /// Forgets the sets of a drop-in, which only itself sees.
    pub(crate) fn forget(&mut self, text: usize) {
        self.sets.retain(|_, set| set.key.text != text);
    }
}

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// Reads `sets`, with the files that it names.
    pub(crate) fn read_sets(&mut self, field: Field<'d, 'a>) {
        let Kind::Mapping(pairs) = &field.value.kind else {
            let found = field.value.describe();
            self.problems.push(
                Problem::error(
                    field.key,
                    format!("`sets` is a mapping of names to addresses, found {found}"),
                )
                .hint("write `sets: { admins: [192.0.2.0/28], abusers: { file: abusers.txt } }`"),
            );
            return;
        };
        for (key, value) in pairs {
            if self.problems.is_full() {
                break;
            }
            let (key, value) = (
                self.source.document.get(*key),
                self.source.document.get(*value),
            );
            let Some(name) = text(key).filter(|name| is_name(name)) else {
                self.problems.push(
                    Problem::error(key.span, format!("{} is no name of a set", key.describe()))
                        .hint(
                            "a name has letters, digits, `.`, `_` and `-`; rules call it `$name`",
                        ),
                );
                continue;
            };
            if let Some(before) = self.sets.sets.get(name) {
                self.problems.push(
                    Problem::error(key.span, format!("the set `{name}` stands twice"))
                        .label("again here")
                        .hint("give all its addresses in one list")
                        .related(before.key, "first here"),
                );
                continue;
            }
            let field = Field {
                key: key.span,
                value,
            };
            let addresses = match &value.kind {
                Kind::Mapping(pairs) => self.set_mapping(name, field, pairs),
                _ => self.set_list(name, field),
            };
            let set = Set {
                key: key.span,
                addresses: Arc::new(addresses),
                used: false,
            };
            self.sets.sets.insert(name.to_owned(), set);
        }
    }

    /// The addresses that stand in the policy itself.
    fn set_list(&mut self, name: &str, field: Field<'d, 'a>) -> Addresses {
        let mut ranges = Ranges::default();
        let instead = "`{ allow_empty: true }`";
        for node in list(self.source.document, field, name, instead, self.problems) {
            if self.problems.is_full() {
                break;
            }
            if text(node).is_some_and(|text| text.starts_with('$')) {
                self.problems.push(
                    Problem::error(node.span, "sets do not nest")
                        .hint("write the addresses themselves, or name both sets in the rule"),
                );
                continue;
            }
            self.prefix(node, "an address or a prefix", &mut ranges);
        }
        ranges.join()
    }

    /// `{ file: NAME, allow_empty: true }`
    fn set_mapping(
        &mut self,
        name: &str,
        set: Field<'d, 'a>,
        pairs: &[(NodeId, NodeId)],
    ) -> Addresses {
        const HINT: &str = "`allow_empty: true` lets a set be empty: it then matches nothing";
        let fields = Fields::read(
            self.source.document,
            set.value,
            pairs,
            &keys::SET,
            self.problems,
        );
        let allow_empty = match fields.get("allow_empty") {
            Some(field) => boolean(field.value, "allow_empty", self.problems),
            None => Some(false),
        };
        let Some(field) = fields.get("file") else {
            if !fields.refused && allow_empty == Some(false) {
                let place = if pairs.is_empty() {
                    set.value.span
                } else {
                    fields.head
                };
                self.problems.push(
                    Problem::error(place, format!("the set `{name}` names no `file`"))
                        .hint("write `{ file: NAME }`, or the addresses as a list"),
                );
            }
            return Addresses::default();
        };
        let Some(file) = text(field.value).filter(|file| !file.trim().is_empty()) else {
            self.problems.push(
                Problem::error(
                    field.value.span,
                    format!(
                        "`file` is the name of a file, found {}",
                        field.value.describe()
                    ),
                )
                .hint("a name without `/` is looked for beside the policy: `file: abusers.txt`"),
            );
            return Addresses::default();
        };
        let file = self.beside(file);
        let content = match self.files.read(&file) {
            Ok(content) => content,
            Err(reason) => {
                let hint = match self.source.number {
                    0 => "a relative name begins at the folder of the policy",
                    _ => "a relative name begins at the folder of the drop-in",
                };
                self.problems.push(
                    Problem::error(field.value.span, format!("file {} {reason}", quoted(&file)))
                        .hint(hint),
                );
                return Addresses::default();
            }
        };
        self.sets.bytes = self.sets.bytes.saturating_add(content.len());
        if self.sets.bytes > limits::SET_FILES_BYTES {
            self.problems.push(
                Problem::error(
                    field.value.span,
                    format!(
                        "the files of the sets have more than the {} bytes allowed",
                        limits::SET_FILES_BYTES
                    ),
                )
                .label("too large with this one")
                .hint("write prefixes instead of single addresses"),
            );
            return Addresses::default();
        }
        let errors = self.problems.errors();
        let place = field.value.span;
        let addresses = set_file::read(&file, &content, place, self.problems).join();
        if addresses.is_empty() && allow_empty == Some(false) && self.problems.errors() == errors {
            self.problems.push(
                Problem::error(place, format!("file {} holds no address", quoted(&file)))
                    .hint(HINT),
            );
        }
        addresses
    }

    /// The addresses of a list that may name sets. A list of one set shares it.
    pub(crate) fn addresses(&mut self, field: Field<'d, 'a>, key: &str) -> Arc<Addresses> {
        let instead = "no such key at all";
        let nodes = list(self.source.document, field, key, instead, self.problems);
        if let [node] = nodes.as_slice()
            && let Some(name) = text(node).and_then(|text| text.strip_prefix('$'))
        {
            return self.set(node, name).unwrap_or_default();
        }
        let mut ranges = Ranges::default();
        for node in nodes {
            if self.problems.is_full() {
                break;
            }
            match text(node).and_then(|text| text.strip_prefix('$')) {
                Some(name) => {
                    if let Some(set) = self.set(node, name)
                        && self.may_copy(node, set.ranges())
                    {
                        ranges.extend(&set);
                    }
                }
                None => {
                    self.prefix(node, "an address, a prefix or a `$set`", &mut ranges);
                }
            }
        }
        let addresses = ranges.join();
        Arc::new(addresses)
    }

    /// A set by name, which thereby is used.
    fn set(&mut self, node: &Node<'_>, name: &str) -> Option<Arc<Addresses>> {
        if let Some(set) = self.sets.sets.get_mut(name) {
            set.used = true;
            return Some(set.addresses.clone());
        }
        let names = || self.sets.sets.keys().map(String::as_str);
        let near = nearest(name, names());
        let hint = if !near.is_empty() {
            let near: Vec<String> = near.iter().map(|near| format!("${near}")).collect();
            format!("did you mean {}?", one_of(near.iter().map(String::as_str)))
        } else if self.sets.sets.is_empty() {
            "the policy has no `sets`: write `sets: { admins: [192.0.2.0/28] }`".to_owned()
        } else {
            let some: Vec<&str> = names().take(5).collect();
            format!("its `sets` are {}", some.join(", "))
        };
        self.problems.push(
            Problem::error(node.span, format!("no set is called {}", quoted(name))).hint(hint),
        );
        None
    }

    /// Whether a list may hold so many ranges more: thousands of rules that each join a large set with
    /// something else would need memory for as many copies.
    fn may_copy(&mut self, node: &Node<'_>, ranges: usize) -> bool {
        self.sets.copied = self.sets.copied.saturating_add(ranges);
        let fits = self.sets.copied <= limits::COPIED_RANGES;
        if !fits {
            self.problems.push(
                Problem::error(
                    node.span,
                    format!(
                        "lists that join sets with others hold more than {} ranges",
                        limits::COPIED_RANGES
                    ),
                )
                .label("too many with this one")
                .hint("a list of one `$set` alone shares it: make a set of the whole list"),
            );
        }
        fits
    }

    /// One address or prefix.
    fn prefix(&mut self, node: &Node<'_>, expected: &str, ranges: &mut Ranges) {
        let Some(found) = text(node) else {
            self.problems.push(
                Problem::error(
                    node.span,
                    format!("expected {expected}, found {}", node.describe()),
                )
                .hint("write `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`"),
            );
            return;
        };
        let Some(written) = prefix::parse(found.as_bytes()) else {
            let refusal = prefix::refusal(found, expected);
            let hint = if self.sets.sets.contains_key(found) {
                format!("a set is written with a `$`: `${found}`")
            } else {
                refusal.hint
            };
            self.problems
                .push(Problem::error(node.span, refusal.message).hint(hint));
            return;
        };
        if written.masked {
            self.problems.push(
                Problem::warning(
                    node.span,
                    format!("{} has bits set behind its prefix", quoted(found)),
                )
                .hint(format!("it is read as `{}`: write that", written.prefix)),
            );
        }
        ranges.push(written.prefix);
    }

    /// Warns of sets of the text being read that nothing names, once everything has been read.
    pub(crate) fn warn_of_unused_sets(&mut self) {
        for (name, set) in &self.sets.sets {
            if !set.used && set.key.text == self.source.number {
                self.problems.push(
                    Problem::warning(set.key, format!("no rule uses the set `{name}`"))
                        .hint(format!("rules call it `${name}`; else remove it")),
                );
            }
        }
    }
}
