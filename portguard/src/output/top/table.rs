//! The rows of a pane.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Sparkline;

use crate::observe::top::{Pane, Row, SAMPLES, Sort, Top};

use super::look::Look;

/// Columns of a rate or a total.
const NUMBER: u16 = 10;

/// Narrower than this there is no room for graphs.
const GRAPHS_FROM: u16 = 60;

/// Narrower than this there is no room for actions and services.
const NOTES_FROM: u16 = 36;

/// The columns of a row.
struct Columns {
    name: Rect,
    note: Rect,
    rate: Rect,
    graph: Rect,
    total: Rect,
}

impl Columns {
    fn of(row: Rect, pane: Pane) -> Self {
        let width = row.width;
        let note = match pane {
            _ if width < NOTES_FROM => 0,
            Pane::Rules => 8,
            Pane::Outcomes => 0,
            Pane::Ports => width / 4,
            // An IPv6 network has to fit beside it, and an address before it.
            Pane::Sources if width < GRAPHS_FROM => 0,
            Pane::Sources => width / 7,
        };
        let graph = if width < GRAPHS_FROM {
            0
        } else {
            (width / 4).min(SAMPLES as u16)
        };
        let [name, note, rate, _, graph, total] = Layout::horizontal([
            Constraint::Min(0),
            Constraint::Length(note),
            Constraint::Length(NUMBER),
            Constraint::Length(u16::from(graph > 0) * 2),
            Constraint::Length(graph),
            Constraint::Length(NUMBER),
        ])
        .areas(row);
        Self {
            name,
            note,
            rate,
            graph,
            total,
        }
    }
}

/// Draws a heading and the page of rows on which the selected one is; says how many rows a page has.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, top: &Top, look: &Look) -> usize {
    let [heading_area, rows_area] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    heading(frame, heading_area, top);
    let page = usize::from(rows_area.height);
    if page == 0 {
        return 0;
    }
    let view = top.view();
    let Some(selected) = view.selected else {
        frame.render_widget(nothing(top, look, rows_area.width), rows_area);
        return page;
    };
    // Whole pages, so that moving within one draws two lines only.
    let first = selected / page * page;
    let rows = view.rows.iter().enumerate().skip(first);
    for ((place, row), line) in rows.zip(rows_area.rows()) {
        draw_row(frame, line, row, top, look);
        if place == selected {
            let marker = Rect { width: 1, ..line };
            frame.render_widget(Span::raw(">"), marker.intersection(frame.area()));
            frame
                .buffer_mut()
                .set_style(line, Style::from(Modifier::REVERSED));
        }
    }
    page
}

fn heading(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let columns = Columns::of(area, top.pane());
    let (name, note) = match top.pane() {
        Pane::Rules => ("RULE", "ACTION"),
        Pane::Outcomes => ("OUTCOME", ""),
        Pane::Ports => ("PORT", "SERVICE"),
        Pane::Sources => ("SOURCE", "LAST RULE"),
    };
    let total = match top.pane() {
        Pane::Sources => "EVENTS",
        Pane::Rules | Pane::Outcomes | Pane::Ports => "TOTAL",
    };
    let style = Style::from(Modifier::BOLD | Modifier::UNDERLINED);
    frame.buffer_mut().set_style(area, style);
    // The order downwards: numbers begin with the highest, names with the first.
    let mark = |sort: Sort| match (
        sort == top.sort(),
        top.is_reversed() != (sort == Sort::Name),
    ) {
        (false, _) => "",
        (true, true) => "^",
        (true, false) => "v",
    };
    let graph = format!("LAST {} SAMPLES", columns.graph.width);
    for (text, area, alignment) in [
        (
            format!("  {name} {}", mark(Sort::Name)),
            columns.name,
            Alignment::Left,
        ),
        (note.to_owned(), columns.note, Alignment::Left),
        (
            format!("{}RATE/S", mark(Sort::Rate)),
            columns.rate,
            Alignment::Right,
        ),
        (graph, columns.graph, Alignment::Left),
        (
            format!("{}{total}", mark(Sort::Total)),
            columns.total,
            Alignment::Right,
        ),
    ] {
        frame.render_widget(Line::raw(text).alignment(alignment), area);
    }
}

