//! The shim itself: starts the container's process, serves its socket, keeps its log, tells how it ended.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::{
        prctl::set_child_subreaper,
        signal::{SigHandler, Signal, signal},
    },
    unistd::{ForkResult, chdir, dup2_stderr, dup2_stdout, fork, pipe2, setsid},
};

use super::{
    Doing as _, Error, cgroup,
    connection::{Connection, Listener},
    log::{Stream, Writer},
    process::{Place, Process, Report, Streams},
    protocol::{EXIT_CODE, Exec, FromShim, Ready, SOCKET, Spec},
    spawn::start_time,
    streams::{Sink, copy, lock},
    terminal::{self, Size},
    write_private,
};

/// Signals that a terminal sends; the shim has none, and must not die of its starter's.
const TERMINAL_SIGNALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];
/// A start that takes longer than this at any step (the agent's word, the client's, the making of the root) is
/// given up.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Shim {
    pub(super) spec: Spec,
    /// The container's.
    pub(super) first: Process,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) start: Start,
    /// The connection that was made first has closed: that of the agent that spawned the shim.
    pub(super) agent_left: bool,
    /// Why the command will never run although nothing was wrong with it.
    pub(super) abandoned: Option<FromShim>,
    pub(super) attached: bool,
    /// The command was told to run.
    pub(super) going: bool,
    /// Nothing more to expect from the process but its end: streams are known.
    pub(super) prepared: bool,
    /// The shim's end of the container's terminal.
    pub(super) terminal: Option<Arc<File>>,
    pub(super) size: Option<Size>,
    /// The writing end of a standard input without terminal, until a client takes it.
    pub(super) input: Option<File>,
    pub(super) sinks: Vec<Arc<Sink>>,
    pub(super) waiters: Vec<Arc<Connection>>,
    /// Processes beside the first whose ends are not told yet.
    pub(super) executing: usize,
    pub(super) outcome: Option<FromShim>,
}

impl State {
    /// The command runs, or never will.
    fn is_settled(&self) -> bool {
        self.going || self.outcome.is_some()
    }
}

/// Whether the agent has asked for the command to run.
#[derive(Default)]
pub(super) enum Start {
    #[default]
    Awaited,
    Asked {
        by: Arc<Connection>,
        after_attach: bool,
    },
    /// Whoever asked knows that it runs, or why not.
    Answered,
}

impl Start {
    fn answer(&mut self, answer: &FromShim) {
        if let Start::Asked { by, .. } = self {
            _ = by.send(answer, &[]);
            *self = Start::Answered;
        }
    }
}

/// Returns in the starter at once, in the shim when the container has ended.
pub(super) fn run(spec: &Path) -> Result<(), Error> {
    let text = fs::read(spec).doing(format!("read {}", spec.display()))?;
    let spec: Spec = serde_json::from_slice(&text).doing(format!("read {}", spec.display()))?;
    // SAFETY: the subcommand starts with one thread, so the child may do anything.
    if let ForkResult::Parent { .. } = unsafe { fork() }.doing("fork")? {
        return Ok(());
    }
    setsid().doing("start a session")?;
    chdir("/").doing("leave the starter's folder")?;
    for number in TERMINAL_SIGNALS {
        // SAFETY: ignoring installs no handler.
        unsafe { signal(number, SigHandler::SigIgn) }.doing("ignore signals")?;
    }
    set_child_subreaper(true).doing("become a subreaper")?;
    cgroup::enter_as_shim();
    let id = spec.id.clone();
    let served = serve(spec);
    cgroup::leave(&id);
    served
}

fn serve(spec: Spec) -> Result<(), Error> {
    _ = fs::remove_file(spec.run_dir.join(EXIT_CODE));
    let listener = Listener::bind(&spec.run_dir, spec.group)?;
    let log = Writer::open(&spec.log, spec.group)?;
    let (input, output, streams) = open_streams(&spec.process)?;
    let first = Process::start(&spec, &spec.process, Place::New, streams)?;
    let state = Mutex::new(State {
        input,
        ..State::default()
    });
    let shim = Arc::new(Shim {
        spec,
        first,
        state,
        changed: Condvar::new(),
    });
    shim.say_ready()?;
    let accepting = Arc::clone(&shim);
    thread::spawn(move || accepting.accept(&listener));
    let waiting = Arc::clone(&shim);
    thread::spawn(move || waiting.give_up_in_time());
    shim.watch(log, output)
}

/// The shim's ends of standard input and output, and the process's.
type OpenStreams = (Option<File>, Vec<(Stream, File)>, Streams);

fn open_streams(process: &Exec) -> Result<OpenStreams, Error> {
    if process.terminal {
        return Ok((None, Vec::new(), None));
    }
    let pipe = || pipe2(OFlag::O_CLOEXEC).doing("create a pipe");
    let (input, shims_input) = if process.interactive {
        let (reading, writing) = pipe()?;
        (reading, Some(File::from(writing)))
    } else {
        (null()?.into(), None)
    };
    let (output_reading, output) = pipe()?;
    let (errors_reading, errors) = pipe()?;
    let reading = vec![
        (Stream::Stdout, output_reading.into()),
        (Stream::Stderr, errors_reading.into()),
    ];
    Ok((shims_input, reading, Some([input, output, errors])))
}

pub(super) fn null() -> Result<File, Error> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .doing("open /dev/null")
}

