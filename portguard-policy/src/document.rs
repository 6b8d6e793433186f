//! The text as a tree: what was written and where, before anything is made of it.
//!
//! This is the only file that names the YAML crate. It reads the parser's events rather than going
//! through serde, for three reasons: the events carry the text of a scalar as it was written, so that
//! `010`, `0x16` or `22:22` never become numbers; they carry the byte offsets of every key, value and
//! list; and a tree that holds what is wrong as well lets all problems of a text be reported at once,
//! where a `Deserialize` stops at the first.

use std::borrow::Cow;

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::problem::{Problem, Problems, Span, quoted};

/// Nodes that the text may hold once its aliases are followed: more than 16 MiB of policy need, few
/// enough that an alias bomb is refused in milliseconds.
const NODES: u64 = 4_000_000;

/// A node of the document.
pub(crate) type NodeId = usize;

/// One value: where it stands and what it is.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) span: Span,
    pub(crate) kind: Kind<'a>,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// A text; `plain` if it was written without quotes.
    Scalar { text: Cow<'a, str>, plain: bool },
    /// A list.
    Sequence(Vec<NodeId>),
    /// Keys with their values, as written: keys may repeat.
    Mapping(Vec<(NodeId, NodeId)>),
    /// Stands for another node.
    Alias(NodeId),
}

impl Node<'_> {
    /// Nothing was written, or one of YAML's words for nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What this is, for a message: "a list", "`text`".
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() && self.span.start == self.span.end => {
                "nothing".to_owned()
            }
            Kind::Scalar { text, .. } => quoted(text),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Alias(_) => "an alias".to_owned(),
        }
    }
}

/// A parsed text.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    nodes: Vec<Node<'a>>,
    root: NodeId,
}

impl<'a> Document<'a> {
    /// Parses a text. What cannot be a policy in any case (a syntax error, an alias bomb, no document at
    /// all) is the error; what leaves a tree worth checking is added to `problems`. `number` is that of the text, as in
    /// [`Span::text`].
    pub(crate) fn parse(
        text: &'a str,
        number: usize,
        problems: &mut Problems,
    ) -> Result<Self, Box<Problem>> {
        Builder::new(text, number, problems).build()
    }

    /// The value of the whole document.
    pub(crate) fn root(&self) -> &Node<'a> {
        self.get(self.root)
    }

    /// A node; for an alias, the node that it stands for.
    pub(crate) fn get(&self, id: NodeId) -> &Node<'a> {
        let node = &self.nodes[id];
        match node.kind {
            Kind::Alias(target) => &self.nodes[target],
            _ => node,
        }
    }
}

/// A list or mapping whose end has not come yet.
struct Open {
    id: NodeId,
    /// Number of nodes in it so far, aliases followed.
    size: u64,
    /// The key that waits for its value.
    key: Option<NodeId>,
    /// The parser's number of its anchor, 0 for none.
    anchor: usize,
}

/// A node that aliases may refer to.
struct Anchor {
    id: NodeId,
    /// `None` while it is still open.
    size: Option<u64>,
}

struct Builder<'a, 'p> {
    text: &'a str,
    number: usize,
    problems: &'p mut Problems,
    nodes: Vec<Node<'a>>,
    open: Vec<Open>,
    /// By the parser's number, which starts at 1.
    anchors: Vec<Option<Anchor>>,
    root: Option<NodeId>,
    /// Number of nodes so far, aliases followed.
    size: u64,
    documents: usize,
}

impl<'a, 'p> Builder<'a, 'p> {
    fn new(text: &'a str, number: usize, problems: &'p mut Problems) -> Self {
        Self {
            text,
            number,
            problems,
            nodes: Vec::new(),
            open: Vec::new(),
            anchors: Vec::new(),
            root: None,
            size: 0,
            documents: 0,
        }
    }

