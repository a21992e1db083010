//! How a command ended and what it said.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// 128 + n for signal n.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end, with nothing to read.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self::from(output)
    }

    /// The same with a text to read.
    pub fn with_input(command: &mut Command, text: &str) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // it may have ended without reading
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        Self::from(child.wait_with_output().expect("its output"))
    }

    /// What it printed, without the last newline, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        let status = output.status;
        Self {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
