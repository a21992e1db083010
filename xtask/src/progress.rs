//! Shows that something long is going on, and how long it took.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step that takes a while: a spinner with a clock on a terminal, a line at start and end elsewhere.
pub(crate) struct Step {
    text: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    pub(crate) fn start(text: impl Into<String>) -> Self {
        let text = text.into();
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(text.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            eprintln!("{text} …");
        }
        Self {
            text,
            start: Instant::now(),
            bar,
        }
    }

    /// Replaces the spinner by a line that says how it ended.
    pub(crate) fn end(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {result} ({:.1} s)", self.text, self.start.elapsed().as_secs_f32());
    }
}
