//! `netswitch logs`: what a container's process wrote.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::failure::{Failure, named};
use super::print;
use crate::api::{Request, Response, WaitCondition};
use crate::client::Client;
use crate::shim::log::{Line, Lines, Stream};

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
        let answer = client.ask(&request);
        let Response::Log { path, running } = answer.map_err(|error| named(error, "container", &self.container))?
        else {
            return Err(Failure::unexpected());
        };
        let problem = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
        let mut lines = Lines::open(&path).map_err(problem)?;
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
        if self.follow && running {
            let growth = Growth::of(&path, client.clone(), self.container.clone()).map_err(problem)?;
            let mut goes_on = true;
            loop {
                // a log that is full is another file's from now on
                let is_watched = growth.watch();
                while let Some(entry) = lines.next_line().map_err(|error| unreadable(&error))? {
                    self.show(&entry);
                }
                if !goes_on {
                    break;
                }
                // what was written before the end is read after it
                goes_on = growth.wait(is_watched).map_err(problem)?;
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

/// Tells when there is more in a container's log.
struct Growth {
    log: PathBuf,
    writes: Inotify,
    /// Ends with the container.
    life: OwnedFd,
}

impl Growth {
    /// In milliseconds, where a log is between two files.
    const SOON: u8 = 50;

    fn of(log: &Path, client: Client, container: String) -> io::Result<Self> {
        let writes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
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
            log: log.to_owned(),
            writes,
            life: life.into(),
        })
    }

    /// Watches the file that is the log now; false if there is none.
    fn watch(&self) -> bool {
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF;
        self.writes.add_watch(&self.log, events).is_ok()
    }

    /// Waits for more; false once the container has ended.
    fn wait(&self, is_watched: bool) -> io::Result<bool> {
        let mut watched = [
            PollFd::new(self.writes.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.life.as_fd(), PollFlags::POLLIN),
        ];
        let limit = if is_watched {
            PollTimeout::NONE
        } else {
            Self::SOON.into()
        };
        match poll(&mut watched, limit) {
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

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(format!("cannot read the log: {error}"))
}
