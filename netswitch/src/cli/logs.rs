//! `netswitch logs`: what a container's process wrote.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::failure::{Failure, named};
use super::print;
use crate::api::{Request, Response};
use crate::client::Client;

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

/// One write of the process, as in Docker's json-file.
#[derive(Debug, Deserialize)]
struct Entry {
    log: String,
    stream: String,
    time: String,
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
        let file = File::open(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let mut lines = Lines {
            reader: BufReader::new(file),
            partial: String::new(),
        };
        // Docker takes anything that is no number for all.
        let last = self.tail.parse::<usize>().unwrap_or(usize::MAX);
        let mut entries = VecDeque::new();
        while let Some(entry) = lines.next()? {
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
            while let Some(entry) = lines.next()? {
                self.show(&entry);
            }
        }
        Ok(())
    }

    fn show(&self, entry: &Entry) {
        let text = if self.timestamps {
            format!("{} {}", entry.time, entry.log)
        } else {
            entry.log.clone()
        };
        if entry.stream == "stderr" {
            print::complain_text(&text);
        } else {
            print::text(&text);
        }
    }
}

/// Whole lines of a file that may still grow.
struct Lines {
    reader: BufReader<File>,
    partial: String,
}

impl Lines {
    fn next(&mut self) -> Result<Option<Entry>, Failure> {
        let problem = |error: String| Failure::new(format!("cannot read the log: {error}"));
        self.reader
            .read_line(&mut self.partial)
            .map_err(|error| problem(error.to_string()))?;
        if !self.partial.ends_with('\n') {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.partial);
        serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| problem(error.to_string()))
    }
}
