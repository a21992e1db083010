//! A `netswitch monitor` in the background.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::agent::end;
use super::{PATIENCE, World};

/// One that has begun, and what it prints.
pub struct Listener {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Listener {
    pub fn start(world: &World, options: &[&str]) -> Self {
        let mut command = world.command(&[&["monitor"], options].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("netswitch monitor");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines
                .take_while(|line| sender.send(line.clone()).is_ok())
                .for_each(drop);
        });
        let listener = Self { child, lines };
        // the titles say that it listens
        listener.expect("titles", |line| line.starts_with("TIME"));
        listener
    }

    /// The next line, if there is one in time.
    pub fn next(&self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    /// The first line that is the one.
    #[track_caller]
    pub fn expect(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.next(PATIENCE) {
            if is(&line) {
                return line;
            }
            seen.push(line);
        }
        panic!("{what} was not told; seen: {seen:#?}");
    }

    /// A line with these words, in this order.
    #[track_caller]
    pub fn expect_words(&self, text: &str) {
        let wanted: Vec<&str> = text.split_whitespace().collect();
        self.expect(text, |line| {
            let mut words = line.split_whitespace();
            wanted.iter().all(|wanted| words.any(|word| word == *wanted))
        });
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child of ours")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // the program is a child of `timeout`, which passes this on
        let _ = end(&mut self.child, Signal::SIGTERM);
    }
}
