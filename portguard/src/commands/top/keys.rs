//! The keys of the terminal.

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::Sender;

use crate::observe::top::{Key, Message};

use super::Input;

/// Tells all keys, and sizes of the terminal, until nobody listens.
pub(super) fn read(sender: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(event)) => match key(event) {
                Some(key) => Input::Message(Message::Key(key)),
                None => continue,
            },
            Ok(Event::Resize(..)) => Input::Resized,
            Ok(_) => continue,
            Err(error) => Input::NoKeys(error),
        };
        let is_last = matches!(input, Input::NoKeys(_));
        if sender.blocking_send(input).is_err() || is_last {
            return;
        }
    }
}

/// The key of an event; `None` if it means nothing here.
fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        let is_interrupt = event.code == KeyCode::Char('c');
        return is_interrupt.then_some(Key::Interrupt);
    }
    Some(match event.code {
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_with_c_interrupts_and_other_letters_with_it_mean_nothing() {
        let with = |letter, modifiers| key(KeyEvent::new(KeyCode::Char(letter), modifiers));
        assert_eq!(with('c', KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(with('q', KeyModifiers::CONTROL), None);
        assert_eq!(with('c', KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(with('R', KeyModifiers::SHIFT), Some(Key::Char('R')));
    }

    #[test]
    fn a_key_that_is_let_go_was_told_when_it_was_pressed() {
        let code = KeyCode::Char('q');
        let released = KeyEvent::new_with_kind(code, KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(key(released), None);
    }
}
