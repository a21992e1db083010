//! Requests about containers: their records, their processes and their network.

use std::path::PathBuf;

use super::core::{Core, internal};
use super::handle::Job;
use crate::api::{Attach, ContainerCreate, Error, Filters, NamespaceOf, Response};
use crate::kernel::{self, Kernel as _, Namespace, netlink::Netlink};
use crate::model::{
    Id,
    container::{Container, Mode, Owner, Status, attach, create, files, inspect, lifecycle, list},
    sandbox::Origin,
};
use crate::plan::view::namespace;
use crate::shim::{
    self,
    connection::Connection,
    protocol::{self, Exec, NetworkNamespace, Spec, ToShim},
};

impl Core {
    pub fn container_create(&mut self, asked: &ContainerCreate) -> Result<Response, Error> {
        let mut facts = self.facts()?;
        let (changes, id, warnings) = create::create(&self.state, &mut facts, asked)?;
        self.build(changes)?;
        Ok(Response::Created { id: id.0, warnings })
    }

    /// Judged first, then the namespaces, then the network, then the process: a start that fails
    /// leaves a created container and nothing else.
    pub fn container_start(&mut self, key: &str, wait_for_attach: bool) -> Result<Response, Error> {
        let container = self.state.container(key)?.clone();
        if matches!(container.status, Status::Running { .. }) {
            return Ok(self.shim_of(&container));
        }
        let mut facts = self.facts()?;
        let mut changes = lifecycle::start(&self.state, &mut facts, &container.id)?;
        let spec = self.spec(&container)?;
        let (ready, connection) = shim::spawn::spawn(&self.executable, &spec).map_err(internal)?;
        let origin = Origin::Shim {
            pid: ready.pid,
            start_time: ready.start_time,
        };
        lifecycle::fill_in(&mut changes, &container.id, ready.pid, &origin);
        if let Err(error) = self
            .build(changes)
            .and_then(|()| self.write_files(&container.id, &spec))
        {
            shim::spawn::kill(&spec.run_dir);
            return Err(error);
        }
        self.watch_container(&container.id);
        self.run_command(&container.id, &connection, wait_for_attach)?;
        Ok(self.shim_of(&container))
    }

    /// With a client to wait for, the client hears how it went; else the command runs when this returns.
    fn run_command(&mut self, id: &Id, connection: &Connection, wait_for_attach: bool) -> Result<(), Error> {
        if wait_for_attach {
            return connection
                .send(&ToShim::Start { after_attach: true }, &[])
                .map_err(internal);
        }
        match shim::spawn::start(connection, false) {
            Ok(_) => Ok(()),
            Err(shim::Error::Failed { exit_code, message }) => {
                let changes = lifecycle::failed(&self.state, &self.facts()?, id, exit_code, &message);
                self.tear_down(changes)?;
                Err(Error::bad_request(message))
            }
            Err(error) => Err(internal(error)),
        }
    }

    /// TERM, KILL, …; `None` if there is nothing to send it to.
    pub fn signal(&mut self, key: &str, signal: i32) -> Result<Option<Id>, Error> {
        let container = self.state.container(key)?;
        match (container.owner, &container.status) {
            (Owner::Netswitch, Status::Running { .. }) => {
                shim::spawn::signal(&self.run_dir(&container.id), signal).map_err(internal)?;
                Ok(Some(container.id.clone()))
            }
            (Owner::Attached, Status::Running { .. }) => Err(Error::conflict(format!(
                "container {} is attached: its process is not netswitch's to stop\nhint: netswitch detach {}",
                container.name, container.name
            ))),
            (_, Status::Created { .. } | Status::Exited { .. }) => Ok(None),
        }
    }

    /// A container's process is gone, by itself or because we asked.
    pub fn exited(&mut self, id: &Id, exit_code: i32) {
        let Some(container) = self.state.containers.get(id) else {
            return;
        };
        if !matches!(container.status, Status::Running { .. }) {
            return;
        }
        let remove = container.process.remove;
        let result = self.facts().and_then(|facts| {
            let changes = lifecycle::stopped(&self.state, &facts, id, exit_code, "");
            self.tear_down(changes)
        });
        if let Err(error) = result {
            tracing::warn!(%error, container = id.short(), "taking down failed");
        }
        let _ = std::fs::remove_dir_all(self.run_dir(id));
        if remove && let Err(error) = self.container_remove(&id.0, true) {
            tracing::warn!(%error, container = id.short(), "removing failed");
        }
        // nobody may be waiting
        let _ = self.ended.send(id.clone());
    }

