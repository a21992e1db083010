//! Containers' questions about names: the directory knows the switch's own, the rest is asked upstream.
//!
//! Sockets of each network's own listen at its gateways, on a port that the data path leads port 53 to.
//! Reading takes what the agent's thread last published and waits for nobody.

pub mod answer;
mod datagrams;
pub mod forward;
mod host;
pub mod interim;
pub mod leash;
pub mod limits;
pub mod line;
mod lines;
mod listeners;
mod loopback;
mod name_server;
mod race;
mod resolv_conf;
mod server;
pub mod surroundings;
mod upstream;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use netswitch_common::host::Config;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use super::core::Core;
use crate::action::Action;
use crate::api::Error;
use crate::execute::Executor;
use crate::model::{
    Id,
    directory::{Directory, Touched},
    network::Network,
    state::State,
};
use crate::plan;
use answer::Answerer;
use forward::Forwarder;
use host::HostListener;
use leash::Teacher;
use listeners::Listeners;
use server::Server;
use surroundings::Surroundings;

/// The servers of names as the agent's thread has them.
pub struct Names {
    directory: watch::Sender<Arc<Directory>>,
    /// Whether the switch answers what it can.
    in_kernel: bool,
    /// The one before, and what it has missed.
    spare: Option<(Arc<Directory>, Touched)>,
    listeners: Listeners,
    host: HostListener,
    cookies: loopback::Cookies,
    surroundings: Surroundings,
}

impl Core {
    /// Answers from now on, and follows the host's `resolv_conf`; tells when that changes.
    pub fn start_names(&mut self, resolv_conf: &Path, tell: impl Fn() + Send + 'static) -> anyhow::Result<()> {
        let runtime = own_thread().context("a thread for names")?;
        let (directory, published) = watch::channel(Arc::new(Directory::new(&self.state)));
        let host_names = self.host.host_names;
        let surroundings = Surroundings::default();
        let upstream = resolv_conf::follow(resolv_conf, host_names, surroundings.clone(), tell);
        let upstream = upstream.context("following resolv.conf")?;
        let teacher = Teacher::new(self.datapath.tables().leashes());
        let server = Server::new(Answerer::new(
            published,
            Forwarder::new(upstream, surroundings.clone()),
            teacher,
        ));
        // the last agent's, if nobody has taken it since: questions on their way still find an answer
        let port = self.datapath.tables().config()?.names_port;
        let host = HostListener::new(runtime.clone(), server.clone(), host_names);
        let inherited = interim::take(&self.directories.run).unwrap_or_else(|error| {
            tracing::warn!(%error, "questions that the last agent has left are lost");
            Vec::new()
        });
        let listeners = Listeners::new(runtime, server, port, inherited);
        self.names = Some(Names {
            directory,
            in_kernel: self.host.kernel_names,
            spare: None,
            listeners,
            host,
            cookies: loopback::Cookies::new(),
            surroundings,
        });
        self.repair_names()?;
        self.listen_for_all_names();
        if let Some(names) = &mut self.names {
            names.listeners.forget_inherited();
        }
        self.listen_for_host();
        self.lead_loopback_of_all();
        Ok(())
    }

    /// At the end: questions that come from now on wait for the next agent.
    pub fn leave_names(&mut self) {
        let Some(names) = &mut self.names else { return };
        let sockets = names.listeners.leave();
        if let Err(error) = interim::leave(&self.directories.run, &sockets) {
            tracing::warn!(%error, "questions about names fail until the next agent");
        }
    }

    /// What the switch answers, as another agent may have left it.
    fn repair_names(&mut self) -> anyhow::Result<()> {
        let found = self.datapath.tables().name_entries()?;
        let Some(names) = &self.names else { return Ok(()) };
        let directory = names.directory.borrow().clone();
        self.answer_names(plan::names::repaired(&found, names.in_kernel.then_some(&*directory)));
        Ok(())
    }

    /// What questions find from now on, whoever answers them.
    pub fn publish_names(&mut self, touched: &Touched) {
        let Some(names) = &mut self.names else { return };
        let before = names.directory.borrow().clone();
        names.publish(&self.state, touched);
        if names.in_kernel {
            let actions = plan::names::changed(&before, &names.directory.borrow(), touched);
            self.answer_names(actions);
        }
    }

    fn answer_names(&mut self, actions: Vec<Action>) {
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "the switch answers for a name as before");
        }
    }

    /// The host's routes or links are others: so may be what answers say.
    pub fn forget_answers(&self) {
        if let Some(names) = &self.names {
            names.surroundings.have_changed();
        }
    }

    /// Before a network is made whose names the host is to have.
    pub fn open_host_names(&mut self) -> Result<(), Error> {
        let Some(Names { host, .. }) = &mut self.names else {
            return Ok(());
        };
        host.open().map_err(|error| host_names_failed(host.address(), &error))
    }

    /// Listens for the host as long as a network's names are the host's, too: what is in the way may go.
    pub fn listen_for_host(&mut self) {
        let Some(Names { host, .. }) = &mut self.names else {
            return;
        };
        if !self.state.networks.values().any(Network::has_host_names) {
            host.close();
        } else if let Err(error) = host.open() {
            tracing::warn!("{}", host_names_failed(host.address(), &error));
        }
    }

    pub fn listen_for_all_names(&mut self) {
        let networks: Vec<Id> = self.state.networks.keys().cloned().collect();
        self.listen_for_names(networks.iter());
    }

    /// These networks or their gateways may have changed, and with them where to listen.
    pub fn listen_for_names<'a>(&mut self, networks: impl Iterator<Item = &'a Id>) {
        let Some(names) = &mut self.names else { return };
        names.listeners.follow(&self.state, networks);
        let names_port = names.listeners.port();
        let tables = self.datapath.tables();
        let set = tables.config().and_then(|config| {
            if config.names_port == names_port {
                return Ok(());
            }
            tables.set_config(&Config { names_port, ..config })
        });
        if let Err(error) = set {
            tracing::warn!(%error, "containers' questions about names do not reach the agent");
        }
    }
}

/// In words for who asked for it.
fn host_names_failed(address: SocketAddr, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the host does not have that address".to_owned(),
        _ => error.to_string(),
    };
    let message = format!(
        "cannot answer the host's questions for names at {address}: {why}; netswitch agent --host-names chooses another"
    );
    Error::conflict(message)
}

/// Where all questions are answered: however many there are, no request to the agent waits for them.
fn own_thread() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("names".into())
        .spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}

impl Names {
    /// What readers find from now on. Two directories take turns: while one is read, the other, which no
    /// reader has any more, catches up.
    fn publish(&mut self, after: &State, touched: &Touched) {
        let free = self
            .spare
            .take()
            .and_then(|(spare, missed)| Some((Arc::into_inner(spare)?, missed)));
        let (mut next, mut missed) = free.unwrap_or_else(|| {
            let current = self.directory.borrow().as_ref().clone();
            (current, Touched::default())
        });
        missed.extend(touched);
        next.follow(after, &missed);
        let former = self.directory.send_replace(Arc::new(next));
        self.spare = Some((former, touched.clone()));
    }
}
