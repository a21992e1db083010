//! A world of its own for a test: a `host` namespace, an agent in it, directories, and everything
//! that goes when the test ends, panics included.

mod agent;
mod capture;
mod dial;
mod frozen;
mod hung;
mod kernel;
mod lan;
mod listener;
mod namespace;
mod objects;
mod offloaded;
mod output;
mod ping;
mod raw;
mod service;
mod snapshot;
mod successor;
mod traffic;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{self, Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use netswitch::api::{EndpointStats, Request, Response, Stats};
use netswitch::client::Client;
use netswitch::datapath;
use serde_json::Value;

pub use self::capture::{Capture, Captured, send, send_all, send_offloaded, send_repeatedly, take_offloads, turn_on};
pub use self::dial::{Answer, Dial, any, ask_stream};
pub use self::frozen::Frozen;
pub use self::hung::Hung;
pub use self::kernel::{Interface, interfaces};
pub use self::lan::{FAR, HOST, LAN, SECOND_HOST, SECOND_LAN, addresses};
pub use self::listener::Listener;
pub use self::namespace::Namespace;
pub use self::objects::{Object, objects};
pub use self::offloaded::{Offloaded, Unfinished};
pub use self::output::Output;
pub use self::ping::{Flood, echoes};
pub use self::raw::Raw;
pub use self::service::{Service, Transport};
pub use self::snapshot::Snapshot;
pub use self::successor::Successor;
pub use self::traffic::{Stream, datagrams, exchange, transfer};
pub use self::tunnel::{Carrier, Frames, TUNNEL_HOST, TUNNEL_PEER, Tunnel};

/// Two cores run several worlds at once: only what hangs takes this long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until something holds; panics with its name and what was seen last.
#[track_caller]
pub fn eventually<T>(what: &str, check: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, check).unwrap_or_else(|seen| panic!("not within {PATIENCE:?}: {what}\nseen last: {seen}"))
}

/// Polls until something holds, or what was seen last when the time is over.
pub fn within<T>(patience: Duration, mut check: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        match check() {
            Err(_) if Instant::now() < end => thread::sleep(pause),
            result => return result,
        }
        pause = (2 * pause).min(Duration::from_millis(20));
    }
}

/// Counts the worlds of this process: their directories and pins need names.
static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct World {
    pub host: Namespace,
    /// At the other end of the host's `up0`, where a test asked for it.
    pub lan: Option<Namespace>,
    /// `state`, `run`, `agent.log`, and what the test puts there.
    pub directory: PathBuf,
    pub bpffs: PathBuf,
    arguments: Vec<String>,
    agent: RefCell<Option<Child>>,
    children: RefCell<Vec<Child>>,
    was_started: Cell<bool>,
}

impl World {
    /// A host with nothing but `lo`, and an agent that serves.
    pub fn new() -> Self {
        Self::with_arguments(&[])
    }

    /// The same with more arguments for the agent.
    pub fn with_arguments(arguments: &[&str]) -> Self {
        let world = Self::without_agent();
        world.start_agent(arguments);
        world
    }

