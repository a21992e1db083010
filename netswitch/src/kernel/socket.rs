//! A blocking rtnetlink socket. It stays in the namespace of the thread that opened it, so a thread
//! enters a namespace only to open one.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};
use rtnetlink::{
    MulticastGroup,
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
        NlasIterator,
    },
    sys::{self, protocols::NETLINK_ROUTE},
};

use super::Error;

/// Dumps come in datagrams of at most this many bytes: the kernel sizes them by the reader's buffer,
/// up to 32 KiB (`netlink_dump`).
const DATAGRAM_MAX: usize = 64 * 1024;
/// How often a dump is read again when the table changed meanwhile.
const DUMP_ATTEMPTS: usize = 5;
/// Bytes of news that wait to be read: many containers that start at once are no reason to look at everything anew.
const NEWS: usize = 8 << 20;
/// `struct nlmsghdr`.
const HEADER_LENGTH: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the kernel's own words.
const ERROR_TEXT: u16 = 1;

pub type Message = NetlinkMessage<RouteNetlinkMessage>;

pub struct Socket {
    inner: sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The kernel's "no", with its explanation where it gives one.
#[derive(Debug)]
pub struct Refusal {
    error: io::Error,
    text: Option<String>,
}

impl Refusal {
    pub fn is(&self, errno: Errno) -> bool {
        self.error.raw_os_error() == Some(errno as i32)
    }

    /// Names what was asked for.
    pub fn of(self, what: impl std::fmt::Display) -> Error {
        match self.text {
            Some(text) => Error::system(format!("{what} ({text})"), self.error),
            None => Error::system(what.to_string(), self.error),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, text: None }
    }
}

impl Socket {
    /// Opens one in the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = sys::Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&sys::SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self {
            inner: socket,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    /// Opens one that hears what happens to `groups`.
    pub fn listen(groups: &[MulticastGroup]) -> io::Result<Self> {
        let socket = Self::open()?;
        setsockopt(&socket, RcvBufForce, &NEWS)?;
        for group in groups {
            socket.inner.add_membership(*group as u32)?;
        }
        socket.inner.set_non_blocking(true)?;
        Ok(socket)
    }

    /// Asks for a change (`flags`: `NLM_F_CREATE`, …) or for one object and waits for the answer.
    pub fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        Ok(self.exchange(message, NLM_F_ACK | flags)?.0)
    }

    /// Reads a table; again if it changed while being read.
    pub fn dump(&mut self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        let mut attempt = 1;
        loop {
            let (answers, interrupted) = self.exchange(message.clone(), NLM_F_DUMP)?;
            if !interrupted || attempt == DUMP_ATTEMPTS {
                return Ok(answers);
            }
            attempt += 1;
        }
    }

    /// One datagram's messages.
    pub fn receive(&mut self) -> io::Result<Vec<Message>> {
        self.buffer.clear();
        let length = self.inner.recv(&mut self.buffer, libc::MSG_TRUNC)?;
        if length > self.buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("netlink datagram of {length} bytes"),
            ));
        }
        parse(&self.buffer)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no-operations are passed over")]
    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = Message::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.inner.send(&bytes, 0)?;

        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            for answer in self.receive()? {
                let (header, payload) = answer.into_parts();
                if header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    NetlinkPayload::InnerMessage(message) => answers.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Refusal {
                            text: text(&error.header),
                            error: error.to_io(),
                        });
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code).into());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok((answers, interrupted)),
                    _ => {}
                }
            }
        }
    }
}

impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

fn parse(datagram: &[u8]) -> io::Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while rest.len() >= HEADER_LENGTH {
        let message = Message::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let length = (message.header.length as usize).next_multiple_of(4);
        messages.push(message);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(messages)
}

/// The explanation that follows the refused request's header (`NETLINK_EXT_ACK`).
fn text(refused: &[u8]) -> Option<String> {
    NlasIterator::new(refused.get(HEADER_LENGTH..)?)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ERROR_TEXT)
        .map(|attribute| {
            String::from_utf8_lossy(attribute.value())
                .trim_end_matches('\0')
                .to_owned()
        })
}
