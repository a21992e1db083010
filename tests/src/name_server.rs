//! A name server that behaves as a test wants it, and remembers what it was asked.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{self, Shutdown, setsockopt, sockopt};

use crate::question::{A, AAAA, wire};
use crate::world::{Namespace, Transport, eventually};

const PORT: u16 = 53;
/// Bytes before the question, and of its type and class.
const HEADER: usize = 12;
const KIND: usize = 4;
/// QR and RA; of a question, opcode, RD and CD are kept.
const ANSWERED: u16 = 0x8080;
const KEPT: u16 = 0x7910;

/// Codes of answers.
pub const MALFORMED: u16 = 1;
pub const SERVER_FAILED: u16 = 2;
pub const NO_SUCH_NAME: u16 = 3;
pub const NOT_IMPLEMENTED: u16 = 4;
pub const REFUSED: u16 = 5;

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub transport: Transport,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What follows from a question; `None`: silence.
pub type Behaviour = dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync;

/// Ends when dropped.
pub struct NameServer {
    asked: Arc<Mutex<Vec<Asked>>>,
    sockets: Vec<RawFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Asked {
    fn name_end(&self) -> usize {
        let mut at = HEADER;
        while self.bytes[at] != 0 {
            at += 1 + usize::from(self.bytes[at]);
        }
        at + 1
    }

    /// As it was spelt, without the dot at its end.
    pub fn name(&self) -> String {
        let mut labels = Vec::new();
        let mut at = HEADER;
        while self.bytes[at] != 0 {
            let end = at + 1 + usize::from(self.bytes[at]);
            labels.push(String::from_utf8_lossy(&self.bytes[at + 1..end]).into_owned());
            at = end;
        }
        labels.join(".")
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub fn kind(&self) -> u16 {
        self.u16_at(self.name_end())
    }

    pub fn flags(&self) -> u16 {
        self.u16_at(2)
    }

    /// Whether something stands behind the question, as an extension does.
    pub fn is_extended(&self) -> bool {
        self.u16_at(10) != 0
    }

    /// With the question as it came, and these records behind it.
    pub fn answer(&self, code: u16, records: [&[Vec<u8>]; 3]) -> Vec<u8> {
        let mut answer = self.bytes[..self.name_end() + KIND].to_vec();
        let flags = ANSWERED | self.flags() & KEPT | code;
        answer[2..4].copy_from_slice(&flags.to_be_bytes());
        for (section, at) in records.iter().zip([6, 8, 10]) {
            let count = u16::try_from(section.len()).expect("few records");
            answer[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        answer.extend(records.concat().concat());
        answer
    }

    /// An address of the family that is asked for, or nothing.
    pub fn address(&self, address: &str, time: u32) -> Vec<u8> {
        let address: IpAddr = address.parse().expect("an address");
        let record = match (address, self.kind()) {
            (IpAddr::V4(v4), A) => record(&[0xc0, 12], A, time, &v4.octets()),
            (IpAddr::V6(v6), AAAA) => record(&[0xc0, 12], AAAA, time, &v6.octets()),
            _ => return self.answer(0, [&[], &[], &[]]),
        };
        self.answer(0, [&[record], &[], &[]])
    }
}

pub fn record(owner: &[u8], kind: u16, time: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a short record");
    let fixed = [
        &kind.to_be_bytes()[..],
        &[0, 1],
        &time.to_be_bytes(),
        &length.to_be_bytes(),
    ];
    [owner, &fixed.concat(), data].concat()
}

/// The record that says how long nothing may be remembered.
pub fn authority(zone: &str, time: u32) -> Vec<u8> {
    let numbers: Vec<u8> = [1, 3600, 600, 86_400, time]
        .iter()
        .flat_map(|number: &u32| number.to_be_bytes())
        .collect();
    record(&wire(zone), 6, time, &[&[0, 0][..], &numbers].concat())
}

impl NameServer {
    /// At `ADDRESS` or `ADDRESS%DEVICE`, port 53.
    pub fn start(
        namespace: &Namespace,
        at: &str,
        behaviour: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::slow(namespace, at, Duration::ZERO, behaviour)
    }

    /// Each answer comes so much later.
    pub fn slow(
        namespace: &Namespace,
        at: &str,
        delay: Duration,
        behaviour: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let asked = Arc::default();
        // a child that was forked just now may still hold the last one's
        let (udp, tcp) = eventually("a name server", || {
            let bind = || Ok::<_, std::io::Error>((UdpSocket::bind((at, PORT))?, TcpListener::bind((at, PORT))?));
            namespace.enter(bind).map_err(|error| format!("{at}: {error}"))
        });
        setsockopt(&udp, sockopt::RcvBufForce, &(16 << 20)).expect("room for many questions");
        let sockets = vec![udp.as_raw_fd(), tcp.as_raw_fd()];
        let udp = Arc::new(udp);
        let later = udp.clone();
        let (sender, due) = mpsc::channel::<(Instant, SocketAddr, Vec<u8>)>();
        let threads = vec![
            thread::spawn({
                let (asked, behaviour) = (Arc::clone(&asked), behaviour.clone());
                move || datagrams(&udp, &asked, &*behaviour, delay, &sender)
            }),
            thread::spawn(move || {
                // all are as late as each other, so that they are due in their order
                for (at, to, answer) in due {
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    let _ = later.send_to(&answer, to);
                }
            }),
            thread::spawn({
                let asked = Arc::clone(&asked);
                move || streams(&tcp, &asked, &behaviour, delay)
            }),
        ];
        Self {
            asked,
            sockets,
            threads,
        }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("what was asked").clone()
    }

    /// The names of it.
    pub fn names(&self) -> Vec<String> {
        self.asked().iter().map(Asked::name).collect()
    }

    pub fn forget(&self) {
        self.asked.lock().expect("what was asked").clear();
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // wakes the thread, which owns the socket and closes it; UDP says that it is not connected
            let _ = socket::shutdown(*socket, Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn datagrams(
    udp: &UdpSocket,
    asked: &Mutex<Vec<Asked>>,
    behaviour: &Behaviour,
    delay: Duration,
    later: &Sender<(Instant, SocketAddr, Vec<u8>)>,
) {
    let mut bytes = [0; 4096];
    // an end of it reads as nothing from nobody
    while let Ok((length @ 1.., from)) = udp.recv_from(&mut bytes) {
        let question = Asked {
            transport: Transport::Udp,
            from,
            bytes: bytes[..length].to_vec(),
        };
        let answer = behaviour(&question);
        asked.lock().expect("what was asked").push(question);
        match answer {
            Some(answer) if delay.is_zero() => drop(udp.send_to(&answer, from)),
            Some(answer) => drop(later.send((Instant::now() + delay, from, answer))),
            None => {}
        }
    }
}

fn streams(tcp: &TcpListener, asked: &Arc<Mutex<Vec<Asked>>>, behaviour: &Arc<Behaviour>, delay: Duration) {
    let mut open = Vec::new();
    while let Ok((stream, from)) = tcp.accept() {
        let Ok(copy) = stream.try_clone() else { break };
        let (asked, behaviour) = (asked.clone(), behaviour.clone());
        let thread = thread::spawn(move || drop(serve(&stream, from, &asked, &*behaviour, delay)));
        open.push((copy, thread));
    }
    for (stream, thread) in open {
        // it may have ended by itself
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = thread.join();
    }
}

fn serve(
    mut stream: &TcpStream,
    from: SocketAddr,
    asked: &Mutex<Vec<Asked>>,
    behaviour: &Behaviour,
    delay: Duration,
) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream
            .read_exact(&mut length)
            .inspect_err(|_| drop(stream.shutdown(std::net::Shutdown::Both)))?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut bytes)?;
        let question = Asked {
            transport: Transport::Tcp,
            from,
            bytes,
        };
        let answer = behaviour(&question);
        asked.lock().expect("what was asked").push(question);
        thread::sleep(delay);
        if let Some(answer) = answer {
            let length = u16::try_from(answer.len()).expect("a message");
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
        }
    }
}
