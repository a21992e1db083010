//! A container's log in Docker's json-file form: `{"log":"…\n","stream":"stdout","time":"…"}`, a line each.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use super::{Doing as _, Error, connection::Connection};

/// Longer lines are split, as Docker splits them.
const LONGEST: usize = 16 * 1024;
/// How often a follower looks for more, in milliseconds.
const INTERVAL: u8 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// With its newline; without, the line goes on in the next one.
    pub log: String,
    pub stream: Stream,
    /// RFC 3339 with nanoseconds.
    pub time: String,
}

/// Cuts a container's output into lines.
pub(super) struct Writer {
    file: File,
    unfinished: [Vec<u8>; 2],
}

impl Writer {
    pub(super) fn open(path: &Path) -> Result<Writer, Error> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
        Ok(Writer {
            file: file.doing(format!("open log {}", path.display()))?,
            unfinished: Default::default(),
        })
    }

    /// A full disk loses lines, never the container.
    pub(super) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let unfinished = &mut self.unfinished[stream as usize];
            let room = &bytes[..bytes.len().min(LONGEST - unfinished.len())];
            let newline = room.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(room.len(), |position| position + 1);
            unfinished.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            if newline.is_some() || unfinished.len() == LONGEST {
                self.finish_line(stream);
            }
        }
    }

    /// Writes what has no newline yet.
    pub(super) fn finish(&mut self) {
        self.finish_line(Stream::Stdout);
        self.finish_line(Stream::Stderr);
    }

    fn finish_line(&mut self, stream: Stream) {
        let bytes = std::mem::take(&mut self.unfinished[stream as usize]);
        if !bytes.is_empty() {
            let log = String::from_utf8_lossy(&bytes).into_owned();
            if let Ok(mut text) = serde_json::to_vec(&Line {
                log,
                stream,
                time: timestamp(SystemTime::now()),
            }) {
                text.push(b'\n');
                _ = self.file.write_all(&text);
            }
        }
    }
}

/// Lines of a log from its beginning.
pub struct Reader {
    file: BufReader<File>,
    /// Asked to say when the container ends: the shim that writes the log.
    writer: Option<Connection>,
    unfinished: String,
}

/// `follow`: a connection to the container's shim, nothing said over it; the lines then go on until the
/// container ends.
pub fn read(path: &Path, follow: Option<Connection>) -> Result<Reader, Error> {
    let file = File::open(path).doing(format!("open log {}", path.display()))?;
    Ok(Reader {
        file: BufReader::new(file),
        writer: follow,
        unfinished: String::new(),
    })
}

impl Reader {
    fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            // asked before the file is read: what an ended container wrote is then already there
            let ended = self.writer.as_ref().is_none_or(Connection::is_closed);
            self.file.read_line(&mut self.unfinished)?;
            if self.unfinished.ends_with('\n') {
                let line = serde_json::from_str(&self.unfinished)?;
                self.unfinished.clear();
                return Ok(Some(line));
            }
            if ended {
                return Ok(None);
            }
            if let Some(writer) = &self.writer {
                _ = poll(
                    &mut [PollFd::new(writer.as_fd(), PollFlags::empty())],
                    PollTimeout::from(INTERVAL),
                );
            }
        }
    }
}

impl Iterator for Reader {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        self.next_line().transpose()
    }
}

/// RFC 3339 with nanoseconds, in UTC.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // days since 1 March 0000, counted in eras of 400 years (Hinnant, "chrono-compatible date algorithms")
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        since.subsec_nanos()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_utc() {
        let at = |seconds, nanos| timestamp(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(at(1_735_689_599, 999_999_999), "2024-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn output_is_cut_into_lines() {
        let path = std::env::temp_dir().join(format!("netswitch-log-{}", std::process::id()));
        let mut writer = Writer::open(&path).unwrap();
        writer.write(Stream::Stdout, b"one\ntw");
        writer.write(Stream::Stderr, b"oops\n");
        writer.write(Stream::Stdout, b"o\n");
        writer.write(Stream::Stdout, &vec![b'x'; LONGEST + 1]);
        writer.finish();
        let lines: Vec<Line> = read(&path, None).unwrap().map(Result::unwrap).collect();
        std::fs::remove_file(&path).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.stream, line.log.as_str())).collect();
        let long = "x".repeat(LONGEST);
        let (out, error) = (Stream::Stdout, Stream::Stderr);
        assert_eq!(
            told,
            [
                (out, "one\n"),
                (error, "oops\n"),
                (out, "two\n"),
                (out, &long),
                (out, "x")
            ]
        );
    }
}
