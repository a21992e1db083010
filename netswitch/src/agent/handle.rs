//! What the doors hold: asks the agent's thread, and waits where a request takes its time.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc as stream, oneshot};
use tokio::time::{Instant, timeout_at};

use super::core::Core;
use super::monitor::Monitor;
use super::observer::Observer;
use super::starts::Stage;
use super::wait::{End, Wait};
use crate::api::{
    Error, ErrorKind, FlowFilter, MonitorFilter, PolicyChange, PolicyFile, Request, Response, WaitCondition,
};
use crate::doors::{Agent, Ended};
use crate::kernel::watch::Event;
use crate::model::Id;

/// What the agent's thread does next.
pub enum Job {
    Ask(Box<Request>, oneshot::Sender<Result<Response, Error>>),
    /// A look at the state for what is answered elsewhere.
    Do(Box<dyn FnOnce(&mut Core) + Send>),
    Listen(MonitorFilter, oneshot::Sender<Result<stream::Receiver<Bytes>, Error>>),
    /// Answers with the container's id, or `None` where nothing runs.
    Signal {
        container: String,
        signal: i32,
        reply: oneshot::Sender<Result<Option<Id>, Error>>,
    },
    /// A stage of a container's start is over.
    Start(Id, Stage),
    /// A container's process ended.
    Exited {
        container: Id,
        pid: i32,
        exit_code: i32,
    },
    /// The kernel's links or addresses changed.
    Kernel(Box<Event>),
    /// The host's name servers are others.
    ServersChanged,
    Stop(oneshot::Sender<()>),
}

#[derive(Clone)]
pub struct AgentHandle {
    jobs: mpsc::Sender<Job>,
    /// Who subscribes hears of the containers' ends.
    pub ended: broadcast::Sender<End>,
    pub monitor: Monitor,
    pub observer: Observer,
}

/// How often a container is ended that is started again before it could be removed.
const REMOVE_TRIES: u32 = 5;
/// How long a killed process may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(10);

impl AgentHandle {
    pub fn new(jobs: mpsc::Sender<Job>, ended: broadcast::Sender<End>, monitor: Monitor, observer: Observer) -> Self {
        Self {
            jobs,
            ended,
            monitor,
            observer,
        }
    }

    /// Lets the agent's thread finish what it does and end.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.jobs.send(Job::Stop(reply)).is_ok() {
            let _ = done.await;
        }
    }

    async fn core(&self, request: Request) -> Result<Response, Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Ask(Box::new(request), reply))
            .map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Whoever waits for a container is told that nobody will tell.
    pub fn stop_waiting(&self) {
        let _ = self.ended.send(End::Agent);
    }

    /// Lets the agent's thread look at what it has.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |core: &mut Core| drop(reply.send(look(core))));
        self.jobs.send(Job::Do(look)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Returns once the agent's thread has finished what it is at, or has ended: of an end it tells before it has
    /// removed the last file.
    pub async fn settle(&self) {
        let _ = self.look(|_| ()).await;
    }

    async fn flows(&self, mut filter: FlowFilter) -> Result<Response, Error> {
        if let Some(key) = filter.container {
            let name = self.look(move |core| core.state.container(&key).map(|container| container.name.clone()));
            filter.container = Some(name.await??);
        }
        Ok(Response::Flows(self.observer.flows(filter).await?))
    }

    async fn policy_plan(&self, file: PolicyFile) -> Result<Response, Error> {
        let (change, judge) = self.look(move |core| core.policy_plan(&file)).await??;
        let cut = self.observer.cut(judge).await?;
        Ok(Response::PolicyChange(PolicyChange { cut, ..change }))
    }

    async fn doctor(&self) -> Result<Response, Error> {
        let examination = self.look(Core::examine).await?;
        let examined = self.observer.examine(examination).await?;
        Ok(Response::Doctor(examined.findings().await))
    }

    /// TERM and, after `grace`, KILL; without a grace KILL at once. Returns when it is over.
    async fn end(&self, container: &str, grace: Option<Duration>) -> Result<(), Error> {
        let mut ended = self.ended.subscribe();
        let first = if grace.is_some() { libc::SIGTERM } else { libc::SIGKILL };
        let Some(id) = self.signal(container, first).await? else {
            return Ok(());
        };
        if wait(&mut ended, &id, grace.unwrap_or(KILL_WAIT)).await
            || self.signal(&id.0, libc::SIGKILL).await?.is_none()
            || wait(&mut ended, &id, KILL_WAIT).await
        {
            self.settle().await;
            return Ok(());
        }
        Err(Error::internal(format!("container {id} did not end after SIGKILL")))
    }

    /// Ends a container, and removes it unless somebody goes on starting it.
    async fn remove(&self, container: &str) -> Result<Response, Error> {
        let mut tries = 1..=REMOVE_TRIES;
        loop {
            self.end(container, None).await?;
            let request = Request::ContainerRemove {
                container: container.to_owned(),
                force: true,
            };
            match self.core(request).await {
                Err(error) if error.kind == ErrorKind::Conflict && tries.next().is_some() => {}
                answer => return answer,
            }
        }
    }

    async fn signal(&self, container: &str, signal: i32) -> Result<Option<Id>, Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Signal {
                container: container.to_owned(),
                signal,
                reply,
            })
            .map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

pub fn stopping() -> Error {
    Error::internal("the agent is stopping")
}

async fn wait(ended: &mut broadcast::Receiver<End>, id: &Id, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match timeout_at(deadline, ended.recv()).await {
            Ok(Ok(End::Exited(gone, _) | End::Removed(gone, _))) if gone == *id => return true,
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return false,
        }
    }
}

impl Agent for AgentHandle {
    async fn ask(&self, request: Request) -> Result<Response, Error> {
        match request {
            Request::ContainerStop { container, seconds } => {
                self.end(&container, Some(Duration::from_secs(seconds))).await?;
                Ok(Response::Done)
            }
            Request::ContainerWait { container, condition } => {
                let exit_code = Wait::begin(self, container, condition).await?.end().await?;
                Ok(Response::Ended { exit_code })
            }
            Request::ContainerRemove { container, force: true } => self.remove(&container).await,
            Request::Flows(filter) => self.flows(filter).await,
            Request::PolicyPlan(file) => self.policy_plan(file).await,
            Request::Stats { since } => Ok(Response::Stats(self.observer.snapshot(since).await?.stats.clone()?)),
            Request::Doctor => self.doctor().await,
            request => self.core(request).await,
        }
    }

    async fn wait(&self, container: String, condition: WaitCondition) -> Result<Ended, Error> {
        Ok(Box::pin(Wait::begin(self, container, condition).await?.end()))
    }

    async fn monitor(&self, filter: MonitorFilter) -> Result<stream::Receiver<Bytes>, Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Listen(filter, reply)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}
