//! The agent's thread: one request at a time, model -> plan -> execute -> store.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use netswitch_common::address::Mac;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot};

use super::backlog::Backlog;
use super::starts::Start;
use super::taken::Taken;
use super::{dns::Names, handle::Job, monitor::Monitor, observer::Observer, relay::Relay, wait::End};
use crate::action::Action;
use crate::api::{Directories, Error, HostOptions, Request, Response};
use crate::datapath::Datapath;
use crate::execute::{Executor, Indexes};
use crate::kernel::{Kernel, watch::Watch};
use crate::model::{Id, changes::Changes, directory::Touched, ipsec, policy::compile::Compiled, routing, state::State};
use crate::plan::{self, view::View};
use crate::store::Store;

/// How often what the programs logged is passed on.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How often what is over is freed, and what others may have changed unseen is looked at; nobody waits for it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Everything the agent has; owned by its thread.
pub struct Core {
    pub directories: Directories,
    /// This program, for shims.
    pub executable: PathBuf,
    pub state: State,
    pub store: Store,
    pub kernel: Box<dyn Kernel>,
    pub datapath: Datapath,
    pub host: HostOptions,
    /// The `IPsec` policies that the programs compare packets with, once they do.
    pub ipsec: Option<ipsec::Compiled>,
    /// IPv6's rules that the programs go through, once they do.
    pub routing: Option<routing::Compiled>,
    /// For the tasks that wait for a container's end.
    pub jobs: mpsc::Sender<Job>,
    pub runtime: Handle,
    /// Who waits for containers hears of their ends.
    pub ended: broadcast::Sender<End>,
    /// By container.
    pub starts: HashMap<Id, Start>,
    pub taken: Taken,
    /// Which MAC an address of a network had last: when another takes it, the members are told.
    pub last_macs: HashMap<(Id, IpAddr), Mac>,
    /// Keeps the netlink watch alive.
    pub watch: Option<Watch>,
    /// As the maps hold it.
    pub policy: Compiled,
    /// Where the socket hooks are.
    pub relay: Option<Relay>,
    pub monitor: Monitor,
    /// Hears of changes once it is there.
    pub observer: Option<Observer>,
    /// From when questions are answered.
    pub names: Option<Names>,
    /// The host's `resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Core {
    /// Works until it is told to stop.
    pub fn work(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut swept = Instant::now();
        let mut stops = Vec::new();
        let mut backlog = Backlog::default();
        loop {
            self.datapath.flush_log();
            if swept.elapsed() >= SWEEP_INTERVAL {
                self.sweep_leashes();
                self.refresh_host_protocols();
                self.listen_for_host();
                swept = Instant::now();
            }
            let until_sweep = SWEEP_INTERVAL.saturating_sub(swept.elapsed());
            let pause = if self.datapath.is_logging() {
                until_sweep.min(LOG_INTERVAL)
            } else {
                until_sweep
            };
            let job = match backlog.next(jobs, pause) {
                Ok(job) => job,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let Some(job) = self.put_off(job) else { continue };
            match job {
                Job::Ask(request, reply) => self.ask(*request, reply),
                Job::Start(id, stage) => self.go_on(id, stage),
                Job::Do(work) => work(&mut self),
                Job::Listen(filter, reply) => {
                    let _ = reply.send(self.listen(filter));
                }
                Job::Signal {
                    container,
                    signal,
                    reply,
                } => {
                    let _ = reply.send(self.signal(&container, signal));
                }
                Job::Exited {
                    container,
                    pid,
                    exit_code,
                } => self.exited(&container, pid, exit_code),
                Job::Kernel(event) => self.kernel_changed(*event),
                Job::ServersChanged => self.rewrite_resolv_confs(),
                Job::Stop(reply) => {
                    self.refuse_what_waits();
                    stops.push(reply);
                }
            }
            // what is being started has to be known before nobody knows it any more
            if !stops.is_empty() && self.starts.is_empty() {
                self.leave_names();
                for reply in stops {
                    let _ = reply.send(());
                }
                return;
            }
        }
    }

    fn ask(&mut self, request: Request, reply: oneshot::Sender<Result<Response, Error>>) {
        match request {
            Request::ContainerStart {
                container,
                wait_for_attach,
            } => self.container_start(&container, wait_for_attach, reply),
            request => drop(reply.send(self.answer(request))),
        }
    }

    fn answer(&mut self, request: Request) -> Result<Response, Error> {
        match request {
            Request::NetworkCreate(create) => self.network_create(&create),
            Request::NetworkList { filters } => self.network_list(&filters),
            Request::NetworkInspect { network } => self.network_inspect(&network),
            Request::NetworkConnect {
                network,
                container,
                settings,
            } => self.network_connect(&network, &container, &settings),
            Request::NetworkDisconnect {
                network,
                container,
                force,
            } => self.network_disconnect(&network, &container, force),
            Request::NetworkRemove { network } => self.network_remove(&network),
            Request::NetworkPrune { filters } => self.network_prune(&filters),
            Request::ContainerCreate(create) => self.container_create(&create),
            Request::ContainerRemove { container, force } => self.container_remove(&container, force),
            Request::ContainerUpdate { container, limits } => self.container_update(&container, limits),
            Request::ContainerList { all, filters } => self.container_list(all, &filters),
            Request::ContainerInspect { container } => self.container_inspect(&container),
            Request::ContainerExec { container } => self.container_exec(&container),
            Request::ContainerLogs { container } => self.container_logs(&container),
            Request::ContainerNamespace { container } => self.container_namespace(&container),
            Request::Attach(attach) => self.attach(&attach),
            Request::Detach { container } => self.detach(&container),
            Request::Publish { container, specs } => self.publish(&container, &specs),
            Request::Unpublish { container, specs } => self.unpublish(&container, &specs),
            Request::ContainerPorts { container } => self.container_ports(&container),
            Request::PolicyAdd(rule) => self.policy_add(&rule),
            Request::PolicyDefault(default) => self.policy_default(&default),
            Request::PolicyList => Ok(self.policy_list()),
            Request::PolicyRemove { rules } => self.policy_remove(&rules),
            Request::PolicyApply(file) => self.policy_apply(&file),
            Request::Why(question) => self.why(&question),
            Request::Version => Ok(self.version()),
            // the handle answers these: they wait, or read more than this thread has time for
            Request::ContainerStop { .. }
            | Request::ContainerWait { .. }
            | Request::Monitor(_)
            | Request::PolicyPlan(_)
            | Request::Flows(_)
            | Request::Stats { .. }
            | Request::ContainerStart { .. }
            | Request::Doctor => Err(Error::internal("this request must come through the handle")),
        }
    }

    /// Makes `changes` true in the kernel, the maps and the store, or leaves all of them as they were.
    pub fn build(&mut self, mut changes: Changes) -> Result<(), Error> {
        if changes.is_leashed() {
            self.wake_policy(&mut changes)?;
        }
        let mark = self.policy.mark();
        if let Err(error) = self.try_build(&mut changes) {
            self.policy.rewind(mark);
            return Err(error);
        }
        self.announce(&changes);
        self.apply(&changes);
        Ok(())
    }

    fn try_build(&mut self, changes: &mut Changes) -> Result<(), Error> {
        let view = View {
            before: &self.state,
            changes,
        };
        // nobody sends before the policy knows who it is
        let mut actions = plan::policy::admit(&view, &mut self.policy)?;
        actions.extend(plan::plan(&self.directories.state, &self.state, changes));
        actions.extend(self.receive_by_napi(&view, view.added_endpoints()));
        actions.extend(plan::policy::withdraw(&view, &self.policy));
        let done = Executor::new(&mut *self.kernel, &mut self.datapath)
            .all(actions)
            .map_err(internal)?;
        fill_indexes(changes, &done.indexes);
        if let Err(error) = self.store.save(changes) {
            let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(done.undo);
            for error in errors {
                tracing::warn!(%error, "undo failed");
            }
            return Err(internal(error));
        }
        Ok(())
    }

    /// Makes `changes` true as far as it goes: for what ends, nothing may stop the rest from ending.
    pub fn tear_down(&mut self, mut changes: Changes) -> Result<(), Error> {
        let mut actions = plan::plan(&self.directories.state, &self.state, &changes);
        let view = View {
            before: &self.state,
            changes: &changes,
        };
        actions.extend(plan::policy::withdraw(&view, &self.policy));
        let (indexes, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "a step of taking down failed");
        }
        fill_indexes(&mut changes, &indexes);
        self.forget_counters(&changes);
        let saved = self.store.save(&changes).map_err(internal);
        // it is gone, whatever the disk says: the next start will find it so
        self.apply(&changes);
        saved
    }

