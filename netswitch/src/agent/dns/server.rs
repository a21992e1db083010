//! Questions in, answers out: streams, with a length before each message; `datagrams` has the others.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::answer::{Answerer, Outcome};
use super::limits::{Client, Limits};
use super::line::Transport;
use crate::agent::relay::descriptors;
use crate::model::Id;

/// Longer questions do not occur: a name has 255 bytes, and options a few more.
const QUESTION_MAX: usize = 4096;
/// Questions that wait for an answer from upstream.
const QUESTIONS_PER_CLIENT: usize = 6144;
const QUESTIONS_PER_NETWORK: usize = 8192;
const QUESTIONS_MAX: usize = 32_768;
const STREAMS_PER_CLIENT: usize = 16;
const STREAMS_PER_NETWORK: usize = 256;
const STREAMS_MAX: usize = 512;
/// How long a client may take for a question, to begin one, and to take an answer.
const STREAM_IDLE: Duration = Duration::from_secs(10);
/// After receiving failed, which it does for want of descriptors or memory.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Server {
    pub(super) answerer: Arc<Answerer>,
    pub(super) questions: Arc<Limits>,
    streams: Arc<Limits>,
}

impl Server {
    pub fn new(answerer: Answerer) -> Self {
        Self {
            answerer: Arc::new(answerer),
            questions: Limits::new(QUESTIONS_PER_CLIENT, QUESTIONS_PER_NETWORK, QUESTIONS_MAX),
            streams: Limits::new(
                STREAMS_PER_CLIENT,
                STREAMS_PER_NETWORK,
                STREAMS_MAX.min(descriptors() / 8),
            ),
        }
    }

    /// Takes connections on a network's socket, or on the host's own.
    pub fn streams(&self, network: Option<Arc<Id>>, socket: OwnedFd) -> io::Result<impl Future<Output = ()> + use<>> {
        let listener = TcpListener::from_std(socket.into())?;
        let server = self.clone();
        Ok(async move {
            loop {
                let Ok((stream, from)) = listener.accept().await else {
                    sleep(PAUSE).await;
                    continue;
                };
                let client = Client {
                    network: network.clone(),
                    address: from.ip(),
                };
                // who has too many loses the new one
                if let Some(admission) = server.streams.admit(&client) {
                    let server = server.clone();
                    tokio::spawn(async move {
                        if let Err(error) = server.stream(stream, &client).await {
                            tracing::trace!(%error, "a stream of questions");
                        }
                        drop(admission);
                    });
                }
            }
        })
    }

    /// One question after the other, until the client ends it or has nothing to say for too long.
    async fn stream(&self, mut stream: TcpStream, client: &Client) -> io::Result<()> {
        let mut question = Vec::new();
        loop {
            timeout(STREAM_IDLE, read(&mut stream, &mut question)).await??;
            let answer = match self.answerer.answer(client, &question) {
                Outcome::Ignored => return Ok(()),
                Outcome::Answered(answer) => answer,
                Outcome::Unknown(unknown) => match self.questions.admit(client) {
                    None => unknown.failed(),
                    Some(_admission) => self.answerer.ask(unknown, Transport::Stream).await,
                },
            };
            timeout(STREAM_IDLE, stream.write_all(&answer.stream())).await??;
        }
    }
}

async fn read(stream: &mut TcpStream, question: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUESTION_MAX {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    question.resize(length, 0);
    stream.read_exact(question).await.map(drop)
}