fn draw_row(frame: &mut Frame<'_>, area: Rect, row: &Row, top: &Top, look: &Look) {
    let columns = Columns::of(area, top.pane());
    let cut = |text: &str, area: Rect, spare: u16| {
        fitted(text, area.width.saturating_sub(spare).into(), look.dots())
    };
    let name = format!("  {}", row.subject);
    let note_style = match top.pane() {
        Pane::Rules => look.action(&row.note),
        Pane::Outcomes | Pane::Ports | Pane::Sources => Style::new(),
    };
    let right = |text: String| Line::raw(text).alignment(Alignment::Right);
    frame.render_widget(Line::raw(cut(&name, columns.name, 1)), columns.name);
    let note = Line::styled(cut(&row.note, columns.note, 1), note_style);
    frame.render_widget(note, columns.note);
    frame.render_widget(right(short(row.rate())), columns.rate);
    let history = top.picture().series(&row.subject);
    graph(frame, columns.graph, history, look);
    frame.render_widget(right(short(row.packets() as f64)), columns.total);
}

fn nothing(top: &Top, look: &Look, width: u16) -> Line<'static> {
    let text = if top.filter().is_empty() {
        match top.pane() {
            Pane::Rules => "  the policy has no rules".to_owned(),
            Pane::Outcomes => "  nothing has come yet".to_owned(),
            Pane::Ports => "  nothing was dropped yet".to_owned(),
            Pane::Sources => "  nobody is among what was told".to_owned(),
        }
    } else {
        format!("  nothing here has `{}`", top.filter())
    };
    Line::raw(fitted(&text, width.into(), look.dots()))
}

/// Draws as many of these rates as fit, the newest on the right, the highest of them at full height.
pub(super) fn graph(frame: &mut Frame<'_>, area: Rect, rates: Vec<f64>, look: &Look) {
    let width = usize::from(area.width);
    let shown = &rates[rates.len().saturating_sub(width)..];
    let highest = shown.iter().copied().fold(0.0, f64::max);
    if highest <= 0.0 {
        return;
    }
    /// Steps of a graph's height: as many as a character has, and no packet is none.
    const STEPS: u64 = 8;
    let height = |rate: &f64| match *rate {
        rate if rate > 0.0 => ((rate / highest * STEPS as f64).round() as u64).max(1),
        _ => 0,
    };
    let missing = width - shown.len();
    let heights = std::iter::repeat_n(0, missing).chain(shown.iter().map(height));
    let line = Sparkline::default()
        .data(heights)
        .max(STEPS)
        .bar_set(look.levels())
        .style(look.graph());
    frame.render_widget(line, area);
}

/// A number in at most five characters: `0`, `4.1`, `999`, `1.23k`, `12.3M`.
pub(super) fn short(number: f64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    if number > 0.0 && number < 9.95 {
        // One packet in five seconds is not none.
        let text = format!("{number:.1}");
        return text.trim_end_matches(".0").to_owned();
    }
    let mut number = number;
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = match number {
        _ if unit == 0 => 0,
        number if number < 9.995 => 2,
        number if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{}", UNITS[unit])
}

/// A text in so many columns, with dots where something is left out.
pub(super) fn fitted(text: &str, width: usize, dots: &str) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut room = width.saturating_sub(1);
    for letter in text.chars() {
        let Some(rest) = room.checked_sub(Span::raw(letter.to_string()).width()) else {
            break;
        };
        room = rest;
        kept.push(letter);
    }
    if width > 0 {
        kept.push_str(dots);
    }
    kept
}
