//! Starts of containers, in stages, so that the agent's thread waits for no process: judged, then made (the shim and its
//! namespaces), then networked, then running. What waits is done on threads of the runtime's, which say by a job how it went.
//!
//! Nothing of a start is on disk before its network is there: an agent that dies earlier leaves a shim that no running
//! container is known for, which the next one ends.

use std::mem;

use tokio::sync::oneshot;

use super::core::{Core, internal};
use super::handle::{Job, stopping};
use crate::api::{Error, Response};
use crate::model::{
    Id,
    container::{Container, lifecycle},
    sandbox::Origin,
};
use crate::shim::{
    self,
    connection::Connection,
    protocol::{Ready, Spec, ToShim},
};

type Reply = oneshot::Sender<Result<Response, Error>>;

/// A start under way.
pub struct Start {
    spec: Spec,
    wait_for_attach: bool,
    reply: Reply,
    /// What was asked about the container meanwhile, in order.
    waiting: Vec<Job>,
}

/// How a stage of a container's start went.
pub enum Stage {
    Made(Result<(Ready, Connection), Error>),
    /// The command runs, or a client has to attach first. A shim that failed has ended.
    Ran(Result<(), Failed>),
    /// The shim of a start that failed has ended.
    Ended(Error),
}

/// Why a command did not come to run, and the exit code that says so.
pub struct Failed {
    exit_code: i32,
    error: Error,
}

impl Failed {
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self {
            exit_code: 125,
            error: internal(error),
        }
    }
}