    fn build(mut self) -> Result<Document<'a>, Box<Problem>> {
        let parser: Parser<'a, StrInput<'a>> = Parser::new_from_str(self.text);
        for next in parser {
            let (event, span) =
                next.map_err(|error| syntax_error(self.text, self.number, &error))?;
            let range = span.byte_range().unwrap_or_default();
            let span = self.span(range.start, range.end);
            if matches!(event, Event::DocumentStart(..)) {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.push(
                        Problem::error(span, "the file holds a second document")
                            .label("starts here")
                            .hint("a policy is one document: remove `---` and what follows"),
                    );
                    break;
                }
            }
            self.event(event, span)?;
        }
        match self.root {
            Some(root) if !self.nodes[root].is_null() => Ok(Document {
                nodes: self.nodes,
                root,
            }),
            _ => {
                let what = match self.number {
                    0 => "the policy is empty",
                    _ => "the drop-in is empty",
                };
                Err(Problem::of_text(what)
                    .in_text(self.number)
                    .hint("one that has no rules on purpose says so: `version: 1` and `rules: []`")
                    .into())
            }
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span {
            text: self.number,
            start,
            end,
        }
    }

    fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let plain = style == ScalarStyle::Plain;
                let id = self.node(span, Kind::Scalar { text, plain });
                self.anchor(anchor, id, Some(1));
                self.attach(id, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.start(span, Kind::Sequence(Vec::new()), anchor);
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.start(span, Kind::Mapping(Vec::new()), anchor);
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn node(&mut self, span: Span, kind: Kind<'a>) -> NodeId {
        self.nodes.push(Node { span, kind });
        self.nodes.len() - 1
    }

    fn anchor(&mut self, anchor: usize, id: NodeId, size: Option<u64>) {
        if anchor == 0 {
            return;
        }
        if self.anchors.len() <= anchor {
            self.anchors.resize_with(anchor + 1, || None);
        }
        self.anchors[anchor] = Some(Anchor { id, size });
    }

    fn start(&mut self, span: Span, kind: Kind<'a>, anchor: usize) {
        self.refuse_tab_before(span);
        let id = self.node(span, kind);
        self.anchor(anchor, id, None);
        self.open.push(Open {
            id,
            size: 1,
            key: None,
            anchor,
        });
    }

    fn end(&mut self, span: Span) -> Result<(), Box<Problem>> {
        let Some(done) = self.open.pop() else {
            return Ok(());
        };
        // The end of a block has no width and comes after the blank lines below it.
        let end = if span.end > span.start {
            span.end
        } else {
            self.last_child_end(done.id)
        };
        let node = &mut self.nodes[done.id];
        node.span.end = node.span.end.max(end);
        if let Some(Some(anchor)) = self.anchors.get_mut(done.anchor) {
            anchor.size = Some(done.size);
        }
        self.attach(done.id, done.size)
    }

    fn last_child_end(&self, id: NodeId) -> usize {
        let last = match &self.nodes[id].kind {
            Kind::Sequence(items) => items.last().copied(),
            Kind::Mapping(pairs) => pairs.last().map(|(_, value)| *value),
            Kind::Scalar { .. } | Kind::Alias(_) => None,
        };
        last.map_or(0, |last| self.nodes[last].span.end)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Problem>> {
        let target = self.anchors.get(anchor).and_then(Option::as_ref);
        let Some(&Anchor { id, size }) = target else {
            return Err(unknown_anchor(self.text, span));
        };
        let Some(size) = size else {
            return Err(Problem::error(
                span,
                format!(
                    "the alias {} stands inside of what it stands for",
                    self.found(span)
                ),
            )
            .hint("write the value out")
            .into());
        };
        let alias = self.node(span, Kind::Alias(id));
        self.attach(alias, size)
    }

    /// Puts a finished node into what is open around it.
    fn attach(&mut self, id: NodeId, size: u64) -> Result<(), Box<Problem>> {
        // A list has been counted by its members already, all but itself; an alias not at all.
        self.size += match self.nodes[id].kind {
            Kind::Alias(_) => size,
            _ => 1,
        };
        if self.size > NODES {
            let span = self.nodes[id].span;
            return Err(Problem::error(
                span,
                format!("the policy holds more than {NODES} values, its aliases followed"),
            )
            .label("the limit is exceeded here")
            .hint("aliases of aliases multiply: write the values out")
            .into());
        }
        let Some(around) = self.open.last_mut() else {
            self.root = Some(id);
            return Ok(());
        };
        around.size += size;
        match &mut self.nodes[around.id].kind {
            Kind::Sequence(items) => items.push(id),
            Kind::Mapping(pairs) => match around.key.take() {
                None => around.key = Some(id),
                Some(key) => pairs.push((key, id)),
            },
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            self.problems.push(
                Problem::error(
                    span,
                    format!("the tag {} has no meaning here", quoted(&tag.original())),
                )
                .hint("remove the tag: what a value is follows from its key"),
            );
        }
    }

    /// The parser lets the outermost block begin behind a tab.
    fn refuse_tab_before(&mut self, span: Span) {
        let before = self.text.get(..span.start).unwrap_or_default();
        let indent = before.len() - before.trim_end_matches([' ', '\t']).len();
        let line = &before[before.len() - indent..];
        let is_indent = before.len() == indent || before[..before.len() - indent].ends_with('\n');
        if let Some(tab) = line.find('\t').filter(|_| is_indent) {
            let start = span.start - indent + tab;
            self.problems.push(tab_problem(self.number, start));
        }
    }

    fn found(&self, span: Span) -> String {
        quoted(self.text.get(span.start..span.end).unwrap_or_default())
    }
}

fn unknown_anchor(text: &str, span: Span) -> Box<Problem> {
    let rest = text.get(span.start..).unwrap_or_default();
    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
    let word = rest.split(is_end).next().unwrap_or_default();
    let span = Span {
        end: span.start + word.len(),
        ..span
    };
    Problem::error(
        span,
        format!(
            "{} reads as an alias, and no anchor has this name",
            quoted(word)
        ),
    )
    .hint("a text that starts with `*` needs quotes: `\"*\"`")
    .into()
}

/// The parser's error in the words of someone who writes a policy.
fn syntax_error(text: &str, number: usize, error: &ScanError) -> Box<Problem> {
    let start = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let span = Span {
        text: number,
        start,
        end: start,
    };
    match error.kind() {
        ErrorKind::UnknownAnchor => return unknown_anchor(text, span),
        ErrorKind::MissingAnchorOrAliasName
            if text.get(start..).is_some_and(|rest| rest.starts_with('*')) =>
        {
            return unknown_anchor(text, span);
        }
        _ => {}
    }
    if let Some(tab) = blamed_tab(text, start) {
        return tab_problem(number, tab).into();
    }
    Problem::error(span, format!("this is not YAML: {}", error.info())).into()
}

fn tab_problem(text: usize, start: usize) -> Problem {
    let end = start + 1;
    Problem::error(Span { text, start, end }, "a tab cannot indent")
        .label("this is a tab")
        .hint("indent with spaces")
}

/// The tab in the indentation of the line at or before an error, dashes of lists included, which the parser
/// blames on whatever it was reading.
fn blamed_tab(text: &str, offset: usize) -> Option<usize> {
    let before = text.get(..offset)?;
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    // An error may also be placed at the end of the line above.
    let next = text.get(offset..)?.find('\n').map(|at| offset + at + 1);
    [Some(line), next].into_iter().flatten().find_map(|start| {
        let rest = text.get(start..)?;
        let indent = rest.len() - rest.trim_start_matches([' ', '\t', '-']).len();
        rest.get(..indent)?.find('\t').map(|at| start + at)
    })
}
