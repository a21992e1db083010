//! Who asks: each change is logged with the user who asked for it.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use bytes::Bytes;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::{Agent, Ended};
use crate::api::{Error, MonitorFilter, Request, Response, WaitCondition};

/// The process at the other end when it connected; `None`: the kernel did not say.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Asker {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let peer = stream.io().peer_cred().ok();
        Self {
            uid: peer.as_ref().map(tokio::net::unix::UCred::uid),
            pid: peer.and_then(|peer| peer.pid()),
        }
    }
}

/// An agent as one process asks it.
#[derive(Clone)]
pub struct Asked<A> {
    pub agent: A,
    pub asker: Asker,
}

impl<A: Agent> Agent for Asked<A> {
    async fn ask(&self, request: Request) -> Result<Response, Error> {
        if let Some((change, subject)) = request.change() {
            let Asker { uid, pid } = self.asker;
            tracing::info!(uid, pid, change, subject, "asked");
        }
        self.agent.ask(request).await
    }

    async fn wait(&self, container: String, condition: WaitCondition) -> Result<Ended, Error> {
        self.agent.wait(container, condition).await
    }

    async fn monitor(&self, filter: MonitorFilter) -> Result<mpsc::Receiver<Bytes>, Error> {
        self.agent.monitor(filter).await
    }
}