    pub fn without_agent() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("netswitch-test-{}-{number}", process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).expect("a directory for the world");
        Self {
            host: Namespace::new(),
            lan: None,
            directory,
            bpffs: PathBuf::from("/sys/fs/bpf").join(name),
            arguments: Vec::new(),
            agent: RefCell::default(),
            children: RefCell::default(),
            was_started: Cell::new(false),
        }
    }

    /// The program under test, with this world's agent, in the host's namespace. A container that it runs finds the
    /// programs that the test finds, and no others.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let path = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
        let run = ["run", "--env", &path];
        let arguments = match arguments {
            ["run", arguments @ ..] if !arguments.is_empty() => &[&run, arguments].concat(),
            _ => arguments,
        };
        let mut command = self.host.command("timeout");
        command
            .args(["--foreground", "--kill-after=5", "120"])
            .arg(agent::binary())
            .args(arguments)
            .env("NETSWITCH_SOCKET", self.socket());
        command
    }

    pub fn cli(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Runs a command that must succeed; what it printed, without the last newline.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.cli(arguments).ok()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("run/api.sock")
    }

    pub fn client(&self) -> Client {
        Client::new(self.socket())
    }

    pub fn ask(&self, request: &Request) -> Response {
        self.client()
            .ask(request)
            .unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// Starts a container that waits for SIGTERM, with options such as `--net`; its id.
    pub fn run(&self, name: &str, options: &[&str]) -> String {
        let wait = "trap exit TERM; while :; do sleep 1000 & wait; done";
        let command = [&["run", "-d", "--name", name], options, &["--", "sh", "-c", wait]].concat();
        self.ok(&command)
    }

    /// `netswitch exec NAME COMMAND…`.
    pub fn exec(&self, name: &str, command: &[&str]) -> Output {
        self.cli(&[&["exec", name], command].concat())
    }

    pub fn inspect(&self, name: &str) -> Value {
        self.json(&["inspect", "--type", "container", name])[0].take()
    }

    pub fn network(&self, name: &str) -> Value {
        self.json(&["network", "inspect", name])[0].take()
    }

    /// What a command printed, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// The container's namespace, by its process.
    pub fn inside(&self, name: &str) -> Namespace {
        self.inside_process(self.inspect(name)["State"]["Pid"].as_u64().expect("a pid"))
    }

    /// The same without an agent to ask.
    pub fn inside_process(&self, pid: u64) -> Namespace {
        Namespace::open(&format!("/proc/{pid}/ns/net"))
    }

    /// The IPv4 address of a container on a network.
    pub fn address(&self, name: &str, network: &str) -> IpAddr {
        self.field(name, network, "IPAddress")
            .parse()
            .unwrap_or_else(|error| panic!("{name} on {network}: {error}"))
    }

    pub fn mac(&self, name: &str, network: &str) -> netswitch_common::address::Mac {
        let text = self.field(name, network, "MacAddress");
        netswitch::model::endpoint::parse_mac(&text).expect("a MAC")
    }

    /// A value of `NetworkSettings.Networks.<network>`.
    pub fn field(&self, name: &str, network: &str, field: &str) -> String {
        let value = self.inspect(name)["NetworkSettings"]["Networks"][network][field].take();
        value
            .as_str()
            .unwrap_or_else(|| panic!("{name} on {network}: {field} is {value}"))
            .to_owned()
    }

    /// The host-side device of a container's interface.
    pub fn host_device(&self, name: &str, interface: &str) -> Interface {
        let inner = interfaces(&self.inside(name))
            .into_iter()
            .find(|found| found.name == interface);
        let inner = inner.unwrap_or_else(|| panic!("{name} has no {interface}"));
        let outer = interfaces(&self.host).into_iter();
        let outer = outer.filter(|outer| outer.name.starts_with("veth"));
        outer
            .into_iter()
            .find(|outer| Some(outer.index) == inner.peer_index && outer.peer_index == Some(inner.index))
            .unwrap_or_else(|| panic!("{name}: the host has no peer of {interface}"))
    }

    /// Drops of a container on a network for a reason.
    pub fn drops(&self, name: &str, network: &str, reason: &str) -> u64 {
        self.counted(name, network).drops.get(reason).copied().unwrap_or(0)
    }

    /// What is counted of a container on a network.
    pub fn counted(&self, name: &str, network: &str) -> EndpointStats {
        let mut endpoints = self.stats().endpoints.into_iter();
        let endpoint = endpoints.find(|endpoint| endpoint.container == name && endpoint.network == network);
        endpoint.unwrap_or_else(|| panic!("nothing is counted of {name} on {network}"))
    }

    /// Packets by what became of them, all endpoints together.
    pub fn path(&self, verdict: &str) -> u64 {
        self.stats().paths.get(verdict).copied().unwrap_or(0)
    }

    /// The counters as they are now: without a time those of the last second would do.
    pub fn stats(&self) -> Stats {
        let since = Some(datapath::now());
        match self.ask(&Request::Stats { since }) {
            Response::Stats(stats) => stats,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that a refused command must leave as it was, once it has come to rest.
    pub fn snapshot(&self) -> Snapshot {
        let mut before = Snapshot::take(self);
        eventually("the world comes to rest", || {
            let now = Snapshot::take(self);
            let difference = now.difference(&before);
            before = now;
            difference.map_or_else(|| Ok(()), Err)
        });
        before
    }

    /// Runs a command that must be refused with this text and status and change nothing.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], status: i32, text: &str) {
        let before = self.snapshot();
        let output = self.cli(arguments);
        assert_eq!(output.stderr, format!("{text}\n"), "{arguments:?}: {output:?}");
        assert_eq!(output.status, status, "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, "", "{arguments:?}");
        if let Some(difference) = self.snapshot().difference(&before) {
            panic!("{arguments:?} was refused and left a trace:\n{difference}");
        }
    }

    /// A process that ends with the world at the latest.
    pub fn keep(&self, child: Child) {
        self.children.borrow_mut().push(child);
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Replaces ids (12 digits or more) by `<id>`, for texts that are compared whole.
pub fn without_ids(text: &str) -> String {
    let mut result = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        let is_hex = |character: char| matches!(character, '0'..='9' | 'a'..='f');
        let is_id = matches!(word.len(), 12 | 64) && word.chars().all(is_hex);
        result.push_str(if is_id { "<id>" } else { &word });
        word.clear();
        if character != '\0' {
            result.push(character);
        }
    }
    result
}
