//! Drop-ins: further files of a policy, whose rules come before its own.

use std::sync::Arc;

use crate::document::{Document, Kind};
use crate::keys::{self, Fields};
use crate::policy::Rule;
use crate::problem::{Lines, Problem};
use crate::validate::{Settings, Validator};

/// A further file of a policy: rules that come before those of the policy file, and sets for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// Its name from the folder of the policy file on: `policy.d/10-web.yaml`.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// A text that is being read.
pub(crate) struct Source<'d, 'a> {
    pub(crate) document: &'d Document<'a>,
    pub(crate) lines: Lines<'d>,
    /// As [`crate::Place::file`].
    pub(crate) file: Option<Arc<str>>,
    /// As [`crate::Span::text`].
    pub(crate) number: usize,
}

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// The rules of a drop-in. It sees the sets and services of the policy file, and nobody else sees its sets.
    pub(crate) fn drop_in(&mut self, source: Source<'d, 'a>, settings: Settings) -> Vec<Rule> {
        let policy = std::mem::replace(&mut self.source, source);
        let rules = self.read_drop_in(settings);
        self.source = policy;
        rules
    }

    fn read_drop_in(&mut self, settings: Settings) -> Vec<Rule> {
        let document = self.source.document;
        let root = document.root();
        let Kind::Mapping(pairs) = &root.kind else {
            self.problems.push(
                Problem::error(
                    root.span,
                    format!("a drop-in is a mapping of keys, found {}", root.describe()),
                )
                .hint("start with `version: 1`, and `rules:`"),
            );
            return Vec::new();
        };
        let errors = self.problems.errors();
        let fields = Fields::read(document, root, pairs, &keys::DROP_IN, self.problems);
        self.version(&fields);
        if let Some(field) = fields.get("sets") {
            self.read_sets(field);
        }
        let rules = self.rules(&fields, settings);
        if self.problems.errors() == errors {
            self.warn_of_unused_sets();
        }
        self.sets.forget(self.source.number);
        rules
    }

    /// The name of a file that the text being read names: relative names begin at its own folder.
    pub(crate) fn beside(&self, name: &str) -> String {
        let folder = self
            .source
            .file
            .as_deref()
            .and_then(|file| file.rsplit_once('/'));
        match folder {
            Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
            _ => name.to_owned(),
        }
    }
}
