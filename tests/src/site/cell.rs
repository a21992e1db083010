//! What a container and the world may expect of an uplink, one thing at a time.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use super::uplink::FAR_MTU;
use super::{CONTAINERS, MTU, Uplink};
use crate::world::{Dial, Namespace, Transport, any, exchange, within};

/// How long a cell may need that goes right, on a machine that does more.
const SOON: Duration = Duration::from_secs(20);
/// Enough for a fourth SYN, a second after a neighbour is known to be gone.
const PATIENT: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(300);
/// Bytes each way over TCP.
const BULK: usize = 256 << 10;

/// `IP_PMTUDISC_DONT` and `IP_PMTUDISC_DO`, the same for both families: linux/in.h.
const MAY_BE_CUT: libc::c_int = 0;
const MUST_BE_WHOLE: libc::c_int = 2;

/// One of them, with its name in docs/uplinks.md.
#[derive(Clone, Copy)]
pub struct Cell {
    pub name: &'static str,
    check: fn(&View) -> Result<(), String>,
}

/// Whose cell.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The container that asks and has the published ports.
    pub one: &'a Namespace,
    pub uplink: &'a Uplink,
    /// 0 is IPv4, 1 is IPv6.
    pub family: usize,
}

/// What a router does with datagrams of IPv4 that may be cut.
pub const CUT_UNASKED: Cell = cell("cut at the uplink without a word", cut_unasked);

pub const CELLS: [Cell; 10] = [
    cell("ping", ping),
    cell("TCP", tcp),
    cell("UDP of 3,000 bytes", long_datagrams),
    cell("published TCP", published_tcp),
    cell("published UDP", published_udp),
    cell("MTU of the path", path_mtu),
    cell("MTU of the uplink", uplink_mtu),
    cell("cut at the uplink", cut),
    cell("closed port", closed_port),
    cell("no way beyond", no_way_beyond),
];

const fn cell(name: &'static str, check: fn(&View) -> Result<(), String>) -> Cell {
    Cell { name, check }
}

impl Cell {
    /// How it failed, if it did.
    pub(super) fn run(&self, view: &View) -> Result<(), String> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.check)(view)));
        let result = result.unwrap_or_else(|panicked| {
            let text = panicked.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_default())
        });
        let family = ["IPv4", "IPv6"][view.family];
        result.map_err(|error| format!("{:?}, {family}, {}: {error}", view.uplink.kind, self.name))
    }
}

impl View<'_> {
    fn at(&self, pair: &[String; 2], port: u16) -> SocketAddr {
        (self.ip(pair), port).into()
    }

    fn ip(&self, pair: &[String; 2]) -> IpAddr {
        pair[self.family].parse().expect("an address")
    }

    fn inside(&self, port: u16) -> SocketAddr {
        (CONTAINERS[0][self.family].parse::<IpAddr>().expect("an address"), port).into()
    }
}

fn ping(view: &View) -> Result<(), String> {
    for pair in [&view.uplink.peer, &view.uplink.target] {
        within(SOON, || {
            let to = &pair[view.family];
            let said = view.one.sh(&format!("ping -n -c 2 -i 0.2 -W 3 {to}")).stdout;
            let answers = said.lines().filter(|line| line.contains("ttl=63 "));
            if answers.count() == 2 { Ok(()) } else { Err(said) }
        })?;
    }
    Ok(())
}

/// Asks until the answer is the one.
fn asks(dial: Dial, client: &Namespace, name: &str, seen: IpAddr) -> Result<(), String> {
    within(SOON, || match dial.ask_shortly(client) {
        Ok(answer) if (answer.name.as_str(), answer.client.ip(), answer.peer) == (name, seen, dial.to) => Ok(()),
        other => Err(format!(
            "{dial:?} should be answered by {name} who sees {seen}: {other:?}"
        )),
    })
}

fn tcp(view: &View) -> Result<(), String> {
    let uplink = view.uplink;
    for pair in [&uplink.peer, &uplink.target] {
        let dial = Dial::new(Transport::Tcp, view.at(pair, 7));
        asks(dial, view.one, &uplink.device, view.ip(&uplink.host))?;
    }
    let to = view.at(&uplink.target, 5001);
    exchange(view.one, to, &uplink.machine, to, BULK);
    Ok(())
}

fn published_tcp(view: &View) -> Result<(), String> {
    let uplink = view.uplink;
    for (client, own) in [(&uplink.machine, &uplink.peer), (&uplink.behind, &uplink.far)] {
        let dial = Dial::new(Transport::Tcp, view.at(&uplink.host, 8080)).from(&own[view.family], 0);
        asks(dial, client, "one", view.ip(own))?;
    }
    exchange(
        &uplink.machine,
        view.at(&uplink.host, 8081),
        view.one,
        view.inside(81),
        BULK,
    );
    Ok(())
}

