//! The agent of a world: start, stop, kill, and the end of everything.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use netswitch::api::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Output, World, eventually};

/// How long an agent may take to stop by itself.
const STOP: Duration = Duration::from_secs(20);

/// The program under test: named by `cargo xtask test`, else beside this test.
pub(super) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("NETSWITCH_BINARY") {
        return path.into();
    }
    let test = env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = profile.join("netswitch");
    assert!(path.exists(), "{} is missing: cargo build -p netswitch", path.display());
    path
}

impl World {
    /// `--state-dir`, `--run-dir` and `--bpffs` of this world.
    pub fn directories(&self) -> Vec<String> {
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        vec![
            option("state-dir", &self.directory.join("state")),
            option("run-dir", &self.directory.join("run")),
            option("bpffs", &self.bpffs),
        ]
    }

    /// Names of the containers that have a folder in the run directory.
    pub fn folders(&self) -> Vec<String> {
        let folders = fs::read_dir(self.directory.join("run/containers")).expect("the containers' folders");
        let ids = folders.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let name = |id: String| {
            self.inspect(&id)["Name"]
                .as_str()
                .map(|name| name.trim_start_matches('/').to_owned())
        };
        ids.filter_map(name).collect()
    }

    /// Starts the agent and waits until it serves.
    pub fn start_agent(&self, arguments: &[&str]) {
        self.start_agent_with(arguments, &[]);
    }

    /// The same with variables of its environment.
    pub fn start_agent_with(&self, arguments: &[&str], environment: &[(&str, &str)]) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_path())
            .expect("the agent's log");
        let mut command = self.host.command(binary().to_str().expect("a path in UTF-8"));
        command
            .arg("agent")
            .args(self.directories())
            .args(&self.arguments)
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        self.was_started.set(true);
        *self.agent.borrow_mut() = Some(command.spawn().expect("the agent"));
        eventually("the agent serves", || {
            let status = self
                .agent
                .borrow_mut()
                .as_mut()
                .and_then(|agent| agent.try_wait().ok()?);
            if let Some(status) = status {
                panic!("the agent ended with {status}:\n{}", self.log());
            }
            self.client()
                .ask(&Request::Version)
                .map(drop)
                .map_err(|error| error.to_string())
        });
    }

    pub fn agent_pid(&self) -> Pid {
        let agent = self.agent.borrow();
        let pid = agent.as_ref().expect("a running agent").id();
        Pid::from_raw(i32::try_from(pid).expect("a pid"))
    }

    /// SIGKILL: nothing of the agent's own gets to run.
    pub fn kill_agent(&self) {
        let status = self.end_agent(Signal::SIGKILL);
        assert_eq!(status.and_then(|status| status.signal()), Some(Signal::SIGKILL as i32));
    }

    /// SIGTERM, as systemd does; the data plane stays.
    pub fn stop_agent(&self) {
        let status = self.end_agent(Signal::SIGTERM);
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", self.log());
    }

    pub fn restart_agent(&self) {
        self.stop_agent();
        self.start_agent(&[]);
    }

    /// `agent --purge` and what it said.
    pub fn purge(&self) -> Output {
        let directories = self.directories();
        let directories = directories.iter().map(String::as_str);
        let arguments: Vec<_> = ["agent", "--purge"].into_iter().chain(directories).collect();
        self.cli(&arguments)
    }

    /// The agent's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("agent.log")
    }

    fn end_agent(&self, signal: Signal) -> Option<ExitStatus> {
        let mut agent = self.agent.borrow_mut().take()?;
        end(&mut agent, signal).ok()
    }

    /// Takes everything down; what could not be taken down.
    fn end(&self) -> Vec<String> {
        let mut left = Vec::new();
        for child in self.children.borrow_mut().iter_mut() {
            let _ = end(child, Signal::SIGKILL);
        }
        self.end_agent(Signal::SIGTERM);
        if self.was_started.get() {
            let purged = self.purge();
            if purged.status != 0 {
                left.push(format!("agent --purge: {purged:?}"));
            }
        }
        for pid in self.processes() {
            left.push(format!("process {pid}"));
            let _ = kill(pid, Signal::SIGKILL);
        }
        if self.bpffs.exists() {
            left.push(format!("{}", self.bpffs.display()));
            let _ = fs::remove_dir_all(&self.bpffs);
        }
        let _ = fs::remove_dir_all(&self.directory);
        left
    }

    /// Processes whose command line names this world's directory.
    fn processes(&self) -> Vec<Pid> {
        let mark = format!("{}/", self.directory.display());
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&mark)
        })
        .map(Pid::from_raw)
        .collect()
    }
}

/// Ends a child with a signal, and by force where that takes too long.
pub(super) fn end(child: &mut Child, signal: Signal) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    // it may have ended by itself
    let _ = kill(pid, signal);
    let start = Instant::now();
    while start.elapsed() < STOP {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()
}

impl Drop for World {
    fn drop(&mut self) {
        let log = self.log();
        let left = self.end();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what its agent said")]
            {
                eprintln!("the agent's log:\n{log}\nleft behind: {left:?}");
            }
        } else {
            assert!(left.is_empty(), "the world ended and left {left:?}\n{log}");
        }
    }
}
