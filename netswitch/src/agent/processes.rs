//! Containers' processes: what they are started with, signalled, buried; the files that they see.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::core::{Core, internal};
use super::handle::Job;
use crate::api::{Error, Response};
use crate::kernel::{self, Namespace};
use crate::model::{
    Id,
    container::{Container, Mode, Owner, Status, files, lifecycle},
    resolv_conf::ResolvConf,
    sandbox::Origin,
};
use crate::plan::view::namespace;
use crate::shim::{
    self,
    protocol::{self, Exec, Limits, NetworkNamespace, Spec},
};

impl Core {
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

    /// A container's process is gone, by itself or because we asked. Late news of an earlier run (another
    /// `pid`) ends nothing.
    pub fn exited(&mut self, id: &Id, pid: i32, exit_code: i32) {
        let Some(container) = self.state.containers.get(id) else {
            return;
        };
        if !matches!(&container.status, Status::Running { pid: running, .. } if *running == pid) {
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
    }

    /// Containers that ended while no agent looked, and shims that no container is known for: their
    /// agent died before it could say so.
    pub fn bury_the_dead(&mut self) {
        let running = self
            .state
            .containers
            .values()
            .filter(|container| container.is_running());
        let dead: Vec<(Id, i32, i32)> = running
            .filter_map(|container| {
                let Status::Running { pid, .. } = container.status else {
                    return None;
                };
                Some((container.id.clone(), pid, self.found_dead(container)?))
            })
            .collect();
        for (id, pid, exit_code) in dead {
            tracing::info!(container = id.short(), exit_code, "ended while the agent was away");
            self.exited(&id, pid, exit_code);
        }
        for entry in std::fs::read_dir(self.run_dirs()).into_iter().flatten().flatten() {
            let id = Id(entry.file_name().to_string_lossy().into_owned());
            if !self.state.containers.get(&id).is_some_and(Container::is_running) {
                shim::spawn::kill(&entry.path());
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Waits for the ends of all that runs.
    pub fn watch_containers(&self) {
        for container in self.state.containers.values() {
            if container.owner == Owner::Netswitch && matches!(container.status, Status::Running { .. }) {
                self.watch_container(&container.id);
            }
        }
    }

    pub fn watch_container(&self, id: &Id) {
        let (jobs, container, run_dir) = (self.jobs.clone(), id.clone(), self.run_dir(id));
        let Some(ready) = shim::spawn::ready(&run_dir) else {
            return;
        };
        self.runtime.spawn(async move {
            let pid = ready.pid;
            let exit_code = shim::spawn::exit_code(&run_dir, container.0.clone(), ready).await;
            // the agent may have stopped: the next one finds the exit code on disk
            let _ = jobs.send(Job::Exited {
                container,
                pid,
                exit_code,
            });
        });
    }

    /// The exit code of a container that the store believes to run, if it does not.
    fn found_dead(&self, container: &Container) -> Option<i32> {
        match container.owner {
            Owner::Netswitch => shim::spawn::found_dead(&self.run_dir(&container.id)),
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

    pub fn spec(&self, container: &Container) -> Result<Spec, Error> {
        let namespace = match &container.mode {
            Mode::Networks(_) | Mode::None => NetworkNamespace::New,
            Mode::Host => NetworkNamespace::Host,
            Mode::Container(other) => self.namespace_of(other)?,
        };
        let process = &container.process;
        let run_dir = self.run_dir(&container.id);
        let group = super::group();
        let state_dir = self.state_dir(&container.id);
        for folder in [&self.run_dirs(), state_dir.parent().unwrap_or(&state_dir)] {
            make_directory(folder, 0o711)?;
        }
        for folder in [&run_dir, &state_dir] {
            make_directory(folder, 0o700)?;
            if let Some(group) = group {
                // the shim's socket and the log; what else is there stays root's
                shim::open_to_group(folder, group, 0o710).map_err(internal)?;
            }
        }
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
            limits: Limits {
                memory: process.resources.memory,
                pids: process.resources.pids,
            },
            group,
        })
    }

    /// The sandbox that `--network container:X` joins.
    fn namespace_of(&self, container: &Id) -> Result<NetworkNamespace, Error> {
        let container = self.state.container(&container.0)?;
        let sandbox = container.sandbox.as_ref().and_then(|id| self.state.sandboxes.get(id));
        match sandbox.map(|sandbox| namespace(&sandbox.origin)) {
            Some(Namespace::Host) => Ok(NetworkNamespace::Host),
            Some(Namespace::Path(path)) => Ok(NetworkNamespace::Path(path)),
            Some(Namespace::Process { pid, start_time }) => Ok(NetworkNamespace::Process { pid, start_time }),
            None => Err(Error::conflict(format!(
                "cannot join network of a non running container: {}",
                container.id
            ))),
        }
    }

    /// `/etc/hosts` and the like: written before the process starts, in place afterwards, because
    /// the container has them mounted.
    pub fn write_files(&self, id: &Id, spec: &Spec) -> io::Result<()> {
        let file = |name: &str, text: String| std::fs::write(spec.run_dir.join(name), text);
        file(protocol::HOSTS, self.hosts(id))
            .and_then(|()| {
                let text = self.resolv_conf(id);
                file(protocol::RESOLV_CONF_WRITTEN, text.clone())?;
                file(protocol::RESOLV_CONF, text)
            })
            .and_then(|()| file(protocol::HOSTNAME, format!("{}\n", spec.hostname)))
    }

    /// After `network connect` and `disconnect`: the files of running containers in that sandbox change.
    pub fn write_files_of(&self, key: &str) {
        let Ok(Some(sandbox)) = self.state.container(key).map(|container| container.sandbox.as_ref()) else {
            return;
        };
        for container in self.state.containers_of_sandbox(sandbox) {
            if container.owner != Owner::Netswitch {
                continue;
            }
            let run_dir = self.run_dir(&container.id);
            let hosts = std::fs::write(run_dir.join(protocol::HOSTS), self.hosts(&container.id));
            if let Err(error) = hosts.and_then(|()| self.rewrite_resolv_conf(&container.id)) {
                tracing::warn!(%error, container = container.id.short(), "its files of names are out of date");
            }
        }
    }

    /// The host's name servers are others, and with them those behind the gateway.
    pub fn rewrite_resolv_confs(&self) {
        let ours = self
            .state
            .containers
            .values()
            .filter(|container| container.owner == Owner::Netswitch);
        for container in ours.filter(|container| container.is_running()) {
            if let Err(error) = self.rewrite_resolv_conf(&container.id) {
                tracing::warn!(%error, container = container.id.short(), "its resolv.conf is out of date");
            }
        }
    }

    /// In place, and only if nobody has written it since we did.
    fn rewrite_resolv_conf(&self, id: &Id) -> io::Result<()> {
        let run_dir = self.run_dir(id);
        let (path, written) = (
            run_dir.join(protocol::RESOLV_CONF),
            run_dir.join(protocol::RESOLV_CONF_WRITTEN),
        );
        let text = self.resolv_conf(id);
        let known = std::fs::read(&written)?;
        if known == text.as_bytes() || std::fs::read(&path)? != known {
            return Ok(());
        }
        std::fs::write(path, &text)?;
        std::fs::write(written, text)
    }

    /// Where the model has none, the host's own file serves.
    fn resolv_conf(&self, id: &Id) -> String {
        let host = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        let made = files::resolv_conf(&self.state, id, &ResolvConf::parse(&host));
        made.map_or(host, |made| made.to_string())
    }

    /// Where the model has none, the host's own file serves.
    fn hosts(&self, id: &Id) -> String {
        files::hosts(&self.state, id).unwrap_or_else(|| std::fs::read_to_string("/etc/hosts").unwrap_or_default())
    }

    pub fn shim_of(&self, container: &Container) -> Response {
        Response::Shim {
            socket: self.run_dir(&container.id).join(protocol::SOCKET),
            terminal: container.process.terminal,
        }
    }

    /// Lives as long as the process: files that are mounted into it, the shim's socket.
    pub fn run_dir(&self, id: &Id) -> PathBuf {
        self.run_dirs().join(&id.0)
    }

    fn run_dirs(&self) -> PathBuf {
        self.directories.run.join("containers")
    }

    /// Lives as long as the container: its log.
    pub fn state_dir(&self, id: &Id) -> PathBuf {
        self.directories.state.join("containers").join(&id.0)
    }

    pub fn log(&self, id: &Id) -> PathBuf {
        self.state_dir(id).join("log.json")
    }
}

/// Environments and files of containers are there.
fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(internal)
}
