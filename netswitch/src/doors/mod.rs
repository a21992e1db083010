//! Other people's protocols, spelled as requests to the agent.

mod asker;
mod call;
pub mod engine;
pub mod http;
mod reply;

use std::pin::Pin;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::api::{Error, MonitorFilter, Request, Response, WaitCondition};

/// The exit code of a container, once what was waited for holds.
pub type Ended = Pin<Box<dyn Future<Output = Result<i32, Error>> + Send>>;

/// Whoever answers requests: the agent, or a stub in a test.
pub trait Agent: Clone + Send + Sync + 'static {
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;

    /// From when this returns the container's end is heard of.
    fn wait(&self, container: String, condition: WaitCondition) -> impl Future<Output = Result<Ended, Error>> + Send;

    /// What happens from now on, as lines, until one of the two lets go.
    fn monitor(&self, filter: MonitorFilter) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, Error>> + Send;
}
