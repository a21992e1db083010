//! `netswitch top`: who sends, receives and loses most, as it happens.

mod rates;
mod screen;

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::rates::{Order, Rates};
use self::screen::Screen;
use super::failure::Failure;
use super::interrupt;
use crate::api::{Request, Response, Stats};
use crate::client::Client;

/// Display containers and networks by what passes and what is dropped
#[derive(Debug, Args)]
pub struct Top {}

/// Between two looks at the counters.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a signal may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(200);
/// Lines of a page.
const PAGE: usize = 10;

impl Top {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let term = env::var("TERM").unwrap_or_default();
        let is_plain = term.is_empty() || term == "dumb";
        if is_plain || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Failure::new(
                "not a terminal that can be drawn on\nhint: netswitch stats --watch",
            ));
        }
        // an error now, rather than on a screen that goes
        let first = ask(client, None)?;
        let problem = |error: io::Error| Failure::new(format!("terminal: {error}"));
        interrupt::catch().map_err(problem)?;
        // puts the terminal back on a panic, too
        let terminal = ratatui::try_init();
        let shown = terminal.and_then(|mut terminal| Display::new(first).show(client, &mut terminal));
        ratatui::restore();
        shown.map_err(problem)
    }
}

fn ask(client: &Client, since: Option<u64>) -> Result<Stats, Failure> {
    match client.ask(&Request::Stats { since })? {
        Response::Stats(stats) => Ok(stats),
        _ => Err(Failure::unexpected()),
    }
}

struct Display {
    /// The last look, and when it was begun.
    last: Stats,
    looked: Instant,
    screen: Screen,
    order: Order,
    is_reversed: bool,
}

impl Display {
    fn new(first: Stats) -> Self {
        Self {
            screen: Screen {
                rates: Rates::between(&first, &first, INTERVAL),
                ..Screen::default()
            },
            last: first,
            looked: Instant::now(),
            order: Order::default(),
            is_reversed: false,
        }
    }

    fn show(&mut self, client: &Client, terminal: &mut DefaultTerminal) -> io::Result<()> {
        while !interrupt::caught() {
            self.screen.rates.sort(self.order, self.is_reversed);
            terminal.draw(|frame| self.screen.draw(frame))?;
            let left = INTERVAL.saturating_sub(self.looked.elapsed());
            if event::poll(left.min(PATIENCE))? {
                if !self.heed(&event::read()?) {
                    break;
                }
            } else if left.is_zero() {
                self.look(client);
            }
        }
        Ok(())
    }

    fn look(&mut self, client: &Client) {
        self.looked = Instant::now();
        self.screen.complaint = match ask(client, Some(self.last.next())) {
            Ok(stats) => {
                let elapsed = Duration::from_nanos(stats.taken.saturating_sub(self.last.taken));
                self.screen.rates = Rates::between(&self.last, &stats, elapsed);
                self.last = stats;
                String::new()
            }
            Err(failure) => failure.message,
        };
    }

    /// Whether it goes on.
    fn heed(&mut self, event: &Event) -> bool {
        let Event::Key(key) = event else { return true };
        if key.kind == KeyEventKind::Release {
            return true;
        }
        let last = self.screen.rates.containers.len().saturating_sub(1);
        let skipped = &mut self.screen.skipped;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('b') => self.order = Order::Bytes,
            KeyCode::Char('p') => self.order = Order::Packets,
            KeyCode::Char('d') => self.order = Order::Drops,
            KeyCode::Char('f') => self.order = Order::Flows,
            KeyCode::Char('n') => self.order = Order::Name,
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Up => *skipped = skipped.saturating_sub(1),
            KeyCode::Down => *skipped = (*skipped + 1).min(last),
            KeyCode::PageUp => *skipped = skipped.saturating_sub(PAGE),
            KeyCode::PageDown => *skipped = (*skipped + PAGE).min(last),
            KeyCode::Home => *skipped = 0,
            KeyCode::End => *skipped = last,
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_choose_the_order_and_the_end() {
        let mut display = Display::new(Stats::default());
        let mut press = |code, modifiers| display.heed(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(press(KeyCode::Char('d'), KeyModifiers::NONE));
        assert!(press(KeyCode::Char('r'), KeyModifiers::NONE));
        assert!(press(KeyCode::PageDown, KeyModifiers::NONE));
        assert!(press(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!press(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!press(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(display.heed(&Event::Resize(1, 1)));
        assert_eq!((display.order, display.is_reversed), (Order::Drops, true));
        assert_eq!(display.screen.skipped, 0, "nothing to scroll");
    }
}
