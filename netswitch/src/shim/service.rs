//! What the shim does for each of its connections: the agent's and the clients'.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, PoisonError},
    thread,
};

use super::{
    Error,
    connection::{Connection, Listener},
    daemon::{Shim, Start, null},
    log::Stream,
    process::{Go, Place, Process, Report, Streams},
    protocol::{Exec, FromShim, ToShim},
    streams::{Sink, copy, feed, write_all},
    terminal::{self, Size},
};

/// A process beside the container's first.
struct Other {
    process: Process,
    terminal: Option<File>,
}

/// What one connection is about.
#[derive(Default)]
struct Session {
    size: Option<Size>,
    sink: Option<Arc<Sink>>,
    /// The container's first process when there is no other.
    other: Option<Arc<Other>>,
}

impl Shim {
    /// The first connection is that of the agent that spawned the shim.
    pub(super) fn accept(self: &Arc<Self>, listener: &Listener) {
        let mut agents = true;
        while let Ok(connection) = listener.accept() {
            let shim = Arc::clone(self);
            thread::spawn(move || {
                shim.serve(&Arc::new(connection));
                if agents {
                    shim.state().agent_left = true;
                    shim.changed.notify_all();
                }
            });
            agents = false;
        }
    }

    fn serve(self: &Arc<Self>, connection: &Arc<Connection>) {
        let mut session = Session::default();
        while let Ok(Some((message, descriptors))) = connection.receive() {
            match message {
                ToShim::Start { after_attach } => self.start(connection, after_attach),
                ToShim::Attach => session.sink = self.attach(connection, descriptors),
                ToShim::Exec(exec) => match self.execute(connection, &exec, descriptors, session.size) {
                    Ok(other) => session.other = Some(other),
                    Err(error) => {
                        let exit_code = if let Error::Failed { exit_code, .. } = error {
                            exit_code
                        } else {
                            126
                        };
                        _ = connection.send(
                            &FromShim::Failed {
                                exit_code,
                                message: error.to_string(),
                            },
                            &[],
                        );
                    }
                },
                ToShim::Resize { rows, columns } => {
                    session.size = Some((rows, columns));
                    self.resize(&session, (rows, columns));
                }
                ToShim::Signal { signal } => {
                    session
                        .other
                        .as_ref()
                        .map_or(&self.first, |other| &other.process)
                        .signal(signal);
                }
                ToShim::Wait => self.wait(connection),
            }
        }
        if let Some(sink) = session.sink {
            sink.close();
            self.state().sinks.retain(|known| !Arc::ptr_eq(known, &sink));
        }
    }

    fn start(&self, connection: &Arc<Connection>, after_attach: bool) {
        let mut state = self.state();
        if let Some(outcome) = state.outcome.as_ref().or(state.abandoned.as_ref()) {
            _ = connection.send(outcome, &[]);
            state.start = Start::Answered;
        } else {
            state.start = Start::Asked {
                by: Arc::clone(connection),
                after_attach,
            };
        }
        self.changed.notify_all();
        drop(state);
        self.go_when_ready();
    }

    /// Not before the terminal has its size.
    pub(super) fn go_when_ready(&self) {
        let mut state = self.state();
        let wanted = matches!(state.start, Start::Asked { after_attach, .. } if !after_attach || state.attached);
        if wanted && state.prepared && !state.going {
            state.going = true;
            self.changed.notify_all();
            _ = self.first.channel.send(&Go, &[]);
        }
    }

    fn wait(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        if let Some(FromShim::Exited { exit_code } | FromShim::Failed { exit_code, .. }) = state.outcome {
            _ = connection.send(&FromShim::Exited { exit_code }, &[]);
        } else {
            state.waiters.push(Arc::clone(connection));
        }
    }

    fn attach(self: &Arc<Self>, connection: &Arc<Connection>, descriptors: Vec<OwnedFd>) -> Option<Arc<Sink>> {
        let [input, output, errors] = <[OwnedFd; 3]>::try_from(descriptors).ok()?;
        let mut state = self.state();
        if let Some(outcome) = &state.outcome {
            _ = connection.send(outcome, &[]);
            return None;
        }
        let sink = Arc::new(Sink::default());
        state.sinks.push(Arc::clone(&sink));
        state.attached = true;
        drop(state);
        let (shim, client, draining) = (Arc::clone(self), Arc::clone(connection), Arc::clone(&sink));
        thread::spawn(move || {
            if draining.drain(&File::from(output), &File::from(errors)) {
                let outcome = shim.state().outcome.clone();
                _ = outcome.map(|outcome| client.send(&outcome, &[]));
            }
            draining.close();
        });
        if self.spec.process.interactive {
            let (shim, client) = (Arc::clone(self), Arc::clone(connection));
            thread::spawn(move || shim.feed_first(input, &client));
        }
        self.go_when_ready();
        Some(sink)
    }

