//! A container's log in Docker's json-file form: `{"log":"…\n","stream":"stdout","time":"…"}`, a line each. When a file
//! is full, it becomes the older one in place of the one before, and a new one begins.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use super::{Doing as _, Error, connection::Connection, open_to_group};

/// Longer lines are split, as Docker splits them.
const LONGEST: usize = 16 * 1024;
/// Bytes of a file; there are two at most.
const FULL: u64 = 16 * 1024 * 1024;
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
    path: PathBuf,
    group: Option<u32>,
    file: File,
    /// Bytes in the file.
    size: u64,
    full: u64,
    unfinished: [Vec<u8>; 2],
}

impl Writer {
    /// Root alone may read it, and who is of the group.
    pub(super) fn open(path: &Path, group: Option<u32>) -> Result<Writer, Error> {
        let doing = || format!("open log {}", path.display());
        let file = open(path, group).doing(doing())?;
        let size = file.metadata().doing(doing())?.len();
        Ok(Writer {
            path: path.to_owned(),
            group,
            file,
            size,
            full: FULL,
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
                _ = self.append(&text);
            }
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let length = text.len() as u64;
        if self.size > 0 && self.size + length > self.full {
            fs::rename(&self.path, older(&self.path))?;
            self.file = open(&self.path, self.group)?;
            self.size = 0;
        }
        self.file.write_all(text)?;
        self.size += length;
        Ok(())
    }
}

fn open(path: &Path, group: Option<u32>) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    if let Some(group) = group {
        open_to_group(path, group, 0o640)?;
    }
    Ok(file)
}

/// `log.json.1`
fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Whole lines of a log that may still grow, from its beginning.
pub struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    /// Begun after `file`, which nobody writes to any more.
    newer: Option<File>,
    unfinished: String,
}

impl Lines {
    pub fn open(path: &Path) -> io::Result<Lines> {
        let newest = File::open(path)?;
        // what has become the older one in between is found at its end
        let older = File::open(older(path)).ok();
        let (file, newer) = match older {
            Some(older) if !is_same(&older, &newest)? => (older, Some(newest)),
            Some(_) | None => (newest, None),
        };
        Ok(Lines {
            path: path.to_owned(),
            file: BufReader::new(file),
            newer,
            unfinished: String::new(),
        })
    }

    /// `None`: there is no more yet.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.file.read_line(&mut self.unfinished)?;
            if self.unfinished.ends_with('\n') {
                let line = serde_json::from_str(&self.unfinished)?;
                self.unfinished.clear();
                return Ok(Some(line));
            }
            if let Some(newer) = self.newer.take() {
                self.file = BufReader::new(newer);
                self.unfinished.clear();
            } else {
                self.newer = self.find_newer()?;
                // once more: lines may have come before the new file
                if self.newer.is_none() {
                    return Ok(None);
                }
            }
        }
    }

    fn find_newer(&self) -> io::Result<Option<File>> {
        // there is none of a container that was removed
        let Ok(newest) = File::open(&self.path) else {
            return Ok(None);
        };
        Ok((!is_same(&newest, self.file.get_ref())?).then_some(newest))
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Lines of a log from its beginning.
pub struct Reader {
    lines: Lines,
    /// Asked to say when the container ends: the shim that writes the log.
    writer: Option<Connection>,
}

/// `follow`: a connection to the container's shim, nothing said over it; the lines then go on until the
/// container ends.
pub fn read(path: &Path, follow: Option<Connection>) -> Result<Reader, Error> {
    Ok(Reader {
        lines: Lines::open(path).doing(format!("open log {}", path.display()))?,
        writer: follow,
    })
}

impl Reader {
    fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            // asked before the file is read: what an ended container wrote is then already there
            let ended = self.writer.as_ref().is_none_or(Connection::is_closed);
            let line = self.lines.next_line()?;
            if line.is_some() || ended {
                return Ok(line);
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
        let mut writer = Writer::open(&path, None).unwrap();
        writer.write(Stream::Stdout, b"one\ntw");
        writer.write(Stream::Stderr, b"oops\n");
        writer.write(Stream::Stdout, b"o\n");
        writer.write(Stream::Stdout, &vec![b'x'; LONGEST + 1]);
        writer.finish();
        let lines: Vec<Line> = read(&path, None).unwrap().map(Result::unwrap).collect();
        fs::remove_file(&path).unwrap();
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

    #[test]
    fn a_full_log_becomes_the_older_one() {
        let path = std::env::temp_dir().join(format!("netswitch-full-{}", std::process::id()));
        let mut writer = Writer::open(&path, None).unwrap();
        writer.full = 200;
        let mut lines = Lines::open(&path).unwrap();
        let texts = |lines: &mut Lines| {
            let next = std::iter::from_fn(|| lines.next_line().unwrap());
            next.map(|line| line.log).collect::<String>()
        };
        let mut followed = String::new();
        for number in 0..10 {
            writer.write(Stream::Stdout, format!("{number}\n").as_bytes());
            if number % 2 == 1 {
                followed += &texts(&mut lines);
            }
        }
        let kept = texts(&mut Lines::open(&path).unwrap());
        let sizes = [older(&path), path].map(|path| {
            let size = fs::metadata(&path).unwrap().len();
            fs::remove_file(path).unwrap();
            size
        });
        assert_eq!(followed, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        assert_eq!(kept, "6\n7\n8\n9\n");
        assert!(sizes.iter().all(|size| (1..=200).contains(size)), "{sizes:?}");
    }
}