impl Shim {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn say_ready(&self) -> Result<(), Error> {
        let pid = self.first.pid;
        let start_time = start_time(pid).ok_or(Error::Closed)?;
        let ready = Ready {
            pid,
            start_time,
            shim: std::process::id().cast_signed(),
        };
        let mut line = serde_json::to_vec(&ready).doing("say ready")?;
        line.push(b'\n');
        io::stdout()
            .write_all(&line)
            .and_then(|()| io::stdout().flush())
            .doing("say ready")?;
        // whoever started the shim is not held up by it
        let null = null()?;
        dup2_stdout(&null).doing("close standard output")?;
        dup2_stderr(&null).doing("close standard error")
    }

    /// The life of the container, from the making of its root to the last word about its end.
    fn watch(self: &Arc<Self>, log: Writer, output: Vec<(Stream, File)>) -> Result<(), Error> {
        let channel = &self.first.channel;
        let mut report = channel.receive();
        let mut copying = None;
        if let Ok(Some((Report::Prepared, descriptors))) = report {
            copying = Some(self.copy_output(log, output, descriptors)?);
            report = channel.receive();
        }
        if matches!(report, Ok(None)) {
            let mut state = self.state();
            if state.going {
                state.start.answer(&FromShim::Started { pid: self.first.pid });
            }
        }
        let exit_code = self.first.wait();
        let abandoned = self.state().abandoned.clone();
        for sink in self.sinks() {
            sink.stop_waiting();
        }
        if let Some(copying) = copying {
            _ = copying.join();
        }
        self.finish(&match report {
            Ok(Some((Report::Failed { exit_code, message }, _))) => FromShim::Failed { exit_code, message },
            Ok(_) | Err(_) => abandoned.unwrap_or(FromShim::Exited { exit_code }),
        })
    }

    /// Nobody may be left who would finish the start, so the namespaces must not stay for ever.
    fn give_up_in_time(&self) {
        let mut state = self.wait_in_time(self.state(), |state| {
            matches!(state.start, Start::Awaited) && !state.agent_left
        });
        if !matches!(state.start, Start::Awaited) {
            state = self.wait_in_time(state, |_| true);
        }
        if state.is_settled() {
            return;
        }
        let reason = match state.start {
            Start::Awaited if state.agent_left => "the agent has gone",
            Start::Awaited => "the agent did not ask for it",
            Start::Asked { .. } | Start::Answered if state.prepared => "no client attached",
            Start::Asked { .. } | Start::Answered => "its root was not made",
        };
        let failed = FromShim::Failed {
            exit_code: 125,
            message: format!("OCI runtime create failed: start given up: {reason}: unknown"),
        };
        // at once, for a process that waits for a dead file system does not end
        state.start.answer(&failed);
        state.start = Start::Answered;
        state.abandoned = Some(failed);
        drop(state);
        self.first.signal(Signal::SIGKILL as i32);
    }

    fn wait_in_time<'a>(
        &self,
        state: MutexGuard<'a, State>,
        waiting: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self
            .changed
            .wait_timeout_while(state, STARTS_WITHIN, |state| !state.is_settled() && waiting(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Into the log and to whoever is attached.
    fn copy_output(
        self: &Arc<Self>,
        mut log: Writer,
        mut output: Vec<(Stream, File)>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<JoinHandle<()>, Error> {
        let mut state = self.state();
        if let Some(terminal) = descriptors.into_iter().next() {
            if let Some(size) = state.size {
                terminal::resize(terminal.as_fd(), size);
            }
            let terminal = File::from(terminal);
            output.push((Stream::Stdout, terminal.try_clone().doing("share the terminal")?));
            state.terminal = Some(Arc::new(terminal));
        }
        state.prepared = true;
        self.changed.notify_all();
        drop(state);
        self.go_when_ready();
        let shim = Arc::clone(self);
        Ok(thread::spawn(move || {
            copy(output, shim.first.handle.as_fd(), |stream, bytes| {
                log.write(stream, bytes);
                for sink in shim.sinks() {
                    sink.push(stream, bytes);
                }
            });
            log.finish();
        }))
    }

    fn sinks(&self) -> Vec<Arc<Sink>> {
        self.state().sinks.clone()
    }

    /// On disk first, then to the agent, then to each client once it has all of the output.
    fn finish(&self, outcome: &FromShim) -> Result<(), Error> {
        let (FromShim::Exited { exit_code } | FromShim::Failed { exit_code, .. }) = *outcome else {
            return Ok(());
        };
        let written = self.write_exit_code(exit_code);
        cgroup::leave(&self.spec.id);
        // while this path cannot yet be that of a next run's socket. Whoever wants to hear of a failed start has
        // still to connect.
        let failed = matches!(outcome, FromShim::Failed { .. });
        if !failed {
            _ = fs::remove_file(self.spec.run_dir.join(SOCKET));
        }
        let mut state = self.state();
        state.outcome = Some(outcome.clone());
        self.changed.notify_all();
        state.start.answer(outcome);
        for waiter in &state.waiters {
            _ = waiter.send(&FromShim::Exited { exit_code }, &[]);
        }
        drop(state);
        let sinks = self.sinks();
        for sink in &sinks {
            sink.finish();
        }
        for sink in &sinks {
            sink.wait_until_closed();
        }
        let told = self.changed.wait_while(self.state(), |state| state.executing > 0);
        let state = told.unwrap_or_else(PoisonError::into_inner);
        if failed {
            // a root that cannot be made is known before the agent has asked for the start
            drop(self.changed.wait_timeout_while(state, STARTS_WITHIN, |state| {
                !matches!(state.start, Start::Answered) && !state.agent_left
            }));
        } else {
            drop(state);
        }
        written
    }

    fn write_exit_code(&self, exit_code: i32) -> Result<(), Error> {
        write_private(&self.spec.run_dir.join(EXIT_CODE), exit_code.to_string().as_bytes())
    }
}