fn published_udp(view: &View) -> Result<(), String> {
    let uplink = view.uplink;
    for (client, own) in [(&uplink.machine, &uplink.peer), (&uplink.behind, &uplink.far)] {
        let dial = Dial::new(Transport::Udp, view.at(&uplink.host, 8080)).from(&own[view.family], 0);
        asks(dial, client, "one", view.ip(own))?;
    }
    let to = view.at(&uplink.host, 8081);
    echo(
        (&uplink.machine, view.ip(&uplink.peer)),
        to,
        (view.one, view.inside(81)),
        3000,
        None,
        Sums::Whole,
    )
}

fn long_datagrams(view: &View) -> Result<(), String> {
    let to = view.at(&view.uplink.target, 5002);
    let client = (view.one, any(to.ip()));
    echo(client, to, (&view.uplink.machine, to), 3000, None, Sums::Whole)
}

/// Longer than the uplink takes, shorter than the container's interface: cut on the way, or by the sender once it is
/// told (IPv6).
fn cut(view: &View) -> Result<(), String> {
    let to = view.at(&view.uplink.target, 5003);
    let client = (view.one, any(to.ip()));
    echo(
        client,
        to,
        (&view.uplink.machine, to),
        usize::from(MTU) + 30,
        Some(MAY_BE_CUT),
        Sums::Whole,
    )
}

/// The same of IPv4 without a word to the sender, who learns no MTU (RFC 791, 3.2), where no checksum is left to a device.
fn cut_unasked(view: &View) -> Result<(), String> {
    if view.family == 1 {
        return Ok(());
    }
    let target = &view.uplink.target[0];
    let size = MTU - 20;
    view.one
        .sh(&format!(
            "ping -n -M dont -c 1 -W 3 -s {size} {target} && ping -n -M dont -c 1 -W 3 -s 3000 {target}"
        ))
        .ok();
    let to = view.at(&view.uplink.target, 5005);
    let client = (view.one, any(to.ip()));
    echo(
        client,
        to,
        (&view.uplink.machine, to),
        3000,
        Some(MAY_BE_CUT),
        Sums::Whole,
    )?;
    let size = usize::from(MTU) + 30;
    echo(
        client,
        to,
        (&view.uplink.machine, to),
        size,
        Some(MAY_BE_CUT),
        Sums::None,
    )?;
    let said = view.one.sh(&format!("ip route get {}", view.uplink.target[0])).stdout;
    if said.contains(" mtu ") { Err(said) } else { Ok(()) }
}

/// Whether datagrams have a checksum (RFC 768).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sums {
    Whole,
    None,
}

/// Sends a datagram until it comes back from who was asked, as it was.
fn echo(
    (client, from): (&Namespace, IpAddr),
    to: SocketAddr,
    (server, own): (&Namespace, SocketAddr),
    size: usize,
    discovery: Option<libc::c_int>,
    sums: Sums,
) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // the same cell of another uplink may have it
    let server = within(SOON, || server.enter(|| UdpSocket::bind(own)).map_err(text))?;
    server.set_read_timeout(Some(AGAIN)).map_err(text)?;
    let client = client.enter(|| UdpSocket::bind((from, 0))).map_err(text)?;
    client.set_read_timeout(Some(AGAIN)).map_err(text)?;
    if let Some(discovery) = discovery {
        set_discovery(&client, to, discovery).map_err(text)?;
    }
    if sums == Sums::None {
        set(&client, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).map_err(text)?;
    }
    let sent: Vec<u8> = (0..=250).cycle().take(size).collect();
    let mut buffer = vec![0; 65_536];
    within(SOON, || {
        client.send_to(&sent, to).map_err(text)?;
        let (length, seen) = server
            .recv_from(&mut buffer)
            .map_err(|error| format!("no datagram: {error}"))?;
        server.send_to(&buffer[..length], seen).map_err(text)?;
        let (length, peer) = client
            .recv_from(&mut buffer)
            .map_err(|error| format!("no echo: {error}"))?;
        if buffer[..length] == sent[..] && peer == to {
            Ok(())
        } else {
            Err(format!("{length} bytes from {peer}"))
        }
    })
}

fn path_mtu(view: &View) -> Result<(), String> {
    let uplink = view.uplink;
    let to = view.at(&uplink.far, 7);
    learns(view.one, to, FAR_MTU)?;
    let far = view.at(&uplink.far, 5004);
    exchange(view.one, far, &uplink.behind, far, BULK);
    exchange(
        &uplink.behind,
        view.at(&uplink.host, 8082),
        view.one,
        view.inside(82),
        BULK,
    );
    Ok(())
}

fn uplink_mtu(view: &View) -> Result<(), String> {
    // an address of its own: what is learnt is kept by address
    learns(view.one, view.at(&view.uplink.peer, 7), MTU)
}