    /// The first client's input is the container's; when it ends, so does the container's (unless that is a
    /// terminal).
    fn feed_first(&self, input: OwnedFd, client: &Connection) {
        let waited = self
            .changed
            .wait_while(self.state(), |state| !state.prepared && state.outcome.is_none());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let (terminal, pipe) = (state.terminal.clone(), state.input.take());
        drop(state);
        if let Some(target) = terminal.as_deref().or(pipe.as_ref()) {
            feed(input, client, target);
        }
    }

    fn resize(&self, session: &Session, size: Size) {
        let mut state = self.state();
        let terminal = if let Some(other) = &session.other {
            other.terminal.as_ref()
        } else {
            state.size = Some(size);
            state.terminal.as_deref()
        };
        if let Some(terminal) = terminal {
            terminal::resize(terminal.as_fd(), size);
        }
    }

    fn execute(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        exec: &Exec,
        descriptors: Vec<OwnedFd>,
        size: Option<Size>,
    ) -> Result<Arc<Other>, Error> {
        let mut descriptors = <[OwnedFd; 3]>::try_from(descriptors).map_err(|_| Error::Closed)?;
        let process = self.complete(exec);
        if !exec.interactive {
            descriptors[0] = null()?.into();
        }
        let (streams, clients): (Streams, _) = if exec.terminal {
            (None, Some(descriptors))
        } else {
            (Some(descriptors), None)
        };
        let process = Process::start(&self.spec, &process, Place::Beside(self.first.handle.as_fd()), streams)?;
        let mut report = process.channel.receive();
        let mut terminal = None;
        if let Ok(Some((Report::Prepared, received))) = report {
            terminal = received.into_iter().next().map(File::from);
            if let (Some(terminal), Some(size)) = (&terminal, size) {
                terminal::resize(terminal.as_fd(), size);
            }
            _ = process.channel.send(&Go, &[]);
            report = process.channel.receive();
        }
        if let Ok(Some((Report::Failed { exit_code, message }, _))) = report {
            process.wait();
            return Err(Error::Failed { exit_code, message });
        }
        _ = connection.send(&FromShim::Started { pid: process.pid }, &[]);
        let other = Arc::new(Other { process, terminal });
        self.state().executing += 1;
        let (shim, client, told) = (Arc::clone(self), Arc::clone(connection), Arc::clone(&other));
        thread::spawn(move || {
            told.accompany(&client, clients);
            shim.state().executing -= 1;
            shim.changed.notify_all();
        });
        Ok(other)
    }

    /// What an exec does not say is as the container's first process has it.
    fn complete(&self, exec: &Exec) -> Exec {
        let first = &self.spec.process;
        Exec {
            environment: first.environment.iter().chain(&exec.environment).cloned().collect(),
            directory: exec.directory.clone().or_else(|| first.directory.clone()),
            user: exec.user.clone().or_else(|| first.user.clone()),
            ..exec.clone()
        }
    }
}

impl Other {
    /// Copies between the client and the process's terminal, if it has one, and tells how the process ends.
    fn accompany(self: &Arc<Self>, client: &Arc<Connection>, clients: Option<[OwnedFd; 3]>) {
        if let (Some(terminal), Some([input, output, _])) = (&self.terminal, clients) {
            let (other, feeding) = (Arc::clone(self), Arc::clone(client));
            thread::spawn(move || other.terminal.as_ref().map(|terminal| feed(input, &feeding, terminal)));
            let output = File::from(output);
            if let Ok(terminal) = terminal.try_clone() {
                copy(
                    vec![(Stream::Stdout, terminal)],
                    self.process.handle.as_fd(),
                    |_, bytes| {
                        // the process goes on without its client
                        _ = write_all(&output, bytes);
                    },
                );
            }
        }
        let exit_code = self.process.wait();
        _ = client.send(&FromShim::Exited { exit_code }, &[]);
    }
}
