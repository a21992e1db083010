//! Asks a running agent: one request, one answer, over its unix socket.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::api;

/// Path of netswitch's own door on the API's socket.
pub const REQUEST_PATH: &str = "/netswitch/v1/request";

/// Blocking, for the command line and for tests; a connection lasts one request.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("Cannot connect to the netswitch agent at unix://{}. Is the agent running?", .0.display())]
    Unreachable(PathBuf),
    #[error("permission denied while trying to connect to the netswitch agent at unix://{}", .0.display())]
    Forbidden(PathBuf),
    /// The agent's own answer.
    #[error("Error response from daemon: {}", .0.message.trim())]
    Agent(api::Error),
    /// Not what an agent says, or no longer there.
    #[error("error during connect: {0}")]
    Exchange(String),
}

impl Client {
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn ask(&self, request: &api::Request) -> Result<api::Response, ClientError> {
        let body = serde_json::to_vec(request).map_err(exchange)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(exchange)?;
        let (status, answer) = runtime.block_on(self.post(body.into()))?;
        if status == StatusCode::OK {
            serde_json::from_slice(&answer).map_err(exchange)
        } else {
            Err(ClientError::Agent(read_error(status, &answer)))
        }
    }

    /// Reads an answer that is a stream of lines, as they come, one or more at a time, until `each` has had enough or
    /// the agent ends it; `begin` is told once the agent has begun.
    pub fn follow(
        &self,
        request: &api::Request,
        begin: impl FnOnce(),
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(), ClientError> {
        let body = serde_json::to_vec(request).map_err(exchange)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(exchange)?;
        runtime.block_on(async {
            let response = self.send(body.into()).await?;
            let status = response.status();
            let mut answer = response.into_body();
            if status != StatusCode::OK {
                let answer = answer.collect().await.map_err(exchange)?.to_bytes();
                return Err(ClientError::Agent(read_error(status, &answer)));
            }
            begin();
            let mut read = Vec::new();
            while let Some(frame) = answer.frame().await {
                read.extend_from_slice(frame.map_err(exchange)?.data_ref().map_or(&[], |data| data));
                let whole = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
                if whole > 0 && !each(&String::from_utf8_lossy(&read[..whole])) {
                    return Ok(());
                }
                read.drain(..whole);
            }
            Ok(())
        })
    }

    async fn post(&self, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let response = self.send(body).await?;
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(exchange)?;
        Ok((status, answer.to_bytes()))
    }

    async fn send(&self, body: Bytes) -> Result<hyper::Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            if error.kind() == io::ErrorKind::PermissionDenied {
                ClientError::Forbidden(self.socket.clone())
            } else {
                ClientError::Unreachable(self.socket.clone())
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(exchange)?;
        // The connection ends with the runtime; what matters of its fate comes back through the sender.
        tokio::spawn(connection);
        let request = hyper::Request::post(REQUEST_PATH)
            .header(header::HOST, "netswitch")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(exchange)?;
        sender.send_request(request).await.map_err(exchange)
    }
}

fn exchange(error: impl std::fmt::Display) -> ClientError {
    ClientError::Exchange(error.to_string())
}

/// An [`api::Error`], or whatever says something like one.
fn read_error(status: StatusCode, answer: &[u8]) -> api::Error {
    serde_json::from_slice(answer).unwrap_or_else(|_| {
        let message = serde_json::from_slice::<Value>(answer)
            .ok()
            .and_then(|value| value.get("message").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(answer).trim().to_owned());
        api::Error::internal(if message.is_empty() {
            status.to_string()
        } else {
            message
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_agent_is_named_by_its_socket() {
        let error = Client::new("/nonexistent/api.sock")
            .ask(&api::Request::Version)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Cannot connect to the netswitch agent at unix:///nonexistent/api.sock. Is the agent running?"
        );
    }

    #[test]
    fn an_answer_of_somebody_else_still_has_its_message() {
        let error = read_error(StatusCode::NOT_FOUND, br#"{"message":"page not found"}"#);
        assert_eq!(error.message, "page not found");
        assert_eq!(read_error(StatusCode::BAD_GATEWAY, b"").message, "502 Bad Gateway");
    }
}
