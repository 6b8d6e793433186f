//! Who sends what is dropped: what the list is a sample of, and what is known of one of them.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Wrap};

use crate::observe::sources::{Sampled, Source};
use crate::observe::top::{Senders, Top};

use super::super::events;
use super::explain::percent;
use super::look::Look;
use super::table::{self, fitted, short};

/// What to do about a policy that tells no events.
const WITHOUT_EVENTS: &str = "This policy tells no drop events, from which senders are known. With this in it, they are listed here:";

/// The line that a policy needs.
const EVENTS: &str = "events: { rate: 100/s }";

/// Draws the rows below what they are a sample of; says how many rows a page has.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, top: &Top, look: &Look) -> usize {
    if top.status().events.is_none() {
        frame.render_widget(without_events(), area);
        return 0;
    }
    let width = area.width.into();
    let about = about(&top.picture().senders);
    let height = u16::try_from(about.len()).unwrap_or(u16::MAX);
    let [about_area, rows_area] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    for (text, line) in about.iter().zip(about_area.rows()) {
        let text = fitted(&format!("  {text}"), width, look.dots());
        frame.render_widget(Line::raw(text), line);
    }
    table::draw(frame, rows_area, top, look)
}

fn without_events() -> Paragraph<'static> {
    let lines = ["", WITHOUT_EVENTS, "", EVENTS];
    Paragraph::new(Text::from_iter(lines)).wrap(Wrap { trim: false })
}

/// Of what the rows are a sample, and what else is to be known of them.
fn about(senders: &Senders) -> Vec<String> {
    let sampled = &senders.sampled;
    let mut lines = vec![if sampled.events == 0 {
        "no dropped packet was told of lately".to_owned()
    } else {
        format!(
            "a sample: {} of {} dropped packets of the last {} were told",
            short(sampled.events as f64),
            short(dropped(sampled) as f64),
            samples(sampled.samples),
        )
    }];
    if let Some(trouble) = &senders.trouble {
        lines.push(format!("NO EVENTS, trying again each second: {trouble}"));
    }
    if sampled.hidden > 0 {
        lines.push(format!(
            "listed are the {} heaviest of {} sources",
            sampled.heaviest.len(),
            short((sampled.heaviest.len() + sampled.hidden) as f64),
        ));
    }
    if senders.missed > 0 {
        let missed = short(senders.missed as f64);
        lines.push(format!("{missed} events came too fast for this view"));
    }
    lines
}

/// Dropped packets that events were told of, or might have been. What was told just now may not be in the counters yet.
fn dropped(sampled: &Sampled) -> u64 {
    sampled.would_be.max(sampled.events)
}

fn samples(number: usize) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} sample{plural}")
}

/// A heading, and labels with their texts.
pub(super) fn explained(source: &Source, sampled: &Sampled) -> (String, Vec<(String, String)>) {
    let name = source.prefix;
    let mut entries = Vec::new();
    let mut say = |label: &str, text: String| entries.push((label.to_owned(), text));
    let network = if name.is_ipv4() {
        ""
    } else {
        ", or several in this network"
    };
    say(
        "meaning",
        format!("a sender of dropped packets{network}; the address may be forged"),
    );
    say(
        "events",
        format!(
            "{} of it in the last {}, {} of all that were told",
            source.events,
            samples(sampled.samples),
            percent(source.events as f64, sampled.events as f64)
        ),
    );
    say("packets", packets(source, sampled));
    let now = source.rates.last().copied().unwrap_or_default();
    let highest = source.rates.iter().copied().fold(0.0, f64::max);
    say(
        "rate",
        format!(
            "{} events/s, {} at most in these samples",
            short(now),
            short(highest)
        ),
    );
    say("last", events::line(&source.last));
    say(
        "more",
        format!("`portguard events --from {name}` shows what else it sends"),
    );
    say(
        "ban",
        format!("`portguard ban {name} --for 1h` drops all that comes from it"),
    );
    (format!("Source {name}"), entries)
}

/// How many packets its events stand for.
fn packets(source: &Source, sampled: &Sampled) -> String {
    if dropped(sampled) == sampled.events {
        return "as many: each dropped packet was told".to_owned();
    }
    let scale = dropped(sampled) as f64 / sampled.events.max(1) as f64;
    format!(
        "about {}, if it was sampled as all were, 1 of {}; of what is dropped most, less is told",
        short(source.events as f64 * scale),
        short(scale)
    )
}
