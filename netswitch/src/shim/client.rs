//! The command line's side: hands its standard streams to a shim and waits for the exit code.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::FileTypeExt as _,
    },
    path::Path,
    sync::atomic::{AtomicI32, Ordering},
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::pipe2,
};

use super::{
    Doing as _, Error,
    connection::Connection,
    log::Stream,
    protocol::{Exec, FromShim, ToShim},
    streams::{copy, write_all},
    terminal::{self, Raw},
};

/// Passed on to an attached container without a terminal (Docker's `--sig-proxy`).
const PASSED_ON: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
/// Watched with a terminal: its new size, and what ends the client, once the terminal is as it was.
const OF_TERMINALS: [Signal; 4] = [Signal::SIGWINCH, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Joins a container's standard streams until it ends; the answer is its exit code. `terminal` and
/// `interactive` as the container was made.
pub fn attach(socket: &Path, terminal: bool, interactive: bool) -> Result<i32, Error> {
    let client = Client::open(socket, terminal, interactive)?;
    // it is the shim that reads and writes, except that a terminal would still be read by it while the
    // client is stopped or in the background
    let input = match client.input()? {
        Some(input) if input.is_terminal() && !terminal => relay_input(input)?,
        Some(input) => input,
        None => null()?,
    };
    let signals: &[Signal] = if terminal { &OF_TERMINALS } else { &PASSED_ON };
    client.run(
        &ToShim::Attach,
        [input, own(io::stdout())?, own(io::stderr())?],
        signals,
    )
}

/// Runs another process in a container; the answer is its exit code.
pub fn exec(socket: &Path, exec: Exec) -> Result<i32, Error> {
    let client = Client::open(socket, exec.terminal, exec.interactive)?;
    let input = match client.input()? {
        Some(input) if !exec.terminal && !is_pipe(&input) => relay_input(input)?,
        Some(input) => input,
        None => null()?,
    };
    let (output, errors) = (own(io::stdout())?, own(io::stderr())?);
    if exec.terminal {
        return client.run(&ToShim::Exec(exec), [input, output, errors], &OF_TERMINALS);
    }
    let (ended, ending) = pipe2(OFlag::O_CLOEXEC).doing("create a pipe")?;
    let (output, copying_output) = relay_output(output, &ended)?;
    let (errors, copying_errors) = relay_output(errors, &ended)?;
    let exit_code = client.run(&ToShim::Exec(exec), [input, output, errors], &[]);
    drop(ending);
    for copying in [copying_output, copying_errors].into_iter().flatten() {
        _ = copying.join();
    }
    exit_code
}

struct Client {
    connection: Connection,
    terminal: bool,
    interactive: bool,
}

impl Client {
    fn open(socket: &Path, terminal: bool, interactive: bool) -> Result<Client, Error> {
        if terminal && interactive && !io::stdin().is_terminal() {
            return Err(Error::NotATerminal);
        }
        Ok(Client {
            connection: Connection::open(socket)?,
            terminal,
            interactive,
        })
    }

    fn input(&self) -> Result<Option<OwnedFd>, Error> {
        self.interactive.then(|| own(io::stdin())).transpose()
    }

    fn run(&self, request: &ToShim, streams: [OwnedFd; 3], watched: &[Signal]) -> Result<i32, Error> {
        let _raw = if self.terminal && self.interactive {
            Raw::enter()
        } else {
            None
        };
        let signals = Signals::watch(watched).doing("watch signals")?;
        self.tell_size();
        self.connection
            .send(request, &streams.each_ref().map(AsRawFd::as_raw_fd))
            .doing("ask the shim")?;
        // only the process has them now: its end is the streams' end
        drop(streams);
        loop {
            let mut ready = [
                PollFd::new(self.connection.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.doing("wait for the shim")?,
            };
            if ready[1].any() == Some(true) {
                match signals.next() {
                    Some(libc::SIGWINCH) => self.tell_size(),
                    Some(number) if self.terminal => return Ok(128 + number),
                    Some(signal) => self
                        .connection
                        .send(&ToShim::Signal { signal }, &[])
                        .doing("pass a signal on")?,
                    None => {}
                }
            } else {
                match self.connection.receive().doing("wait for the shim")? {
                    Some((FromShim::Started { .. }, _)) => {}
                    Some((FromShim::Exited { exit_code }, _)) => return Ok(exit_code),
                    Some((FromShim::Failed { exit_code, message }, _)) => {
                        return Err(Error::Failed { exit_code, message });
                    }
                    None => return Err(Error::Closed),
                }
            }
        }
    }

    fn tell_size(&self) {
        if self.terminal
            && let Some((rows, columns)) = terminal::size(io::stdout().as_fd())
        {
            // a shim that has gone is noticed when its answer is awaited
            _ = self.connection.send(&ToShim::Resize { rows, columns }, &[]);
        }
    }
}

fn own(stream: impl AsFd) -> Result<OwnedFd, Error> {
    stream.as_fd().try_clone_to_owned().doing("share standard streams")
}

fn null() -> Result<OwnedFd, Error> {
    Ok(File::open("/dev/null").doing("open /dev/null")?.into())
}

fn is_pipe(stream: &OwnedFd) -> bool {
    stream
        .try_clone()
        .and_then(|stream| File::from(stream).metadata())
        .is_ok_and(|data| data.file_type().is_fifo())
}

/// A pipe that stands for `input`. A process in a container could open a file or terminal of the user's
/// again, with more rights than it was given, and keep it; a pipe is nothing but its bytes.
fn relay_input(input: OwnedFd) -> Result<OwnedFd, Error> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).doing("create a pipe")?;
    thread::spawn(move || io::copy(&mut File::from(input), &mut File::from(writing)));
    Ok(reading)
}

