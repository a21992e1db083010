//! A container in a folder of its own, and what tests ask of it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use netswitch::shim::{
    connection::Connection,
    log::{self, Stream},
    protocol::{Exec, FromShim, Limits, NetworkNamespace, Ready, Spec, ToShim},
    spawn,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a task to its end.
pub fn block_on<T>(task: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().build().unwrap().block_on(task)
}

/// One container and its folder; both go when it is dropped.
pub struct World {
    pub folder: PathBuf,
    pub spec: Spec,
    ready: Option<Ready>,
}

impl World {
    pub fn new(command: &[&str]) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "{:08x}{:04x}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(format!("netswitch-shim-{id}"));
        let run_dir = folder.join("run");
        fs::create_dir_all(&run_dir).unwrap();
        fs::write(run_dir.join("hosts"), "127.0.0.1\tlocalhost\n172.17.0.2\tweb\n").unwrap();
        fs::write(run_dir.join("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
        fs::write(run_dir.join("hostname"), "web\n").unwrap();
        let process = Exec {
            command: strings(command),
            ..Exec::default()
        };
        let spec = Spec {
            id,
            hostname: "web".to_owned(),
            process,
            namespace: NetworkNamespace::New,
            binds: Vec::new(),
            log: folder.join("log.json"),
            run_dir,
            hidden: Vec::new(),
            limits: Limits::default(),
            group: None,
        };
        World {
            folder,
            spec,
            ready: None,
        }
    }

    pub fn shell(script: &str) -> World {
        World::new(&["sh", "-c", script])
    }

    /// The container finds the programs that the test finds, and no others.
    pub fn spawn(&mut self) -> Connection {
        if let Ok(path) = std::env::var("PATH") {
            self.spec.process.environment.push(format!("PATH={path}"));
        }
        let executable = Path::new(env!("CARGO_BIN_EXE_netswitch"));
        let (ready, connection) = spawn::spawn(executable, &self.spec).unwrap();
        self.ready = Some(ready);
        connection
    }

    pub fn ready(&self) -> &Ready {
        self.ready.as_ref().unwrap()
    }

    pub fn start(&mut self) -> Connection {
        let connection = self.spawn();
        assert_eq!(spawn::start(&connection, false).unwrap(), self.ready().pid);
        connection
    }

    pub fn wait(&self) -> i32 {
        block_on(spawn::wait_exit(&self.spec.run_dir)).unwrap()
    }

    /// Runs to the end: the exit code and what was written to standard output.
    pub fn run(&mut self) -> (i32, String) {
        self.start();
        let exit_code = self.wait();
        (exit_code, self.output())
    }

    pub fn output(&self) -> String {
        let lines = log::read(&self.spec.log, None).unwrap().map(Result::unwrap);
        lines
            .filter(|line| line.stream == Stream::Stdout)
            .map(|line| line.log)
            .collect()
    }

    /// Another process; its exit code and output.
    pub fn exec(&self, exec: &Exec, input: &[u8]) -> (Result<i32, (i32, String)>, String) {
        let connection = spawn::connect(&self.spec.run_dir).unwrap();
        let (pipes, mut to, mut from) = pipes();
        connection.send(&ToShim::Exec(exec.clone()), &raw(&pipes)).unwrap();
        drop(pipes);
        to.write_all(input).unwrap();
        drop(to);
        let mut output = String::new();
        from.read_to_string(&mut output).unwrap();
        (ended(&connection), output)
    }

    pub fn exec_shell(&self, script: &str) -> String {
        let exec = Exec {
            command: strings(&["sh", "-c", script]),
            ..Exec::default()
        };
        let (ended, output) = self.exec(&exec, b"");
        assert_eq!(ended, Ok(0), "{script}: {output}");
        output
    }

    pub fn cgroup(&self) -> PathBuf {
        let mixed = Path::new("/sys/fs/cgroup/unified");
        let root = if mixed.exists() {
            mixed
        } else {
            Path::new("/sys/fs/cgroup")
        };
        root.join(format!("netswitch.slice/{}.scope", self.spec.id))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.ready.is_some() {
            spawn::kill(&self.spec.run_dir);
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether there is such a process that is no zombie.
pub fn runs(pid: i32) -> bool {
    spawn::start_time(pid).is_some_and(|started| spawn::is_alive(pid, started))
}

pub fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

pub fn ended(connection: &Connection) -> Result<i32, (i32, String)> {
    loop {
        match connection.receive().unwrap().expect("an answer").0 {
            FromShim::Started { .. } => {}
            FromShim::Exited { exit_code } => return Ok(exit_code),
            FromShim::Failed { exit_code, message } => return Err((exit_code, message)),
        }
    }
}

/// Standard streams for a process (output and errors are one), and our ends of them.
pub fn pipes() -> ([OwnedFd; 3], File, File) {
    let (input, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (from, output) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    ([input, output.try_clone().unwrap(), output], to.into(), from.into())
}

pub fn raw(pipes: &[OwnedFd; 3]) -> [RawFd; 3] {
    pipes.each_ref().map(AsRawFd::as_raw_fd)
}

pub fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

pub fn read_until(from: &mut File, text: &str) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&all).contains(text) {
        from.read_exact(&mut byte)
            .unwrap_or_else(|_| panic!("{text:?} in {:?}", String::from_utf8_lossy(&all)));
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}
