//! Questions as datagrams: what waits at a network's socket is taken in turns, and answered at once where it
//! can be.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::answer::{Answer, DATAGRAM_MAX, Outcome};
use super::limits::Client;
use super::line::Transport;
use super::server::{PAUSE, Server};
use crate::model::Id;

/// How many are taken at a time; then other sockets have their turn.
const TURN: usize = 32;
/// How many of these may be one client's while the socket overflows. The others are lost: taking them costs
/// much less than answering them, so that there is room sooner for what others ask.
const SHARE: usize = 4;
/// Nobody asks more than may be answered; what is longer is cut, and so unreadable.
const QUESTION_MAX: usize = DATAGRAM_MAX as usize;

thread_local! {
    /// Room for the questions of one turn, which waits for nothing.
    static ROOM: RefCell<Vec<[u8; QUESTION_MAX]>> = RefCell::new(vec![[0; QUESTION_MAX]; TURN]);
}

/// A network's socket, or the host's own.
struct Queue {
    network: Option<Arc<Id>>,
    socket: Arc<UdpSocket>,
    /// What the kernel has lost of it so far because it was full.
    lost: u32,
    /// It was full, and has not been empty since.
    is_crowded: bool,
}

/// A question that was taken.
struct Taken {
    length: usize,
    from: SocketAddr,
    /// As for the queue, when this one came.
    lost: u32,
}

impl Server {
    /// Answers what arrives on a network's socket, or on the host's own.
    pub fn datagrams(&self, network: Option<Arc<Id>>, socket: OwnedFd) -> io::Result<impl Future<Output = ()> + use<>> {
        let mut queue = Queue {
            network,
            socket: Arc::new(UdpSocket::from_std(socket.into())?),
            lost: 0,
            is_crowded: false,
        };
        let server = self.clone();
        Ok(async move {
            loop {
                match server.turn(&mut queue).await {
                    Ok(TURN) => yield_now().await,
                    Ok(_) => {}
                    Err(_) => sleep(PAUSE).await,
                }
            }
        })
    }

    /// How many were taken.
    async fn turn(&self, queue: &mut Queue) -> io::Result<usize> {
        queue.socket.readable().await?;
        ROOM.with_borrow_mut(|room| self.answer_waiting(queue, room))
    }

    fn answer_waiting(&self, queue: &mut Queue, room: &mut [[u8; QUESTION_MAX]]) -> io::Result<usize> {
        let taken = queue.take(room)?;
        for (index, (question, one)) in room.iter().zip(&taken).enumerate() {
            let before = || taken[..index].iter().filter(|other| other.from.ip() == one.from.ip());
            if queue.is_crowded && before().count() >= SHARE {
                continue;
            }
            if let Some(answer) = self.datagram(queue, one.from, &question[..one.length]) {
                // as with any datagram, one that cannot be sent is lost
                drop(queue.socket.try_send_to(&answer.datagram(), one.from));
            }
        }
        Ok(taken.len())
    }

    /// The answer, unless there is none or others are asked for it.
    fn datagram(&self, queue: &Queue, from: SocketAddr, question: &[u8]) -> Option<Answer> {
        let client = Client {
            network: queue.network.clone(),
            address: from.ip(),
        };
        let unknown = match self.answerer.answer(&client, question) {
            Outcome::Ignored => return None,
            Outcome::Answered(answer) => return Some(answer),
            Outcome::Unknown(unknown) => unknown,
        };
        // too many are lost, as in any queue that is full: the client asks again
        let admission = self.questions.admit(&client)?;
        let (answerer, socket) = (self.answerer.clone(), queue.socket.clone());
        tokio::spawn(async move {
            let answer = answerer.ask(unknown, Transport::Datagrams).await;
            drop(socket.send_to(&answer.datagram(), from).await);
            drop(admission);
        });
        None
    }
}

impl Queue {
    /// What waits, as much as there is room for.
    fn take(&mut self, room: &mut [[u8; QUESTION_MAX]]) -> io::Result<Vec<Taken>> {
        let mut taken = Vec::new();
        let received = self.socket.try_io(Interest::READABLE, || {
            taken = receive(&self.socket, room)?;
            // fewer than there is room for were all: the next one makes it readable again
            if taken.len() < room.len() {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match received {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if let Some(last) = taken.last() {
            let overflowed = std::mem::replace(&mut self.lost, last.lost) != last.lost;
            self.is_crowded = overflowed || self.is_crowded && taken.len() == room.len();
        }
        Ok(taken)
    }
}

fn receive(socket: &UdpSocket, room: &mut [[u8; QUESTION_MAX]]) -> io::Result<Vec<Taken>> {
    let mut headers = MultiHeaders::preallocate(room.len(), Some(cmsg_space!(u32)));
    let mut slices: Vec<_> = room.iter_mut().map(|question| [IoSliceMut::new(question)]).collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
    received.map(|message| taken(&message)).collect()
}

fn taken(message: &RecvMsg<SockaddrStorage>) -> io::Result<Taken> {
    let from = message.address.as_ref();
    let v4 = || Some(SocketAddr::V4((*from?.as_sockaddr_in()?).into()));
    let v6 = || Some(SocketAddr::V6((*from?.as_sockaddr_in6()?).into()));
    let lost = message.cmsgs()?.find_map(|said| match said {
        ControlMessageOwned::RxqOvfl(lost) => Some(lost),
        _ => None,
    });
    Ok(Taken {
        length: message.bytes,
        from: v4().or_else(v6).ok_or(ErrorKind::InvalidData)?,
        lost: lost.unwrap_or(0), // the kernel says so only once there are any
    })
}