impl Core {
    /// A start that fails leaves a created container and nothing else; with `--rm` not even that.
    pub fn container_start(&mut self, key: &str, wait_for_attach: bool, reply: Reply) {
        let container = match self.state.container(key) {
            Ok(container) if container.is_running() => return drop(reply.send(Ok(self.shim_of(container)))),
            Ok(container) => container.clone(),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let id = container.id.clone();
        let spec = match self.judge_start(&container) {
            Ok(spec) => spec,
            Err(error) => {
                self.forget_start(&container);
                return drop(reply.send(Err(error)));
            }
        };
        let (jobs, executable, shim) = (self.jobs.clone(), self.executable.clone(), spec.clone());
        let start = Start {
            spec,
            wait_for_attach,
            reply,
            waiting: Vec::new(),
        };
        self.starts.insert(id.clone(), start);
        self.runtime.spawn_blocking(move || {
            let made = shim::spawn::spawn(&executable, &shim).map_err(internal);
            let _ = jobs.send(Job::Start(id, Stage::Made(made)));
        });
    }

    /// Refuses what cannot start before anything is made for it. What it gets is chosen when its namespaces are there.
    fn judge_start(&mut self, container: &Container) -> Result<Spec, Error> {
        let mut facts = self.facts_for(container)?;
        lifecycle::start(&self.state, &mut facts, &container.id)?;
        self.spec(container)
    }

    pub fn go_on(&mut self, id: Id, stage: Stage) {
        let Some(start) = self.starts.get(&id) else { return };
        match stage {
            Stage::Made(Ok((ready, connection))) => {
                let spec = start.spec.clone();
                let wait_for_attach = start.wait_for_attach;
                match self.network_start(&id, &ready) {
                    Ok(()) => self.run(id, spec, connection, wait_for_attach),
                    Err(error) => self.end_start(id, spec, error),
                }
            }
            Stage::Ran(Err(Failed { exit_code, error })) => {
                let failed = self.facts().and_then(|facts| {
                    let changes = lifecycle::failed(&self.state, &facts, &id, exit_code, &error.message);
                    self.tear_down(changes)
                });
                self.finish_start(&id, Err(failed.err().unwrap_or(error)));
            }
            Stage::Made(Err(error)) | Stage::Ended(error) => self.finish_start(&id, Err(error)),
            Stage::Ran(Ok(())) => {
                self.watch_container(&id);
                self.finish_start(&id, Ok(()));
            }
        }
    }

    fn network_start(&mut self, id: &Id, ready: &Ready) -> Result<(), Error> {
        let container = self.state.container(&id.0)?.clone();
        let mut facts = self.facts_for(&container)?;
        let mut changes = lifecycle::start(&self.state, &mut facts, id)?;
        let origin = Origin::Shim {
            pid: ready.pid,
            start_time: ready.start_time,
        };
        lifecycle::fill_in(&mut changes, id, ready.pid, &origin);
        self.build(changes)?;
        self.follow_links(id);
        Ok(())
    }

    fn run(&mut self, id: Id, spec: Spec, connection: Connection, wait_for_attach: bool) {
        let written = self.write_files(&id, &spec).map_err(|error| Failed::internal(&error));
        let jobs = self.jobs.clone();
        self.runtime.spawn_blocking(move || {
            let ran = written.and_then(|()| run_command(&connection, wait_for_attach));
            if ran.is_err() {
                shim::spawn::kill(&spec.run_dir);
            }
            let _ = jobs.send(Job::Start(id, Stage::Ran(ran)));
        });
    }

    fn end_start(&mut self, id: Id, spec: Spec, error: Error) {
        let jobs = self.jobs.clone();
        self.runtime.spawn_blocking(move || {
            shim::spawn::kill(&spec.run_dir);
            let _ = jobs.send(Job::Start(id, Stage::Ended(error)));
        });
    }

    fn finish_start(&mut self, id: &Id, result: Result<(), Error>) {
        let Some(start) = self.starts.remove(id) else { return };
        let container = self.state.container(&id.0).cloned();
        let answer = match (result, container) {
            (Ok(()), container) => container.map(|container| self.shim_of(&container)),
            (Err(error), container) => {
                if let Ok(container) = container {
                    self.forget_start(&container);
                }
                Err(error)
            }
        };
        let _ = start.reply.send(answer);
        for job in start.waiting {
            // the agent's own queue is there as long as it works
            let _ = self.jobs.send(job);
        }
    }

    fn forget_start(&mut self, container: &Container) {
        let _ = std::fs::remove_dir_all(self.run_dir(&container.id));
        if container.process.remove
            && let Err(error) = self.container_remove(&container.id.0, true)
        {
            tracing::warn!(%error, container = container.id.short(), "removing failed");
        }
    }

    /// Puts off what acts on a container that is being started, until it is. Returns what may be done now.
    pub fn put_off(&mut self, job: Job) -> Option<Job> {
        if self.starts.is_empty() {
            return Some(job);
        }
        let key = match &job {
            Job::Ask(request, _) => request.acts_on(),
            Job::Signal { container, .. } => Some(container.as_str()),
            _ => None,
        };
        let start = key
            .and_then(|key| self.state.container(key).ok())
            .and_then(|container| self.starts.get_mut(&container.id));
        match start {
            Some(start) => {
                start.waiting.push(job);
                None
            }
            None => Some(job),
        }
    }

    /// For an agent that stops: what waited for starts is refused.
    pub fn refuse_what_waits(&mut self) {
        for start in self.starts.values_mut() {
            for job in mem::take(&mut start.waiting) {
                match job {
                    Job::Ask(_, reply) => drop(reply.send(Err(stopping()))),
                    Job::Signal { reply, .. } => drop(reply.send(Err(stopping()))),
                    _ => {}
                }
            }
        }
    }
}

/// With a client to wait for, the client hears how it went; else the command runs when this returns.
fn run_command(connection: &Connection, wait_for_attach: bool) -> Result<(), Failed> {
    if wait_for_attach {
        return connection
            .send(&ToShim::Start { after_attach: true }, &[])
            .map_err(|error| Failed::internal(&error));
    }
    match shim::spawn::start(connection, false) {
        Ok(_) => Ok(()),
        Err(shim::Error::Failed { exit_code, message }) => Err(Failed {
            exit_code,
            error: Error::bad_request(message),
        }),
        Err(error) => Err(Failed::internal(&error)),
    }
}