/// A datagram that must not be cut and is longer than the path takes is told so, and how long it may be.
fn learns(client: &Namespace, to: SocketAddr, mtu: u16) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let socket = client.enter(|| UdpSocket::bind((any(to.ip()), 0))).map_err(text)?;
    socket.set_read_timeout(Some(AGAIN)).map_err(text)?;
    set_discovery(&socket, to, MUST_BE_WHOLE).map_err(text)?;
    socket.connect(to).map_err(text)?;
    within(SOON, || match socket.send(&vec![7; usize::from(mtu) + 30]) {
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
            let known = known_mtu(&socket, to).map_err(text)?;
            if known == i32::from(mtu) {
                Ok(())
            } else {
                Err(format!("an MTU of {known}, not {mtu}"))
            }
        }
        said => {
            thread::sleep(Duration::from_millis(50));
            Err(format!("nothing told: {said:?}"))
        }
    })?;
    // what fits passes
    within(SOON, || {
        socket.send(&vec![7; usize::from(mtu) - 100]).map_err(text)?;
        socket.recv(&mut [0; 100]).map(drop).map_err(text)
    })
}

fn closed_port(view: &View) -> Result<(), String> {
    for transport in Transport::BOTH {
        let dial = Dial::new(transport, view.at(&view.uplink.target, 9)).connected();
        within(SOON, || match dial.ask_shortly(view.one) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{transport:?}: {other:?}")),
        })?;
    }
    Ok(())
}

/// What a router beyond the uplink says comes through.
fn no_way_beyond(view: &View) -> Result<(), String> {
    for transport in Transport::BOTH {
        let to = view.at(&view.uplink.nowhere, 9);
        within(SOON, || match told(view.one, transport, to) {
            libc::EHOSTUNREACH | libc::ENETUNREACH => Ok(()),
            other => Err(format!("{transport:?}: errno {other}")),
        })?;
    }
    within(SOON, || {
        let to = &view.uplink.nowhere[view.family];
        let said = view.one.sh(&format!("ping -n -c 1 -W 3 {to}")).stdout;
        if said.to_lowercase().contains("unreachable") {
            Ok(())
        } else {
            Err(said)
        }
    })
}

/// What a client is told that dials: 0 where there is an answer or a connection, `ETIMEDOUT` where there is silence.
pub fn told(client: &Namespace, transport: Transport, to: SocketAddr) -> i32 {
    let said = match transport {
        // a socket that is busy with `connect` hears of an error at its next SYN, a second later
        Transport::Tcp => client.enter(|| Dial::new(transport, to).open(PATIENT).map(drop)),
        Transport::Udp => client.enter(|| {
            let socket = UdpSocket::bind((any(to.ip()), 0))?;
            socket.set_read_timeout(Some(2 * AGAIN))?;
            let (level, option) = by_family(to, (libc::IP_RECVERR, libc::IPV6_RECVERR));
            set(&socket, level, option, 1)?;
            socket.connect(to)?;
            let end = Instant::now() + PATIENT;
            loop {
                socket.send(b"who?\n")?;
                match socket.recv(&mut [0; 100]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {}
                    other => break other.map(drop),
                }
            }
        }),
    };
    match said.map_err(|error| (error.kind(), error.raw_os_error())) {
        Ok(()) => 0,
        // a socket with a time limit says these
        Err((ErrorKind::WouldBlock, _) | (_, Some(libc::EINPROGRESS) | None)) => libc::ETIMEDOUT,
        Err((_, Some(number))) => number,
    }
}

/// `IP_MTU_DISCOVER` or `IPV6_MTU_DISCOVER`: ip(7), ipv6(7).
fn set_discovery(socket: &UdpSocket, to: SocketAddr, value: libc::c_int) -> io::Result<()> {
    let (level, option) = by_family(to, (libc::IP_MTU_DISCOVER, libc::IPV6_MTU_DISCOVER));
    set(socket, level, option, value)
}

fn by_family(to: SocketAddr, (v4, v6): (libc::c_int, libc::c_int)) -> (libc::c_int, libc::c_int) {
    if to.is_ipv4() {
        (libc::IPPROTO_IP, v4)
    } else {
        (libc::IPPROTO_IPV6, v6)
    }
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: an int of the size given
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), 4) };
    if set < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `IP_MTU` or `IPV6_MTU` of a connected socket.
fn known_mtu(socket: &UdpSocket, to: SocketAddr) -> io::Result<libc::c_int> {
    let (level, option) = by_family(to, (libc::IP_MTU, libc::IPV6_MTU));
    let (mut value, mut size): (libc::c_int, libc::socklen_t) = (0, 4);
    // SAFETY: an int of the size given
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if got < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}
