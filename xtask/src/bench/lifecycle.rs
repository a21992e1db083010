//! What the agent's own work takes: starts and removals at once, attaching beside many endpoints, a restart, its memory,
//! and answers while it is busy.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::publication::resident;
use super::series::quantile;
use crate::world::agent::Agent;
use crate::world::process;

/// Commands at once.
const AT_ONCE: usize = 100;
/// Attached and detached again for one figure.
const ATTACHED: usize = 20;
/// The network of the crowd.
const NETWORK: &str = "crowd";
/// Between two requests of one who looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Endpoints beside those that are measured, each in a namespace of its own.
pub struct Crowd {
    _occupied: Vec<File>,
    /// For [`attach`].
    free: Vec<File>,
}

impl Crowd {
    pub fn attach(agent: &Agent, count: usize) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("how many files may be open")?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("open more files")?;
        process::check(
            agent
                .netswitch()
                .args(["network", "create", "--subnet", "10.80.0.0/16", NETWORK]),
        )?;
        let occupied = namespaces(count)?;
        for (number, namespace) in occupied.iter().enumerate() {
            ask(agent, &request(&format!("crowd{number}"), namespace))?;
        }
        Ok(Self {
            _occupied: occupied,
            free: namespaces(ATTACHED)?,
        })
    }
}

/// Median of the time that one request for an attachment takes, in milliseconds.
pub fn attach(agent: &Agent, crowd: &Crowd) -> Result<f64> {
    let mut taken = Vec::new();
    for (number, namespace) in crowd.free.iter().enumerate() {
        let asked = request(&format!("one{number}"), namespace);
        let start = Instant::now();
        ask(agent, &asked)?;
        taken.push(milliseconds(start));
    }
    for number in 0..crowd.free.len() {
        ask(agent, &json!({"detach": {"container": format!("one{number}")}}))?;
    }
    taken.sort_unstable_by(f64::total_cmp);
    Ok(quantile(&taken, 0.5))
}

/// From the first of a hundred `netswitch run -d` at once to the end of the last, in milliseconds.
pub fn run_at_once(agent: &Agent) -> Result<f64> {
    let taken = run_all(agent);
    let removed = remove_all(agent);
    let taken = taken?;
    removed.map(|_| taken)
}

/// The same of `netswitch rm -f` of containers that run.
pub fn remove_at_once(agent: &Agent) -> Result<f64> {
    run_all(agent)?;
    remove_all(agent)
}

/// What 99 % of requests for the list of networks take at most while a hundred containers are started and removed.
pub fn busy(agent: &Agent) -> Result<f64> {
    let is_over = AtomicBool::new(false);
    let mut delays = thread::scope(|scope| {
        let looks = scope.spawn(|| -> Result<Vec<f64>> {
            let mut delays = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                ask(agent, &json!({"network-list": {"filters": {}}}))?;
                delays.push(milliseconds(start));
                thread::sleep(PAUSE);
            }
            Ok(delays)
        });
        let run = run_at_once(agent);
        is_over.store(true, Ordering::Relaxed);
        let delays = looks.join().map_err(|_| anyhow!("the thread that looks panicked"))?;
        run.and(delays)
    })?;
    delays.sort_unstable_by(f64::total_cmp);
    Ok(quantile(&delays, 0.99))
}

/// From the end of the agent to the first answer of the next one, in milliseconds.
pub fn restart(agent: &mut Agent) -> Result<f64> {
    agent.stop();
    let start = Instant::now();
    agent.run()?;
    ask(agent, &json!("version"))?;
    Ok(milliseconds(start))
}

/// Of an agent that has just started, in MiB.
pub fn memory(agent: &mut Agent) -> Result<f64> {
    agent.restart()?;
    ask(agent, &json!({"network-list": {"filters": {}}}))?;
    Ok(resident(agent)? / 1024.0)
}

fn run_all(agent: &Agent) -> Result<f64> {
    all_at_once(agent, |name| {
        ["run", "-d", "--name", name, "--", "sleep", "1000"]
            .map(str::to_owned)
            .to_vec()
    })
}

fn remove_all(agent: &Agent) -> Result<f64> {
    all_at_once(agent, |name| ["rm", "-f", name].map(str::to_owned).to_vec())
}

/// Time of a hundred commands, each about a container of its own.
fn all_at_once(agent: &Agent, arguments: impl Fn(&str) -> Vec<String>) -> Result<f64> {
    let start = Instant::now();
    let begin = |number: usize| {
        let mut command = agent.netswitch();
        command.args(arguments(&format!("once{number}"))).stdin(Stdio::null());
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start netswitch")
    };
    let children: Vec<Child> = (0..AT_ONCE).map(begin).collect::<Result<_>>()?;
    for child in children {
        let output = child.wait_with_output().context("wait for netswitch")?;
        ensure!(
            output.status.success(),
            "netswitch: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(milliseconds(start))
}

fn request(name: &str, namespace: &File) -> Value {
    let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    json!({"attach": {
        "name": name, "namespace": {"path": path}, "network": NETWORK, "settings": {}, "labels": {},
    }})
}

/// One request by a connection of its own, as the command line sends it.
fn ask(agent: &Agent, request: &Value) -> Result<()> {
    let body = request.to_string();
    let mut stream = UnixStream::connect(agent.socket()).context("the agent's socket")?;
    write!(
        stream,
        "POST /netswitch/v1/request HTTP/1.1\r\nHost: netswitch\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{request}: {answer}");
    Ok(())
}

/// Bare namespaces, of which nobody sends.
fn namespaces(count: usize) -> Result<Vec<File>> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        File::open("/proc/thread-self/ns/net").context("open the new network namespace")
    };
    let maker = thread::spawn(move || (0..count).map(|_| make()).collect());
    maker
        .join()
        .map_err(|_| anyhow!("the thread that makes namespaces panicked"))?
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
