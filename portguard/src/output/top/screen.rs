//! The terminal: taken, drawn on, and given back as it was.

use std::io::{self, Stdout, stdout};
use std::panic;

use anyhow::Context as _;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

use crate::exit::{Failure, Outcome};

/// The terminal of standard output, taken for drawing. Dropping it gives the terminal back, and so does a panic.
pub struct Screen {
    // Dropped before the terminal is given back: it shows the cursor.
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _taken: Taken,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it cannot be told or written to.
    pub fn open() -> Outcome<Self> {
        let take = || -> io::Result<Self> {
            let taken = Taken::take()?;
            let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
            Ok(Self {
                terminal,
                _taken: taken,
            })
        };
        take()
            .context("cannot take the terminal")
            .map_err(Failure::system)
    }

    /// Draws what has changed since the last time.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Outcome {
        self.terminal
            .draw(draw)
            .context("cannot draw on the terminal")
            .map_err(Failure::system)?;
        Ok(())
    }
}

/// A terminal in raw mode, with another screen than that of the shell.
struct Taken;

impl Taken {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let taken = Self;
        // A panic aborts: nothing is dropped then.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // Nobody is left to tell where the terminal is gone, and there is nothing to give back then.
    let _mode = disable_raw_mode();
    let _screen = execute!(stdout(), LeaveAlternateScreen, Show);
}
