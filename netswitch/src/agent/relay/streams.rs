//! TCP: each connection is taken, and made again to the container.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use netswitch_common::host::SOCKET_MARK;
use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::sessions_max;
use crate::model::publish::{Protocol, resolve::Resolver};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After accepting failed, which it does for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Streams {
    leads: watch::Receiver<Resolver>,
    /// Connections at once; others wait in the backlog.
    sessions: Arc<Semaphore>,
}

impl Streams {
    pub(super) fn new(leads: &watch::Receiver<Resolver>) -> Self {
        Self {
            leads: leads.clone(),
            sessions: Arc::new(Semaphore::new(sessions_max())),
        }
    }

    /// Takes connections until the agent ends.
    pub(super) fn serve(&self, socket: OwnedFd) -> io::Result<()> {
        listen(&socket, Backlog::MAXCONN)?;
        let listener = TcpListener::from_std(socket.into())?;
        tokio::spawn(accept(listener, self.leads.clone(), self.sessions.clone()));
        Ok(())
    }
}

async fn accept(listener: TcpListener, leads: watch::Receiver<Resolver>, sessions: Arc<Semaphore>) {
    while let Ok(permit) = sessions.clone().acquire_owned().await {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "a connection to a published port is not relayed");
                sleep(PAUSE).await;
                continue;
            }
        };
        let leads = leads.clone();
        tokio::spawn(async move {
            if let Err(error) = pass_on(client, leads).await {
                tracing::debug!(%error, "relayed connection");
            }
            drop(permit);
        });
    }
}

/// Until both sides have ended, or the port is not published to that container any more.
async fn pass_on(mut client: TcpStream, mut leads: watch::Receiver<Resolver>) -> io::Result<()> {
    // the data path left the socket the address that was dialled
    let dialled = client.local_addr()?;
    let lead = |resolver: &Resolver| resolver.resolve(Protocol::Tcp, dialled);
    let target = lead(&leads.borrow());
    let server = match target {
        Some(target) => timeout(CONNECT_TIMEOUT, connect(target)).await.map_err(io::Error::from),
        None => return reset(&client),
    };
    let mut server = match server.flatten() {
        Ok(server) => server,
        Err(error) => {
            reset(&client)?;
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    tokio::select! {
        result = copy_bidirectional(&mut client, &mut server) => result.map(|_| ()),
        _ = leads.wait_for(|resolver| lead(resolver) != target) => reset(&client),
    }
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    setsockopt(&socket, sockopt::Mark, &SOCKET_MARK)?;
    socket.set_nodelay(true)?;
    socket.connect(target).await
}

/// Closing will tell the client that nothing serves it, not that all was said.
fn reset(client: &TcpStream) -> io::Result<()> {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    Ok(setsockopt(client, sockopt::Linger, &at_once)?)
}