/// A pipe that stands for `output`; it is copied until it ends, or `ended` is readable and it is empty.
fn relay_output(output: OwnedFd, ended: &OwnedFd) -> Result<(OwnedFd, Option<JoinHandle<()>>), Error> {
    if is_pipe(&output) {
        return Ok((output, None));
    }
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).doing("create a pipe")?;
    let ended = own(ended)?;
    let copying = thread::spawn(move || {
        let output = File::from(output);
        copy(vec![(Stream::Stdout, reading.into())], ended.as_fd(), |_, bytes| {
            _ = write_all(&output, bytes);
        });
    });
    Ok((writing, Some(copying)))
}

/// Where the handler writes a signal's number.
static NOTICED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn notice(number: libc::c_int) {
    let before = Errno::last();
    let byte = number.to_ne_bytes();
    // SAFETY: write is async-signal-safe and reads bytes that live through the call.
    _ = unsafe { libc::write(NOTICED.load(Ordering::Relaxed), byte.as_ptr().cast(), byte.len()) };
    before.set();
}

/// Signals as bytes of a pipe, until this is dropped. One at a time in a process.
struct Signals {
    reading: File,
    _writing: OwnedFd,
    before: Vec<(Signal, SigAction)>,
}

impl Signals {
    fn watch(signals: &[Signal]) -> nix::Result<Signals> {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        NOTICED.store(writing.as_raw_fd(), Ordering::Relaxed);
        let mut watching = Signals {
            reading: reading.into(),
            _writing: writing,
            before: Vec::new(),
        };
        let action = SigAction::new(SigHandler::Handler(notice), SaFlags::SA_RESTART, SigSet::empty());
        for signal in signals {
            // SAFETY: the handler calls only what is async-signal-safe.
            watching.before.push((*signal, unsafe { sigaction(*signal, &action) }?));
        }
        Ok(watching)
    }

    fn next(&self) -> Option<i32> {
        let mut number = [0; size_of::<libc::c_int>()];
        (&self.reading).read_exact(&mut number).ok()?;
        Some(i32::from_ne_bytes(number))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, action) in &self.before {
            // SAFETY: what was installed before is installed again.
            _ = unsafe { sigaction(*signal, action) };
        }
    }
}
