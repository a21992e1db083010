//! `netswitch logs`: what a container's process wrote.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Deserialize;

use super::failure::{Failure, named};
use super::print;
use crate::api::{Request, Response, WaitCondition};
use crate::client::Client;

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
        let answer = client.ask(&request);
        let Response::Log { path, running } = answer.map_err(|error| named(error, "container", &self.container))?
        else {
            return Err(Failure::unexpected());
        };
        let problem = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
        let file = File::open(&path).map_err(problem)?;
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
        if self.follow && running {
            let growth = Growth::of(&path, client.clone(), self.container.clone()).map_err(problem)?;
            let mut goes_on = true;
            loop {
                while let Some(entry) = lines.next()? {
                    self.show(&entry);
                }
                if !goes_on {
                    break;
                }
                // what was written before the end is read after it
                goes_on = growth.wait().map_err(problem)?;
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

/// Tells when there is more in a container's log.
struct Growth {
    writes: Inotify,
    /// Ends with the container.
    life: OwnedFd,
}

impl Growth {
    fn of(log: &Path, client: Client, container: String) -> io::Result<Self> {
        let writes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        writes.add_watch(log, AddWatchFlags::IN_MODIFY)?;
        let (life, held) = io::pipe()?;
        let request = Request::ContainerWait {
            container,
            condition: WaitCondition::NotRunning,
        };
        thread::spawn(move || {
            // one that was removed has ended too
            let _ = client.ask(&request);
            drop(held);
        });
        Ok(Self {
            writes,
            life: life.into(),
        })
    }

    /// Waits for more; false once the container has ended.
    fn wait(&self) -> io::Result<bool> {
        let mut watched = [
            PollFd::new(self.writes.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.life.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let goes_on = watched[1].any() != Some(true);
        match self.writes.read_events() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(goes_on),
            Err(error) => Err(error.into()),
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
