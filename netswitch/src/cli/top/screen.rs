//! One screen: networks, containers, and which key does what.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row as Cells, Table};

use super::rates::{Rates, Row};
use crate::cli::print;

/// What is shown.
#[derive(Debug, Default)]
pub struct Screen {
    pub rates: Rates,
    /// Containers above the first line.
    pub skipped: usize,
    /// What is wrong, in place of the keys.
    pub complaint: String,
}

const KEYS: &str = "b bytes  p packets  d drops  f flows  n name  r reverse  arrows scroll  q quit";
/// Networks take at most this share of the screen.
const SHARE: u16 = 3;
const TITLES: [&str; 7] = [
    "RECEIVED/s",
    "PACKETS/s",
    "SENT/s",
    "PACKETS/s",
    "DROPS/s",
    "REASON",
    "FLOWS",
];
const WIDTHS: [Constraint; 7] = [
    Constraint::Length(10),
    Constraint::Length(9),
    Constraint::Length(10),
    Constraint::Length(9),
    Constraint::Length(7),
    Constraint::Length(18),
    Constraint::Length(6),
];
const NAME: Constraint = Constraint::Min(9);

impl Screen {
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let networks = u16::try_from(self.rates.networks.len() + 2).unwrap_or(u16::MAX);
        let [above, below, footer] = Layout::vertical([
            Constraint::Length(networks.min(frame.area().height / SHARE)),
            Constraint::Min(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let rows = self
            .rates
            .networks
            .iter()
            .map(|row| cells([&row.network, &row.container], row));
        draw(frame, above, ["NETWORK", "CONTAINERS"], rows.collect());
        let rows = self.rates.containers.iter().skip(self.skipped);
        let rows = rows.map(|row| cells([&row.container, &row.network], row));
        draw(frame, below, ["CONTAINER", "NETWORK"], rows.collect());
        let line: &str = if self.complaint.is_empty() {
            KEYS
        } else {
            &self.complaint
        };
        let line = Line::styled(line, Style::new().add_modifier(Modifier::REVERSED));
        frame.render_widget(line, footer);
    }
}

fn draw(frame: &mut Frame<'_>, area: Rect, names: [&'static str; 2], rows: Vec<Cells<'_>>) {
    let titles = names.into_iter().chain(TITLES).map(Cell::from);
    let titles = Cells::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    let widths = [NAME, NAME].into_iter().chain(WIDTHS);
    frame.render_widget(Table::new(rows, widths).header(titles), area);
}

fn cells<'a>(names: [&'a str; 2], row: &Row) -> Cells<'a> {
    let figures = [
        bytes(row.received_bytes),
        format!("{:.0}", row.received_packets),
        bytes(row.sent_bytes),
        format!("{:.0}", row.sent_packets),
        format!("{:.0}", row.drops),
        row.reason.clone(),
        row.flows.to_string(),
    ];
    let names = names.into_iter().map(Cell::from);
    Cells::new(names.chain(figures.into_iter().map(Cell::from)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate, to the nearest byte"
)]
fn bytes(rate: f64) -> String {
    print::bytes(rate.round() as u64)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::top::rates::{Order, tests::rates};

    fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>())
            .map(|row| row.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn networks_and_containers_have_their_figures() {
        let mut screen = Screen {
            rates: rates(),
            ..Screen::default()
        };
        screen.rates.sort(Order::Bytes, false);
        let lines = drawn(&screen, 100, 14);
        let words: Vec<String> = lines
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            words[0],
            "NETWORK CONTAINERS RECEIVED/s PACKETS/s SENT/s PACKETS/s DROPS/s REASON FLOWS"
        );
        assert_eq!(words[1], "back 2 0B 0 50.0kB 500 0 15");
        assert!(
            words.contains(&"web front 0B 0 10.0kB 100 3 policy-denied 3".to_owned()),
            "{lines:#?}"
        );
        assert_eq!(lines.last().unwrap(), KEYS);
    }

    #[test]
    fn a_small_screen_shows_what_goes_in_and_scrolls() {
        let mut screen = Screen {
            rates: rates(),
            skipped: 4,
            complaint: "the agent has stopped".into(),
        };
        screen.rates.sort(Order::Name, false);
        let lines = drawn(&screen, 80, 8);
        assert_eq!(lines.last().unwrap(), "the agent has stopped");
        let is_shown = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(is_shown("web") && !is_shown("late"), "{lines:#?}");
        drawn(&screen, 1, 1);
    }
}
