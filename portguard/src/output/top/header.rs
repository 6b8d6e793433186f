//! The head of the screen: what the daemon does, and what is wrong.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::control::{InterfaceState, InterfaceStatus};
use crate::observe::top::{Link, Top};

use super::look::Look;
use super::table::{fitted, graph, short};

/// The lines of the head, the most important first, but for the graph in the first one.
pub(super) fn lines(top: &Top, look: &Look, width: u16) -> Vec<Line<'static>> {
    let status = top.status();
    let mut lines = vec![frames_line(top)];
    let mut say = |text: String, style: Style| {
        let text = fitted(&text, width.into(), look.dots());
        lines.push(Line::styled(text, style));
    };
    match top.link() {
        Link::Live => {}
        Link::Silent(seconds) => say(
            format!("NO REPORT for {seconds} s: the daemon is busy, or hangs"),
            look.alarm(),
        ),
        Link::Lost(reason) => say(
            format!("NO DAEMON, trying again each second: {reason}"),
            look.alarm(),
        ),
    }
    if let Some(seconds) = status.trial_s {
        say(
            format!("ON TRIAL for {seconds} s more: `portguard confirm` keeps it"),
            look.attention(),
        );
    }
    if !status.enforce {
        say(
            "DRY RUN: everything is counted, nothing is dropped".into(),
            look.attention(),
        );
    }
    for reason in &status.degraded {
        say(format!("DEGRADED: {reason}"), look.alarm());
    }
    let plural = if status.rules == 1 { "" } else { "s" };
    let enforced = if status.enforce { ", enforced" } else { "" };
    say(
        format!(
            "portguard {}, generation {}, {} rule{plural}{enforced}, {}",
            status.version,
            status.generation,
            status.rules,
            status.policy.display()
        ),
        Style::new(),
    );
    let interfaces: Vec<String> = status.interfaces.iter().map(interface).collect();
    say(interfaces.join(", "), Style::new());
    lines
}

/// How fast frames come, and how many there were.
fn frames_line(top: &Top) -> Line<'static> {
    let picture = top.picture();
    let rate = match picture.rate {
        Some(rate) => format!(
            "{} packets/s, {} bit/s",
            short(rate.packets_per_second),
            short(rate.bytes_per_second * 8.0)
        ),
        None => "counting".to_owned(),
    };
    let total = short(picture.frames.packets as f64);
    Line::from(vec![
        Span::styled(rate, Modifier::BOLD),
        Span::raw(format!(", {total} in all")),
    ])
}

/// The graph of all frames behind the first line of the head.
pub(super) fn frames(frame: &mut Frame<'_>, head: Rect, lines: usize, top: &Top, look: &Look) {
    let Some(first) = head.rows().next() else {
        return;
    };
    let text = frames_line(top).width();
    let text = u16::try_from(text).unwrap_or(u16::MAX).saturating_add(2);
    if lines == 0 || first.width < text.saturating_add(8) {
        return;
    }
    let [_, area] = Layout::horizontal([Constraint::Length(text), Constraint::Min(0)]).areas(first);
    graph(frame, area, top.picture().history.frames().collect(), look);
}

fn interface(interface: &InterfaceStatus) -> String {
    let name = &interface.name;
    match (interface.state, interface.mode) {
        (InterfaceState::Attached, Some(mode)) => format!("{name} {mode}"),
        (InterfaceState::Attached, None) => format!("{name} attached"),
        (InterfaceState::Waiting, _) => format!("{name} WAITING"),
        (InterfaceState::Failed, _) => format!("{name} NOT FILTERED"),
    }
}
