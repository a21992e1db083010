//! Runs a test binary and reads what it reports.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::num::NonZero;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::build::Binary;
use crate::{command, place};

/// A binary that takes longer hangs.
const LIMIT_SECONDS: &str = "2400";

/// Binaries whose tests wait for other programs most of the time.
const WAITING: [&str; 3] = ["cli", "network", "shim"];

/// How many tests of a binary run at a time.
fn threads(binary: &Binary) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    if WAITING.contains(&binary.name.as_str()) {
        5 * cores / 2
    } else {
        cores
    }
}

/// What ran, and how it ended.
#[derive(Default)]
pub(super) struct Report {
    /// Name, and whether it passed. Ignored tests are not among them: they prove nothing.
    pub(super) tests: Vec<(String, bool)>,
    /// A test whose result is on a later line, after what it printed.
    pending: Option<String>,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.tests.extend(other.tests);
    }

    /// Takes one line of a test binary's output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            let name = name.strip_suffix(" - should panic").unwrap_or(name).to_owned();
            match verdict(result) {
                Some(passed) => self.tests.push((name, passed)),
                None if result.starts_with("ignored") => {}
                None => self.pending = Some(name),
            }
        } else if let Some(passed) = verdict(line)
            && let Some(name) = self.pending.take()
        {
            self.tests.push((name, passed));
        }
    }

    /// Says how this part went; a test that never reported has failed.
    pub(super) fn finish(&mut self, title: &str, time: Duration) {
        self.tests.extend(self.pending.take().map(|name| (name, false)));
        let failed = self.tests.iter().filter(|(_, passed)| !passed).count();
        let passed = self.tests.len() - failed;
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "{title}: {verdict}, {passed} of {} ({:.1} s)",
            passed + failed,
            time.as_secs_f32()
        );
    }

    pub(super) fn prefix(&mut self, prefix: &str) {
        for (name, _) in &mut self.tests {
            name.insert_str(0, prefix);
        }
    }
}

fn verdict(text: &str) -> Option<bool> {
    match text.trim_end() {
        "ok" => Some(true),
        "FAILED" => Some(false),
        _ => None,
    }
}

/// Runs a test binary as root; shows what it said only when something failed.
pub(super) fn run(binary: &Binary, netswitch: &Path, filter: Option<&str>) -> Result<Report> {
    let start = Instant::now();
    let mut test = command::as_root("env");
    for (name, value) in super::environment(netswitch) {
        let mut variable = std::ffi::OsString::from(name);
        variable.push("=");
        variable.push(value);
        test.arg(variable);
    }
    test.args(["timeout", "--kill-after=10", LIMIT_SECONDS])
        .arg(&binary.path)
        .args(["--test-threads", &threads(binary).to_string()])
        .args(filter);
    let package = binary.package.file_name().unwrap_or_default().to_string_lossy();
    let title = format!("{package} {}", binary.name);
    let log = place::target().join(format!("test-{package}-{}.log", binary.name));
    let mut child = test
        .current_dir(&binary.package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).with_context(|| log.display().to_string())?)
        .spawn()
        .with_context(|| binary.path.display().to_string())?;
    let mut report = Report::default();
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().context("a pipe")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        report.read(&line);
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait()?;
    let is_consistent = status.success() == report.tests.iter().all(|(_, passed)| *passed);
    if !status.success() {
        println!("{said}standard error of the programs it ran: {}", log.display());
    }
    if !is_consistent {
        report.tests.push((format!("{title} ended with {status}"), false));
    }
    if !report.tests.is_empty() {
        report.finish(&title, start.elapsed());
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Vec<(String, bool)> {
        let mut report = Report::default();
        output.lines().for_each(|line| report.read(line));
        report.finish("test", Duration::ZERO);
        report.tests
    }

    fn test(name: &str, passed: bool) -> (String, bool) {
        (name.to_owned(), passed)
    }

    #[test]
    fn reads_results_and_leaves_out_ignored_tests() {
        let output = "running 3 tests\ntest a::s01_b ... ok\ntest c ... FAILED\ntest d ... ignored\n\
                      test result: FAILED. 1 passed; 1 failed";
        assert_eq!(read(output), [test("a::s01_b", true), test("c", false)]);
    }

    #[test]
    fn a_result_may_follow_what_the_test_printed() {
        assert_eq!(read("test a ... listening on eth0\nmore\nok\n"), [test("a", true)]);
    }

    #[test]
    fn a_test_without_a_result_has_failed() {
        assert_eq!(read("test a ... \n"), [test("a", false)]);
    }

    #[test]
    fn a_test_that_should_panic_keeps_its_name() {
        assert_eq!(read("test a - should panic ... ok"), [test("a", true)]);
    }
}
