//! Containers' questions about names: the directory knows the switch's own, the rest is asked upstream.
//!
//! Sockets of each network's own listen at its gateways, on a port that the data path leads port 53 to.
//! Reading takes what the agent's thread last published and waits for nobody.

mod answer;
mod forward;
mod limits;
mod listeners;
mod loopback;
mod server;
mod upstream;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use netswitch_common::host;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::core::Core;
use crate::model::{
    directory::{Directory, Touched},
    state::State,
};
use answer::Answerer;
use forward::Forwarder;
use listeners::Listeners;
use server::Server;

/// The servers of names as the agent's thread has them.
pub struct Names {
    directory: watch::Sender<Arc<Directory>>,
    listeners: Listeners,
    cookies: loopback::Cookies,
}

impl Core {
    /// Answers from now on, and follows the host's `resolv_conf`.
    pub fn start_names(&mut self, runtime: &Handle, resolv_conf: &Path) -> Result<()> {
        let (directory, published) = watch::channel(Arc::new(Directory::new(&self.state)));
        let upstream = upstream::follow(resolv_conf, runtime).context("following resolv.conf")?;
        let server = Server::new(Answerer::new(published, Forwarder::new(upstream)));
        // the last agent's, if nobody has taken it since: questions on their way still find an answer
        let port = self.datapath.tables().config()?.names_port;
        let listeners = Listeners::new(runtime.clone(), server, port);
        self.names = Some(Names {
            directory,
            listeners,
            cookies: loopback::Cookies::new(),
        });
        self.listen_for_names();
        self.lead_loopback_of_all();
        Ok(())
    }

    /// Networks and their gateways may have changed, and with them where to listen.
    pub fn listen_for_names(&mut self) {
        let Some(names) = &mut self.names else { return };
        names.listeners.follow(&self.state);
        let names_port = names.listeners.port();
        let tables = self.datapath.tables();
        let set = tables.config().and_then(|config| {
            if config.names_port == names_port {
                return Ok(());
            }
            tables.set_config(&host::Config { names_port, ..config })
        });
        if let Err(error) = set {
            tracing::warn!(%error, "containers' questions about names do not reach the agent");
        }
    }
}

impl Names {
    /// What readers find from now on.
    pub fn publish(&self, after: &State, touched: &Touched) {
        let next = self.directory.borrow().next(after, touched);
        self.directory.send_replace(Arc::new(next));
    }
}
