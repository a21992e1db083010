//! A socket that leads to a name server, and the questions under way on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::AbortHandle;

use crate::model::message::{Question, Verdict, answer};

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Datagrams,
    Stream,
}

/// An answer, and what follows from it.
pub type Answered = (Verdict, Vec<u8>);

/// Ends when dropped.
pub struct Line {
    sender: Sender,
    under_way: Arc<UnderWay>,
    reader: AbortHandle,
}

enum Sender {
    Datagrams(Arc<UdpSocket>),
    Stream(AsyncMutex<OwnedWriteHalf>),
}

/// Questions that wait for their answer, by id; `Err`: none will come any more.
#[derive(Default)]
struct UnderWay(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    questions: HashMap<u16, (Question, oneshot::Sender<Answered>)>,
    is_over: bool,
}

/// One of them; it waits no longer when this is dropped.
struct Place<'a> {
    under_way: &'a UnderWay,
    id: u16,
}

impl Line {
    /// To a server's address. The kernel chooses our port anew, and lets through what comes from there alone.
    pub async fn open(server: SocketAddr, transport: Transport) -> io::Result<Self> {
        let under_way = Arc::new(UnderWay::default());
        let heard = under_way.clone();
        let (sender, reader) = match transport {
            Transport::Datagrams => {
                let own: SocketAddr = match server {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = Arc::new(UdpSocket::bind(own).await?);
                socket.connect(server).await?;
                let sender = Sender::Datagrams(socket.clone());
                (sender, tokio::spawn(async move { heard.datagrams(&socket).await }))
            }
            Transport::Stream => {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                let (reads, writes) = stream.into_split();
                let sender = Sender::Stream(AsyncMutex::new(writes));
                (sender, tokio::spawn(async move { heard.stream(reads).await }))
            }
        };
        Ok(Self {
            sender,
            under_way,
            reader: reader.abort_handle(),
        })
    }

    /// No more can be asked here.
    pub fn is_over(&self) -> bool {
        self.under_way.lock().is_over
    }

    /// Waits until the server answers, or until it is clear that it does not.
    pub async fn ask(&self, question: &Question) -> io::Result<Answered> {
        let (tell, told) = oneshot::channel();
        let place = self.under_way.add(question, tell)?;
        let bytes = question.with_id(place.id);
        match &self.sender {
            Sender::Datagrams(socket) => drop(socket.send(&bytes).await?),
            Sender::Stream(writes) => {
                let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
                let framed = [&length.to_be_bytes()[..], &bytes].concat();
                // a message that is cut short would spoil the others': then the line is over
                let mut writes = writes.lock().await;
                if let Err(error) = writes.write_all(&framed).await {
                    self.under_way.end();
                    return Err(error);
                }
            }
        }
        told.await.map_err(|_| ErrorKind::ConnectionRefused.into())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under an id that no other one has here, and that nobody can guess.
    fn add(&self, question: &Question, tell: oneshot::Sender<Answered>) -> io::Result<Place<'_>> {
        let mut waiting = self.lock();
        // half of all ids, so that a free one is found soon
        if waiting.is_over || waiting.questions.len() > usize::from(u16::MAX / 2) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        loop {
            let id = rand::random();
            if let Entry::Vacant(place) = waiting.questions.entry(id) {
                place.insert((question.clone(), tell));
                return Ok(Place { under_way: self, id });
            }
        }
    }

    /// Whatever answers none of the questions is passed over, as if it had not come.
    fn hear(&self, message: &[u8]) {
        let Some(id) = message.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
            return;
        };
        let mut waiting = self.lock();
        let verdict = |(question, _): &(Question, _)| answer::judge(question, id, message);
        if let Some(verdict) = waiting.questions.get(&id).and_then(verdict)
            && let Some((_, tell)) = waiting.questions.remove(&id)
        {
            // who has asked may have given up
            drop(tell.send((verdict, message.to_vec())));
        }
    }

    /// Whoever waits hears that nothing comes.
    fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_over = true;
        waiting.questions.clear();
    }

    async fn datagrams(&self, socket: &UdpSocket) {
        let mut message = vec![0; usize::from(u16::MAX)];
        while let Ok(length) = socket.recv(&mut message).await {
            self.hear(&message[..length]);
        }
        // nobody listens there, or there is no way
        self.end();
    }

    async fn stream(&self, mut reads: OwnedReadHalf) {
        let mut message = Vec::new();
        while let Ok(length) = reads.read_u16().await {
            message.resize(length.into(), 0);
            if reads.read_exact(&mut message).await.is_err() {
                break;
            }
            self.hear(&message);
        }
        self.end();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.under_way.lock().questions.remove(&self.id);
    }
}