    fn apply(&mut self, changes: &Changes) {
        if let Some(relay) = &mut self.relay {
            relay.apply(&self.state, changes);
        }
        if changes.takes_back_ports(&self.state) {
            self.end_abandoned_sockets(changes);
        }
        let withdrawn = changes.withdraws_ports(&self.state);
        let moves_trust = changes.moves_trust(&self.state);
        let moved_ports = changes.moved_ports(&self.state);
        let touched = Touched::of(&self.state, changes);
        self.tell_ends(changes);
        self.state.apply(changes);
        self.taken.follow(changes);
        if let Some(observer) = &self.observer {
            observer.follow(&self.state, changes);
        }
        self.publish_names(&touched);
        self.relabel();
        self.lead_loopback(&touched.sandboxes);
        self.listen_for_names(changes.networks.keys());
        if !changes.networks.is_empty() {
            self.listen_for_host();
        }
        if moves_trust {
            self.refresh_host();
        }
        self.reserve_moved_ports(&moved_ports);
        if !changes.endpoints.is_empty() {
            self.share_flows();
        }
        if withdrawn {
            self.flows_look_again();
        }
    }

    /// What is gone is not counted any more: its number will be another's.
    fn forget_counters(&mut self, changes: &Changes) {
        let endpoints = changes.endpoints.iter().filter(|(_, after)| after.is_none());
        let endpoints = endpoints
            .filter_map(|(id, _)| self.state.endpoints.get(id))
            .map(|endpoint| endpoint.number);
        let networks = changes.networks.iter().filter(|(_, after)| after.is_none());
        let ports = networks
            .filter_map(|(id, _)| self.state.networks.get(id)?.bridge.as_ref())
            .map(|bridge| bridge.host_port);
        for number in endpoints.chain(ports) {
            if let Err(error) = self.datapath.tables().forget_endpoint(number) {
                tracing::warn!(%error, number, "counters of an endpoint stay");
            }
        }
    }

