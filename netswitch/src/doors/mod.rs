//! Other people's protocols, spelled as requests to the agent.

mod asker;
mod call;
pub mod engine;
pub mod http;
mod reply;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::api::{Error, MonitorFilter, Request, Response};

/// Whoever answers requests: the agent, or a stub in a test.
pub trait Agent: Clone + Send + Sync + 'static {
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;

    /// What happens from now on, as lines, until one of the two lets go.
    fn monitor(&self, filter: MonitorFilter) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, Error>> + Send;
}
