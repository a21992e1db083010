//! Running other programs: to their end with what they wrote, or in the background.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::interrupted;

pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs to the end. Memory files stand for the standard streams: unlike a pipe, one that a daemon
/// inherits does not keep us waiting.
pub fn output(command: &mut Command, input: &str) -> Result<Output> {
    let (mut stdout, mut stderr) = (memory_file()?, memory_file()?);
    command
        .stdin(self::input(input)?)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let mut child = spawn(command)?;
    let status = wait(&mut child, None)?.context("no exit status")?;
    Ok(Output {
        status,
        stdout: contents(&mut stdout)?,
        stderr: contents(&mut stderr)?,
    })
}

/// A file that is read as `text`, to be a command's standard input.
pub fn input(text: &str) -> Result<File> {
    let mut file = memory_file()?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.rewind())
        .context("write a command's input")?;
    Ok(file)
}

/// Runs to the end; failing is an error that quotes what the program said.
pub fn check(command: &mut Command) -> Result<String> {
    let output = output(command, "")?;
    if !output.status.success() {
        bail!(
            "{}: {}\n{}{}",
            line(command),
            output.status,
            output.stdout,
            output.stderr
        );
    }
    Ok(output.stdout)
}

/// Pins what `command` starts to one CPU.
pub fn pin(command: &mut Command, cpu: usize) -> Result<&mut Command> {
    let set = cpu_set(cpu)?;
    // SAFETY: between fork and exec only one system call is made, on data owned by the closure.
    Ok(unsafe { command.pre_exec(move || sched_setaffinity(Pid::from_raw(0), &set).map_err(Into::into)) })
}

pub fn pin_this_thread(cpu: usize) -> Result<()> {
    sched_setaffinity(Pid::from_raw(0), &cpu_set(cpu)?).with_context(|| format!("pin a thread to cpu {cpu}"))
}

/// User and system time of all threads of a program, from proc(5).
pub fn cpu_nanoseconds(id: u32) -> Result<f64> {
    let file = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&file).with_context(|| file.clone())?;
    let ticks = ticks(&text).with_context(|| format!("no times in {file}"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no CLK_TCK")?;
    Ok(f64::from(ticks) * 1e9 / f64::from(u32::try_from(per_second)?))
}

/// `utime` and `stime`, the 14th and 15th field; the second one, the name in brackets, may have spaces.
fn ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(next()? + next()?)
}

/// Asks again until it says yes; the error names what was awaited.
pub fn poll(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !ready()? {
        interrupted()?;
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A program in the background: asked to end on drop, made to after three seconds.
pub struct Background {
    child: Child,
}

impl Background {
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null());
        Ok(Self { child: spawn(command)? })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look after a program in the background")
    }

    /// TERM, then KILL after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        signal(&self.child, Signal::SIGTERM);
        if !matches!(wait(&mut self.child, Some(patience)), Ok(Some(_))) {
            signal(&self.child, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(3));
    }
}

/// The command as a line to read in an error.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(std::ffi::OsStr::to_string_lossy));
    words.join(" ")
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))
}

/// `None` when `patience` runs out. A signal to us ends the program and is an error.
fn wait(child: &mut Child, patience: Option<Duration>) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().context("wait for a program")? {
            return Ok(Some(status));
        }
        if let Err(error) = interrupted() {
            signal(child, Signal::SIGKILL);
            let _ = child.wait();
            return Err(error);
        }
        if patience.is_some_and(|patience| start.elapsed() > patience) {
            return Ok(None);
        }
        thread::sleep(pause);
        // seldom enough not to disturb what is measured on the same CPUs
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn signal(child: &Child, signal: Signal) {
    // a program that has just ended is not an error
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), signal);
}

pub fn memory_file() -> Result<File> {
    Ok(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)
        .context("make a memory file")?
        .into())
}

pub fn contents(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .context("read a command's output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cpu_set(cpu: usize) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu).with_context(|| format!("no cpu {cpu}"))?;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_one_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 144 0 1 0 30 12 0 0 20 0 1 0 5";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S"), None);
    }
}
