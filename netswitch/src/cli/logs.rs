//! `netswitch logs`: what a container's process wrote.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::failure::{Failure, named};
use super::print;
use crate::api::{Request, Response};
use crate::client::Client;
use crate::shim::log::{Line, Lines, Stream};

/// How often `--follow` looks for more.
const INTERVAL: Duration = Duration::from_millis(100);

/// Fetch the logs of a container
#[derive(Debug, Args)]
pub struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show from the end of the logs (default "all")
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Logs {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let request = Request::ContainerLogs {
            container: self.container.clone(),
        };
        let ask = || {
            let answer = client.ask(&request);
            let Response::Log { path, running } = answer.map_err(|error| named(error, "container", &self.container))?
            else {
                return Err(Failure::unexpected());
            };
            Ok((path, running))
        };
        let (path, mut running) = ask()?;
        let mut lines = Lines::open(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        // Docker takes anything that is no number for all.
        let last = self.tail.parse::<usize>().unwrap_or(usize::MAX);
        let mut entries = VecDeque::new();
        while let Some(entry) = lines.next_line().map_err(|error| unreadable(&error))? {
            if last == usize::MAX {
                self.show(&entry);
                continue;
            }
            entries.push_back(entry);
            if entries.len() > last {
                entries.pop_front();
            }
        }
        for entry in &entries {
            self.show(entry);
        }
        while self.follow && running {
            thread::sleep(INTERVAL);
            // Asked first, so that what was written before the end is read after it. A container
            // that was removed meanwhile has ended too.
            running = ask().is_ok_and(|(_, running)| running);
            while let Some(entry) = lines.next_line().map_err(|error| unreadable(&error))? {
                self.show(&entry);
            }
        }
        Ok(())
    }

    fn show(&self, entry: &Line) {
        let text = if self.timestamps {
            format!("{} {}", entry.time, entry.log)
        } else {
            entry.log.clone()
        };
        if entry.stream == Stream::Stderr {
            print::complain_text(&text);
        } else {
            print::text(&text);
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(format!("cannot read the log: {error}"))
}