    pub fn container_remove(&mut self, key: &str, force: bool) -> Result<Response, Error> {
        let id = self.state.container(key)?.id.clone();
        let changes = lifecycle::remove(&self.state, key, force)?;
        self.tear_down(changes)?;
        let _ = std::fs::remove_dir_all(self.state_dir(&id));
        Ok(Response::Done)
    }

    pub fn container_list(&self, all: bool, filters: &Filters) -> Result<Response, Error> {
        let facts = self.facts()?;
        Ok(Response::Containers(list::list(&self.state, &facts, all, filters)?))
    }

    pub fn container_inspect(&self, key: &str) -> Result<Response, Error> {
        Ok(Response::Container(inspect::inspect(&self.state, key)?))
    }

    pub fn container_exec(&self, key: &str) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        if container.owner == Owner::Attached {
            return Err(Error::conflict(format!(
                "container {} is attached: there is no process to join",
                container.name
            )));
        }
        if !matches!(container.status, Status::Running { .. }) {
            return Err(Error::conflict(format!("Container {} is not running", container.id)));
        }
        Ok(self.shim_of(container))
    }

    pub fn container_logs(&self, key: &str) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        let running = matches!(container.status, Status::Running { .. });
        Ok(Response::Log {
            path: self.log(&container.id),
            running,
        })
    }

    pub fn attach(&mut self, asked: &Attach) -> Result<Response, Error> {
        let origin = match &asked.namespace {
            NamespaceOf::Path(path) => Origin::Path(path.clone()),
            NamespaceOf::Process(pid) => {
                let start_time =
                    shim::spawn::start_time(*pid).ok_or_else(|| Error::not_found(format!("no process {pid}")))?;
                Origin::Process { pid: *pid, start_time }
            }
        };
        let mut facts = self.facts()?;
        facts.interfaces = interfaces(&namespace(&origin))?;
        let (changes, id) = attach::attach(&self.state, &mut facts, asked, origin)?;
        self.build(changes)?;
        Ok(Response::Created {
            id: id.0,
            warnings: Vec::new(),
        })
    }

    pub fn detach(&mut self, key: &str) -> Result<Response, Error> {
        let changes = attach::detach(&self.state, key)?;
        self.tear_down(changes)?;
        Ok(Response::Done)
    }

    /// Waits on threads of their own for the ends of all that runs.
    pub fn watch_containers(&self) {
        for container in self.state.containers.values() {
            if container.owner == Owner::Netswitch && matches!(container.status, Status::Running { .. }) {
                self.watch_container(&container.id);
            }
        }
    }

    fn watch_container(&self, id: &Id) {
        let jobs = self.jobs.clone();
        let container = id.clone();
        let Some(ready) = shim::spawn::ready(&self.run_dir(id)) else {
            return;
        };
        let watch = shim::spawn::watch_exit(self.run_dir(id), id.0.clone(), ready, move |_, exit_code| {
            // the agent may have stopped: the next one finds the exit code on disk
            let _ = jobs.send(Job::Exited { container, exit_code });
        });
        if let Err(error) = watch {
            tracing::warn!(%error, container = id.short(), "its end will not be noticed");
        }
    }

    /// The exit code of a container that the store believes to run, if it does not.
    pub fn found_dead(&self, id: &Id) -> Option<i32> {
        let container = self.state.containers.get(id)?;
        match container.owner {
            Owner::Netswitch => shim::spawn::found_dead(&self.run_dir(id)),
            Owner::Attached => {
                let origin = &self.state.sandboxes.get(container.sandbox.as_ref()?)?.origin;
                let alive = match origin {
                    Origin::Process { pid, start_time } => shim::spawn::start_time(*pid) == Some(*start_time),
                    Origin::Path(_) | Origin::Shim { .. } | Origin::Host => {
                        kernel::namespace::open(&namespace(origin)).is_ok()
                    }
                };
                (!alive).then_some(0)
            }
        }
    }

    fn spec(&self, container: &Container) -> Result<Spec, Error> {
        let namespace = match &container.mode {
            Mode::Networks(_) | Mode::None => NetworkNamespace::New,
            Mode::Host => NetworkNamespace::Host,
            Mode::Container(other) => {
                let other = self.state.container(&other.0)?;
                match &other.status {
                    Status::Running { pid, .. } => NetworkNamespace::Path(format!("/proc/{pid}/ns/net").into()),
                    Status::Created { .. } | Status::Exited { .. } => {
                        return Err(Error::conflict(format!(
                            "cannot join network of a non running container: {}",
                            other.id
                        )));
                    }
                }
            }
        };
        let process = &container.process;
        let run_dir = self.run_dir(&container.id);
        std::fs::create_dir_all(self.state_dir(&container.id)).map_err(internal)?;
        std::fs::create_dir_all(&run_dir).map_err(internal)?;
        Ok(Spec {
            id: container.id.0.clone(),
            hostname: container.hostname.clone(),
            process: Exec {
                command: process.command.clone(),
                environment: process.environment.clone(),
                directory: process.directory.clone(),
                user: process.user.clone(),
                terminal: process.terminal,
                interactive: process.interactive,
            },
            namespace,
            binds: process.binds.clone(),
            run_dir,
            hidden: vec![
                self.directories.state.clone(),
                self.directories.run.clone(),
                self.directories.bpffs.clone(),
            ],
            log: self.log(&container.id),
        })
    }

    /// `/etc/hosts` and the like: written before the process starts, in place afterwards, because
    /// the container has them mounted.
    fn write_files(&self, id: &Id, spec: &Spec) -> Result<(), Error> {
        let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let file = |name: &str, text: String| std::fs::write(spec.run_dir.join(name), text).map_err(internal);
        file(protocol::HOSTS, self.hosts(id))?;
        file(
            protocol::RESOLV_CONF,
            files::resolv_conf(&resolv_conf, files::has_ipv6(&self.state, id)),
        )?;
        file(protocol::HOSTNAME, format!("{}\n", spec.hostname))
    }

    /// After `network connect` and `disconnect`: a running container's own lines change.
    pub fn write_hosts_of(&self, key: &str) -> Result<(), Error> {
        let container = self.state.container(key)?;
        if container.owner == Owner::Attached || !matches!(container.status, Status::Running { .. }) {
            return Ok(());
        }
        let path = self.run_dir(&container.id).join(protocol::HOSTS);
        std::fs::write(path, self.hosts(&container.id)).map_err(internal)
    }

    /// Where the model has none, the host's own file serves.
    fn hosts(&self, id: &Id) -> String {
        files::hosts(&self.state, id).unwrap_or_else(|| std::fs::read_to_string("/etc/hosts").unwrap_or_default())
    }

    fn shim_of(&self, container: &Container) -> Response {
        Response::Shim {
            socket: self.run_dir(&container.id).join(protocol::SOCKET),
            terminal: container.process.terminal,
        }
    }

    /// Lives as long as the process: files that are mounted into it, the shim's socket.
    fn run_dir(&self, id: &Id) -> PathBuf {
        self.directories.run.join("containers").join(&id.0)
    }

    /// Lives as long as the container: its log.
    fn state_dir(&self, id: &Id) -> PathBuf {
        self.directories.state.join("containers").join(&id.0)
    }

    fn log(&self, id: &Id) -> PathBuf {
        self.state_dir(id).join("log.json")
    }
}

/// Names of what is in a namespace already; opening it is the proof that it exists.
pub fn interfaces(namespace: &Namespace) -> Result<Vec<String>, Error> {
    let links = kernel::namespace::in_namespace(namespace, || Netlink::open().and_then(|mut kernel| kernel.links()));
    let links = links
        .and_then(|links| links)
        .map_err(|error| Error::not_found(format!("no network namespace: {error}")))?;
    Ok(links.into_iter().map(|link| link.name).collect())
}
