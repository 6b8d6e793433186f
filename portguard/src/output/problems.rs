//! The problems of a policy, each with its line and a hint.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use portguard_policy::{Problem, Related, Severity, Span, TrafficError};

use crate::policy_file::{Loaded, PolicyError, PolicyFile, beside};

/// Everything that is wrong with a policy, rendered.
#[must_use]
pub fn policy_error(error: &PolicyError) -> String {
    match error {
        PolicyError::Invalid { file, problems } => {
            let rendered: Vec<String> = problems
                .iter()
                .map(|problem| render(file, problem))
                .collect();
            let errors = problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .count();
            let plural = if errors == 1 { "" } else { "s" };
            format!(
                "{}\n\nerror: policy `{}` is refused: {errors} error{plural}",
                rendered.join("\n\n"),
                file.path.display()
            )
        }
        error => format!("error: {error}"),
    }
}

/// What is legal but probably not meant, rendered one by one.
#[must_use]
pub fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded
        .warnings
        .iter()
        .map(|problem| render(&loaded.file, problem))
        .collect()
}

/// A line on a policy that is accepted.
#[must_use]
pub fn verdict(loaded: &Loaded) -> String {
    let rules = loaded.policy.rules.len();
    let plural = if rules == 1 { "" } else { "s" };
    let warnings = loaded
        .warnings
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
        .count();
    let with = match warnings {
        0 => String::new(),
        1 => ", 1 warning".into(),
        more => format!(", {more} warnings"),
    };
    format!(
        "{}: ok, {rules} rule{plural}{with}",
        loaded.file.path.display()
    )
}

/// What is wrong with a packet that was described, with its place in the description.
#[must_use]
pub fn packet_error(text: &str, error: &TrafficError) -> String {
    let title = Level::ERROR.primary_title(error.message.as_str());
    let place = AnnotationKind::Primary.span(range(error.span, text));
    let group = title
        .element(Snippet::source(text).path("packet").annotation(place))
        .element(Level::HELP.message(error.hint.as_str()));
    Renderer::plain().render(&[group])
}

fn render(file: &PolicyFile, problem: &Problem) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(problem.message.as_str());
    let (path, text) = file.source(problem.text);
    let path = match &problem.excerpt {
        None => path,
        Some(excerpt) => match &excerpt.place.file {
            None => file.path.clone(),
            Some(name) => beside(&file.folder, name),
        },
    };
    let path = path.display().to_string();
    let mut group = match problem.span {
        None => Group::with_title(title).element(annotate_snippets::Origin::path(path)),
        Some(span) => {
            let (text, first_line) = match &problem.excerpt {
                None => (text, 1),
                Some(excerpt) => (excerpt.text.as_str(), excerpt.place.line),
            };
            let mut primary = AnnotationKind::Primary.span(range(span, text));
            if let Some(label) = &problem.label {
                primary = primary.label(label.as_str());
            }
            let here = |related: &&Related| related.span.text == problem.text;
            let mut group = title.element(
                Snippet::source(text)
                    .line_start(first_line)
                    .path(path)
                    .annotation(primary)
                    .annotations(context(problem.related.iter().filter(here), text)),
            );
            let elsewhere = problem.related.iter().filter(|related| !here(related));
            for related in elsewhere {
                let (path, text) = file.source(related.span.text);
                group = group.element(
                    Snippet::source(text)
                        .path(path.display().to_string())
                        .annotations(context([related], text)),
                );
            }
            group
        }
    };
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    Renderer::plain().render(&[group])
}

/// Other places involved, in one text.
fn context<'p>(
    related: impl IntoIterator<Item = &'p Related>,
    text: &str,
) -> impl Iterator<Item = annotate_snippets::Annotation<'p>> {
    related.into_iter().map(move |related| {
        AnnotationKind::Context
            .span(range(related.span, text))
            .label(related.text.as_str())
    })
}

/// The span as the renderer wants it: within the text, on character boundaries.
fn range(span: Span, text: &str) -> std::ops::Range<usize> {
    let boundary = |offset: usize| text.floor_char_boundary(offset.min(text.len()));
    boundary(span.start)..boundary(span.end.max(span.start))
}