    /// Tells the members of addresses that come back with another MAC: a cache may hold the old one. A
    /// courtesy: nothing fails with it.
    fn announce(&mut self, changes: &Changes) {
        let actions = self.announcements(changes);
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "not announced");
        }
        self.remember_macs(changes);
    }

    fn announcements(&self, changes: &Changes) -> Vec<Action> {
        let view = View {
            before: &self.state,
            changes,
        };
        let mut actions = Vec::new();
        for endpoint in view.added_endpoints() {
            let Some((network, _)) = view.bridge(&endpoint.network) else {
                continue;
            };
            let addresses: Vec<IpAddr> = plan::entries::addresses_of(endpoint, network)
                .into_iter()
                .filter(|address| {
                    let last = self.last_macs.get(&(network.id.clone(), *address));
                    last.is_some_and(|last| *last != endpoint.mac)
                })
                .collect();
            if !addresses.is_empty() {
                actions.push(Action::Announce {
                    namespace: view.namespace(&endpoint.sandbox),
                    interface: endpoint.interface.clone(),
                    mac: endpoint.mac,
                    addresses,
                });
            }
        }
        actions
    }

    pub fn remember_macs(&mut self, changes: &Changes) {
        for endpoint in changes.endpoints.values().flatten() {
            for address in endpoint.v4.into_iter().chain(endpoint.v6) {
                self.last_macs
                    .insert((endpoint.network.clone(), address.ip()), endpoint.mac);
            }
        }
        for (id, _) in changes.networks.iter().filter(|(_, after)| after.is_none()) {
            self.last_macs.retain(|(network, _), _| network != id);
        }
    }
}

/// Writes the indexes of new devices into the records that will be saved.
pub fn fill_indexes(changes: &mut Changes, indexes: &Indexes) {
    for bridge in changes
        .networks
        .values_mut()
        .flatten()
        .filter_map(|network| network.bridge.as_mut())
    {
        bridge.host_end_index = indexes.get(&bridge.host_end).copied().or(bridge.host_end_index);
        bridge.switch_end_index = indexes.get(&bridge.switch_end).copied().or(bridge.switch_end_index);
    }
    for endpoint in changes.endpoints.values_mut().flatten() {
        endpoint.index = indexes.get(&endpoint.host_device).copied().or(endpoint.index);
    }
}

/// An error that is not the user's.
pub fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}
