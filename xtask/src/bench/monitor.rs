//! `netswitch monitor` beside traffic: 100,000 packets a second, each the first of a flow, so that each is told of.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, setsockopt, socket, sockopt,
};

use super::peer::{Peer, Route, Site};
use super::traffic::{CLIENT_CPU, PORT, SECONDS, server_cpu};
use crate::world::agent::Agent;
use crate::world::process::{self, Background};

/// Between two packets at 100,000 a second.
const PACE: Duration = Duration::from_micros(10);
/// Source ports, and servers' ports: no flow has a second packet.
const SOURCES: u32 = 60_000;
const SERVERS: u16 = 4;
const FIRST_SOURCE: u16 = 1024;
/// Bytes that wait at each server's port.
const WAITING: usize = 16 << 20;
/// Between two looks there: to be woken for each packet would be what is measured.
const LOOK: Duration = Duration::from_millis(1);
/// A listener to whom nothing was said for so long has heard everything.
const SILENCE: Duration = Duration::from_millis(200);

/// What a listener was told of, and what it missed.
#[derive(Clone, Copy, Default)]
pub struct Told {
    events: u64,
    missed: u64,
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} events told, {} missed", self.events, self.missed)
    }
}

/// Runs the traffic, while somebody listens where the peer says so.
pub fn beside(site: &mut Site, traffic: impl FnOnce(&Route) -> Result<f64>) -> Result<f64> {
    if site.peer != Peer::NetswitchMonitored {
        return traffic(&site.route());
    }
    let listener = Listener::start(site.agent()?)?;
    let figure = traffic(&site.route())?;
    let told = listener.end()?;
    site.told.events += told.events;
    site.told.missed += told.missed;
    Ok(figure)
}

struct Listener {
    process: Background,
    lines: File,
    complaints: File,
}

impl Listener {
    /// Listens when this returns.
    fn start(agent: &Agent) -> Result<Self> {
        let (lines, complaints) = (process::memory_file()?, process::memory_file()?);
        let mut command = agent.netswitch();
        command
            .arg("monitor")
            .stdout(lines.try_clone()?)
            .stderr(complaints.try_clone()?);
        let process = Background::start(&mut command)?;
        process::poll("monitor listens", Duration::from_secs(5), || {
            Ok(lines.metadata()?.len() > 0)
        })?;
        Ok(Self {
            process,
            lines,
            complaints,
        })
    }

    /// Lets it hear what there is to be heard, and ends it.
    fn end(mut self) -> Result<Told> {
        let mut length = 0;
        while length != self.lines.metadata()?.len() {
            length = self.lines.metadata()?.len();
            thread::sleep(SILENCE);
        }
        self.process.stop(Duration::from_secs(3));
        let lines = process::contents(&mut self.lines)?;
        let complaints = process::contents(&mut self.complaints)?;
        let missed = |line: &str| {
            let number = line.strip_prefix("WARNING: ")?.split(' ').next()?;
            number.parse::<u64>().ok()
        };
        Ok(Told {
            // without the titles
            events: lines.lines().count().saturating_sub(1) as u64,
            missed: complaints.lines().filter_map(missed).sum(),
        })
    }
}

/// Packets that arrive per second.
pub fn new_flows(route: &Route) -> Result<f64> {
    let ports = || (0..SERVERS).map(|index| PORT + index);
    let servers = route
        .server
        .inside(|| ports().map(server).collect::<Result<Vec<_>>>())?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| process::pin_this_thread(server_cpu()).and_then(|()| count(&servers, &stop)));
        let sender = scope.spawn(|| {
            route.client.enter()?;
            process::pin_this_thread(CLIENT_CPU)?;
            send(route.address)
        });
        let sent = sender.join().map_err(|_| anyhow!("the sender panicked"))?;
        stop.store(true, Ordering::Relaxed);
        let received = receiver.join().map_err(|_| anyhow!("the receiver panicked"))?;
        Ok(received? / sent?.as_secs_f64())
    })
}

fn server(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("port {port}"))?;
    setsockopt(&socket, sockopt::RcvBufForce, &WAITING)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How many datagrams came until there is to be an end.
fn count(servers: &[UdpSocket], stop: &AtomicBool) -> Result<f64> {
    let (mut count, mut message) = (0_u32, [0; 64]);
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        for server in servers {
            loop {
                match server.recv(&mut message) {
                    Ok(_) => count += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if is_last {
            return Ok(f64::from(count));
        }
        thread::sleep(LOOK);
    }
}

/// Two seconds of datagrams of 64 bytes with headers of our own; how long it took.
fn send(to: Ipv4Addr) -> Result<Duration> {
    let raw = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Udp,
    )?;
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
    let mut datagram = [0; 8 + 64];
    datagram[5] = u8::try_from(size_of_val(&datagram))?;
    let packets = u32::try_from(u128::from(SECONDS) * 1_000_000_000 / PACE.as_nanos())?;
    let start = Instant::now();
    for number in 0..packets {
        let source = FIRST_SOURCE + u16::try_from(number % SOURCES)?;
        let server = PORT + u16::try_from(number / SOURCES)? % SERVERS;
        datagram[..2].copy_from_slice(&source.to_be_bytes());
        datagram[2..4].copy_from_slice(&server.to_be_bytes());
        while start.elapsed() < PACE * number {
            std::hint::spin_loop();
        }
        sendto(raw.as_raw_fd(), &datagram, &to, MsgFlags::empty()).context("send")?;
    }
    Ok(start.elapsed())
}
