//! The far ends of the scene's devices: frames go in and come out there, with what is left to the device.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Instant;

use netswitch_common::address::Mac;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::datagram::{ETHERNET, Headers, finish_sum, headers};
use super::scene::{CONTAINERS, Place};
use crate::fixture::A;
use crate::loaded;
use crate::packet::{Arp, ETHERTYPE_ARP, ETHERTYPE_V4, ETHERTYPE_V6, PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use crate::world::{Namespace, PATIENCE, take_offloads, turn_on};

/// `linux/if_packet.h`
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` (`linux/virtio_net.h`).
const NEEDS_CHECKSUM: u8 = 1;
/// Of a `struct virtio_net_hdr`.
const HEADER: usize = 10;
/// More than any frame here.
const LONGEST: usize = 16 * 1024;
/// A frame passes so many queues of the kernel's at most: a device's each time, and once more for each round of a
/// fragment.
const QUEUES: usize = 4;

/// What the sender of a frame leaves to the device: the sum that starts at `start`, and to cut it into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    pub start: u16,
    pub offset: u16,
    /// `VIRTIO_NET_HDR_GSO_*`; 0: it stays whole.
    pub kind: u8,
    /// Bytes of data in each segment.
    pub segment: u16,
}

/// A frame that has left the switch; its sum is as its receiver sees it.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub place: Place,
    pub frame: Vec<u8>,
    pub offload: Option<Offload>,
}

pub struct Wire {
    socket: OwnedFd,
    /// Index of the uplink's far end.
    world: u32,
    buffer: Vec<u8>,
    _far: Namespace,
}

impl Wire {
    /// Moves the far ends into another namespace: the switch puts frames there without a queue between.
    pub fn lay() -> Self {
        // one queue holds all frames, in order
        let mut cpus = CpuSet::new();
        cpus.set(nix::sched::sched_getcpu().expect("a CPU"))
            .expect("a CPU of the set");
        sched_setaffinity(Pid::from_raw(0), &cpus).expect("staying on a CPU");
        let far = Namespace::new();
        far.sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6").ok();
        let names: Vec<String> = CONTAINERS.iter().map(|port| format!("far-{}", port.name)).collect();
        for name in names.iter().map(String::as_str).chain(["up1"]) {
            loaded::ip(&format!("link set {name} netns {}\n", far.path()));
            far.sh(&format!("ip link set {name} up")).ok();
        }
        let (socket, world) = far.enter(|| {
            let world = nix::net::if_::if_nametoindex("up1").expect("the uplink's far end");
            (listen().expect("a packet socket"), world)
        });
        Self {
            socket,
            world,
            buffer: vec![0; LONGEST],
            _far: far,
        }
    }

    /// Sends a frame into the switch: what comes out.
    pub fn exchange(&mut self, place: Place, frame: &[u8], offload: Option<Offload>) -> io::Result<Vec<Arrival>> {
        self.send(self.index(place), frame, offload)?;
        let arrivals = self.arrivals();
        if !arrivals.is_empty() {
            return Ok(arrivals);
        }
        self.settle()?;
        Ok(self.arrivals())
    }

    /// Returns when everything that was on its way has arrived: what is sent now passes the same queue behind it.
    fn settle(&mut self) -> io::Result<()> {
        let gateway = A.network.host_port();
        let question = Arp::request((A.mac(), A.v4()), gateway.v4()).frame(A.mac(), Mac::BROADCAST);
        for _ in 0..QUEUES {
            self.send(A.far_index(), &question, None)?;
            let end = Instant::now() + PATIENCE;
            while !self.hears_answer() {
                assert!(Instant::now() < end, "the switch does not answer for its gateway");
            }
        }
        Ok(())
    }

    /// Whether the next frame is the gateway's answer; others stay where they are.
    fn hears_answer(&mut self) -> bool {
        let Some((length, _)) = self.receive(libc::MSG_PEEK) else {
            return false;
        };
        let is_answer = ethertype(&self.buffer[HEADER..length]) == ETHERTYPE_ARP;
        if is_answer {
            self.receive(0);
        }
        // something else has arrived late: the caller collects it
        true
    }

    fn index(&self, place: Place) -> u32 {
        place.port().map_or(self.world, crate::fixture::Port::far_index)
    }

    fn send(&self, index: u32, frame: &[u8], offload: Option<Offload>) -> io::Result<()> {
        let header = offload.map_or([0; HEADER], |offload| offload.header(frame));
        let bytes = [&header[..], frame].concat();
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
            sll_protocol: ethertype(frame).to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: both pointers are to live memory of the sizes given
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw const address).cast(),
                u32::try_from(size_of_val(&address)).unwrap_or(0),
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// IP packets that have arrived so far, but for what the host's own stack tells its neighbours.
    fn arrivals(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some((length, index)) = self.receive(0) {
            let (header, frame) = self.buffer[..length].split_at(HEADER);
            let is_ip = matches!(ethertype(frame), ETHERTYPE_V4 | ETHERTYPE_V6);
            if !is_ip || frame[0] & 1 != 0 || gives_up(&frame[ETHERNET..]) {
                continue;
            }
            let place = CONTAINERS.iter().position(|port| port.far_index() == index);
            let offload = Offload::read(header);
            let mut frame = frame.to_vec();
            if let Some(offload) = offload {
                finish_sum(&mut frame, offload.start.into(), offload.offset.into());
            }
            arrivals.push(Arrival {
                place: place.map_or(Place::World, Place::Container),
                frame,
                offload,
            });
        }
        arrivals
    }

    /// Length and device of the next frame, which is in the buffer behind its header.
    fn receive(&mut self, flags: libc::c_int) -> Option<(usize, u32)> {
        // SAFETY: plain integers
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut size = u32::try_from(size_of_val(&from)).unwrap_or(0);
        // SAFETY: both buffers are ours, writable, and as long as the call is told
        let length = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len(),
                libc::MSG_DONTWAIT | flags,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        let length = usize::try_from(length).ok()?;
        assert!(length >= HEADER + ETHERNET, "a frame has a header");
        Some((length, from.sll_ifindex.cast_unsigned()))
    }
}

impl Offload {
    fn header(self, frame: &[u8]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = NEEDS_CHECKSUM;
        header[1] = self.kind;
        if self.kind != 0 {
            let transport = usize::from(self.start);
            // TCP says how long its header is; its sum stands behind that
            let length = match self.offset {
                16 => usize::from(frame[transport + 12] >> 4) * 4,
                _ => 8,
            };
            let length = u16::try_from(transport + length).expect("headers are short");
            header[2..4].copy_from_slice(&length.to_ne_bytes());
            header[4..6].copy_from_slice(&self.segment.to_ne_bytes());
        }
        header[6..8].copy_from_slice(&self.start.to_ne_bytes());
        header[8..10].copy_from_slice(&self.offset.to_ne_bytes());
        header
    }

    fn read(header: &[u8]) -> Option<Self> {
        let short = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        (header[0] & NEEDS_CHECKSUM != 0).then(|| Self {
            start: short(6),
            offset: short(8),
            kind: header[1],
            segment: short(4),
        })
    }
}

/// Whether the host's stack says that it has waited long enough for the rest of a packet: half a minute later.
fn gives_up(packet: &[u8]) -> bool {
    const FRAGMENT_V6: u8 = 44;
    // in a later fragment anything may stand where a message would start
    let is_fragment = match packet[0] >> 4 {
        4 => packet[6] & 0x3f | packet[7] != 0,
        _ => packet[6] == FRAGMENT_V6,
    };
    if is_fragment {
        return false;
    }
    let Headers { protocol, transport } = headers(packet);
    let message = packet.get(transport..transport + 2).unwrap_or_default();
    matches!(
        (protocol, message),
        (PROTOCOL_ICMP, [11, 1]) | (PROTOCOL_ICMPV6, [3, 1])
    )
}

fn ethertype(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[12], frame[13]])
}

/// A packet socket on every interface of the calling thread's namespace, which hears what they receive.
fn listen() -> io::Result<OwnedFd> {
    let protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is involved
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, protocol.into()) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    turn_on(&socket, PACKET_IGNORE_OUTGOING)?;
    take_offloads(&socket)?;
    Ok(socket)
}
