//! From what is on disk and in the kernel to a running agent thread: store -> kernel -> maps ->
//! reconcile -> thread.

use std::collections::{BTreeMap, HashMap};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tracing::{Level, level_filters::LevelFilter};

use super::core::Core;
use super::doctor::Examination;
use super::handle::{AgentHandle, Job};
use super::monitor::Monitor;
use super::observer::Observer;
use super::taken::Taken;
use crate::api::{AgentOptions, Directories};
use crate::datapath::{self, Datapath, Hook};
use crate::execute::Executor;
use crate::kernel::{netlink::Netlink, watch};
use crate::model::{
    changes::Changes,
    network::{Network, predefined},
    policy::compile::Compiled,
};
use crate::plan::view::View;
use crate::reconcile::{self, Links, Snapshot};
use crate::store::Store;

/// Where the hierarchy of version 2 is mounted: alone, or beside version 1.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

fn is_cgroup2(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}

/// Opens everything, makes store and kernel agree, and starts the agent's thread in the network
/// namespace of the calling thread; the relay's tasks are the runtime's.
pub fn start(options: &AgentOptions, directories: &Directories, runtime: &Handle) -> Result<AgentHandle> {
    let path = directories.state.join("state.redb");
    let store = Store::open(&path)?;
    // the folder lets the group pass to its logs
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).context("mode of the store")?;
    let state = store.load()?;
    let kernel = Netlink::open().context("netlink")?;
    let mut datapath = Datapath::open(&datapath::Options {
        bpffs: directories.bpffs.clone(),
        abi_version: options.abi_version.unwrap_or(netswitch_common::ABI_VERSION),
        log_level: log_level(options.log_level),
    })?;
    let monitor = Monitor::new(datapath.take_events()?, runtime);
    let (jobs, queue) = mpsc::channel();
    let (ended, _) = broadcast::channel(1024);
    let taken = Taken::of(&state);
    let mut core = Core {
        directories: directories.clone(),
        executable: std::env::current_exe().context("path of this program")?,
        state,
        store,
        kernel: Box::new(kernel),
        datapath,
        host: options.host.clone(),
        ipsec: None,
        routing: None,
        jobs: jobs.clone(),
        runtime: runtime.clone(),
        ended: ended.clone(),
        taken,
        starts: HashMap::new(),
        last_macs: HashMap::new(),
        watch: None,
        policy: Compiled::default(),
        relay: None,
        monitor: monitor.clone(),
        observer: None,
        names: None,
        resolv_conf: options.resolv_conf.clone(),
    };
    core.bury_the_dead();
    core.follow_gateways();
    core.restore_policy().context("policy")?;
    core.reconcile()?;
    core.remember_all_macs();
    core.make_predefined(options)?;
    core.reserve_ports();
    core.configure_host()?;
    core.attach_sockets(options, runtime)?;
    let changes = jobs.clone();
    let tell = move || drop(changes.send(Job::ServersChanged));
    core.start_names(&options.resolv_conf, tell).context("names")?;
    core.watch_containers();
    let events = jobs.clone();
    core.watch = Some(watch::watch(move |event| {
        events.send(Job::Kernel(Box::new(event))).is_ok()
    })?);
    let observer = Observer::start(&core.state, &core.datapath, monitor.clone()).context("observer")?;
    core.observer = Some(observer.clone());
    runtime.spawn(warn_of_firewall(observer.clone(), core.examine()));
    std::thread::Builder::new()
        .name("agent".into())
        .spawn(move || core.work(&queue))?;
    Ok(AgentHandle::new(jobs, ended, monitor, observer))
}

/// Nothing waits for the programs that list the rules.
async fn warn_of_firewall(observer: Observer, examination: Examination) {
    let Ok(examined) = observer.examine(examination).await else {
        return;
    };
    let found = examined.firewall().await;
    if !found.ok {
        tracing::warn!("{}", found.message);
    }
}

impl Core {
    /// The hooks of the host's own sockets, and the relay for what they cannot lead.
    fn attach_sockets(&mut self, options: &AgentOptions, runtime: &Handle) -> Result<()> {
        let usual = CGROUPS.into_iter().map(Path::new).find(|path| is_cgroup2(path));
        let Some(cgroup) = options.cgroup.as_deref().or(usual) else {
            tracing::warn!("no cgroup of version 2 is mounted: the host itself does not reach published ports");
            return Ok(());
        };
        self.datapath.attach_sockets(cgroup).context("socket hooks")?;
        self.start_relay(runtime).context("relay")
    }

    /// The store against the kernel: adopts, repairs, removes.
    pub fn reconcile(&mut self) -> Result<()> {
        let links = reconcile::by_name(self.kernel.links()?);
        for network in reconcile::usurped(&self.directories.state, &self.state, &links) {
            tracing::warn!(
                network = network.name,
                "its device's name is another's now: it stays down"
            );
        }
        self.note_indexes(&links)?;
        let snapshot = self.snapshot()?;
        let mut actions = reconcile::plan(&self.directories.state, &self.state, &snapshot);
        let view = View {
            before: &self.state,
            changes: &Changes::default(),
        };
        actions.extend(self.receive_by_napi(&view, self.state.endpoints.values()));
        if actions.is_empty() {
            return Ok(());
        }
        tracing::info!(steps = actions.len(), "reconciling");
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "a step of reconciling failed");
        }
        let links = reconcile::by_name(self.kernel.links()?);
        self.note_indexes(&links)?;
        self.listen_for_all_names();
        Ok(())
    }

    /// Records which index each of our devices has now.
    fn note_indexes(&mut self, links: &Links) -> Result<()> {
        let indexes = reconcile::indexes(&self.directories.state, &self.state, links);
        self.store.save(&indexes)?;
        self.state.apply(&indexes);
        Ok(())
    }

    /// Gateways that were renumbered while no agent looked.
    fn follow_gateways(&mut self) {
        let networks: Vec<Network> = self.state.networks.values().cloned().collect();
        for network in networks {
            self.follow_gateway(&network);
        }
    }

    /// What members may have cached.
    fn remember_all_macs(&mut self) {
        let endpoints = self
            .state
            .endpoints
            .iter()
            .map(|(id, endpoint)| (id.clone(), Some(endpoint.clone())));
        let all = Changes {
            endpoints: endpoints.collect(),
            ..Changes::default()
        };
        self.remember_macs(&all);
    }

    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let mut neighbours = BTreeMap::new();
        for bridge in self
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.as_ref())
        {
            if bridge.host_end_index.is_some() {
                neighbours.insert(bridge.host_end.clone(), self.kernel.neighbours(&bridge.host_end)?);
            }
        }
        Ok(Snapshot {
            links: reconcile::by_name(self.kernel.links()?),
            addresses: self.kernel.addresses()?.into_iter().collect(),
            neighbours,
            entries: self.datapath.tables().dump()?,
            attached: self.datapath.attached(Hook::Endpoint)?.into_iter().collect(),
        })
    }

    /// `bridge`, `host` and `none`, at the first start.
    fn make_predefined(&mut self, options: &AgentOptions) -> Result<()> {
        let mut facts = self.facts_of_host()?;
        let changes = predefined::predefined(&self.state, &mut facts, options.bip)?;
        if !changes.networks.is_empty() {
            self.build(changes)?;
        }
        Ok(())
    }
}

/// aya-log's numbers: 0 is off, 1 error … 5 trace.
fn log_level(level: LevelFilter) -> u8 {
    level.into_level().map_or(0, |level| match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    })
}
