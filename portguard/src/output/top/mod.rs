//! The screen of `portguard top`.

mod explain;
mod header;
mod look;
mod screen;
mod sources;
mod table;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Clear, Paragraph};

use crate::observe::top::{Fit, Overlay, Pane, Top};

use super::text::entry_within;

pub use look::Look;
pub use screen::Screen;

/// What the keys do; the first column is as wide as a label of an entry.
const KEYS: [(&str, &str); 13] = [
    ("up, down", "select a row (also k and j)"),
    (
        "PgUp/PgDn",
        "a page on or back; Home and End go to the ends",
    ),
    (
        "Tab",
        "rules, outcomes, blocked ports, sources; Shift-Tab back",
    ),
    ("Enter, e", "explain the selected row"),
    ("s", "sort by rate, by total, by name"),
    ("r", "reverse the order"),
    (
        "/",
        "list only rows with this text in their name, action, service or rule; Enter keeps it, Esc takes it away",
    ),
    (
        "p",
        "pause: rows stand still, the head goes on; again to go on",
    ),
    ("?", "this help"),
    ("Esc", "close what is open; otherwise quit"),
    ("q, Ctrl-C", "quit"),
    (
        "",
        "Rates are packets in a second. Each row has a graph of its own height, the newest second on the right.",
    ),
    (
        "",
        "Sources come from drop events, a sample of what is dropped: rates and numbers are those of events.",
    ),
];

/// Draws everything, and says what fitted.
pub fn draw(frame: &mut Frame<'_>, top: &Top, look: &Look) -> Fit {
    let area = frame.area();
    // The rows are what it is about: the head takes a third at most.
    let mut head = header::lines(top, look, area.width);
    head.truncate(usize::from(area.height / 3).max(1));
    let head_height = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let [head_area, tabs_area, body, foot_area] = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    for (line, row) in head.iter().zip(head_area.rows()) {
        frame.render_widget(line, row);
    }
    header::frames(frame, head_area, head.len(), top, look);
    frame.render_widget(tabs(top, tabs_area.width.into()), tabs_area);
    let rows = match top.pane() {
        Pane::Sources => sources::draw(frame, body, top, look),
        Pane::Rules | Pane::Outcomes | Pane::Ports => table::draw(frame, body, top, look),
    };
    let hidden_lines = match top.overlay() {
        None => 0,
        Some(overlay) => draw_over(frame, body, top, overlay),
    };
    frame.render_widget(foot(top), foot_area);
    Fit { rows, hidden_lines }
}

/// Draws what lies over the rows, and says how many of its lines do not fit.
fn draw_over(frame: &mut Frame<'_>, area: Rect, top: &Top, overlay: Overlay) -> usize {
    let (title, entries) = match overlay {
        Overlay::Help => (
            "Keys".to_owned(),
            KEYS.map(|(key, text)| (key.to_owned(), text.to_owned()))
                .to_vec(),
        ),
        Overlay::Explanation => explain::selected(top),
    };
    let width = usize::from(area.width);
    let mut text = Text::from(Line::styled(title, Modifier::BOLD));
    for (label, said) in entries {
        let entry = entry_within(width, &label, &said);
        text.extend(entry.lines().map(|line| Line::raw(line.to_owned())));
    }
    let hidden = text.height().saturating_sub(area.height.into());
    let scroll = u16::try_from(top.scroll().min(hidden)).unwrap_or(u16::MAX);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).scroll((scroll, 0)), area);
    hidden
}

/// The panes, and how the rows of this one are chosen: in so many columns, as far as it can be said so shortly.
fn tabs(top: &Top, width: usize) -> Line<'static> {
    let forms = [Titles::Long, Titles::Short, Titles::Bare];
    let lines = forms.map(|titles| tabs_with(top, titles));
    let [.., shortest] = &lines;
    let fits = lines.iter().find(|line| line.width() <= width);
    fits.unwrap_or(shortest).clone()
}

/// How panes are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Titles {
    /// By their headings, with the number of rows.
    Long,
    /// By a word, with the number of rows.
    Short,
    /// By a word, that of this one with the number of its rows.
    Bare,
}

fn tabs_with(top: &Top, titles: Titles) -> Line<'static> {
    let mut spans = Vec::new();
    for pane in Pane::ALL {
        let title = match (titles, pane) {
            (Titles::Short | Titles::Bare, Pane::Ports) => "Ports",
            (..) => pane.title(),
        };
        let text = match titles {
            Titles::Bare if pane != top.pane() => title.to_owned(),
            _ => format!("{title} {}", top.count(pane)),
        };
        spans.push(if pane == top.pane() {
            Span::styled(format!("[{text}]"), Modifier::BOLD)
        } else {
            Span::raw(format!(" {text} "))
        });
    }
    if top.is_paused() {
        spans.push(Span::raw(" "));
        spans.push(Span::styled(
            "PAUSED",
            Style::from(Modifier::BOLD | Modifier::REVERSED),
        ));
    }
    if !top.filter().is_empty() && !top.is_typing() {
        spans.push(Span::raw(format!("  filter: {}", top.filter())));
    }
    Line::from(spans)
}

/// The most important keys, or the filter while it is typed.
fn foot(top: &Top) -> Line<'static> {
    if top.is_typing() {
        return Line::from(vec![
            Span::raw(format!("filter: {}", top.filter())),
            Span::styled(" ", Modifier::REVERSED),
            Span::raw("  Enter keeps it, Esc takes it away"),
        ]);
    }
    let text = match top.overlay() {
        None => "q quit  ? help  e explain  s sort  / filter  p pause  Tab pane  r reverse",
        Some(_) => "Esc close  up/down scroll  q quit",
    };
    Line::raw(text)
}
