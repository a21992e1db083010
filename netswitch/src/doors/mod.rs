//! Other people's protocols, spelled as requests to the agent.

pub mod engine;
pub mod http;

use crate::api::{Error, Request, Response};

/// Whoever answers requests: the agent, or a stub in a test.
pub trait Agent: Clone + Send + Sync + 'static {
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;
}
