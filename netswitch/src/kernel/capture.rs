//! What interfaces of a namespace hear and say, by `AF_PACKET`.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt},
};

#[expect(clippy::cast_possible_truncation, reason = "it is 17")]
const PACKET_FAMILY: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "it is 3")]
const EVERY_PROTOCOL: u16 = (libc::ETH_P_ALL as u16).to_be();
#[expect(clippy::cast_possible_truncation, reason = "it is 0x8100")]
const VLAN: u16 = libc::ETH_P_8021Q as u16;

/// Bytes of frames that wait for the reader; what finds no room is lost, and counted.
const WAITING: usize = 16 << 20;
/// Both MACs: a tag comes behind them.
const MACS: usize = 12;
const TAG: usize = 4;

/// A listener, in the namespace that it was opened in. Nobody there is hindered by it.
pub struct Capture {
    socket: OwnedFd,
    /// Whether it hears one interface only, which may then be loopback.
    is_of_one: bool,
    /// Room for a tag, then for a frame.
    buffer: Vec<u8>,
}

/// A frame as it would be on a wire, or the beginning of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Index of the interface.
    pub interface: u32,
    pub is_outgoing: bool,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Bytes of all of it.
    pub length: usize,
    pub bytes: &'a [u8],
}

impl Capture {
    /// Of one interface, by index, or of all Ethernet interfaces, later ones too; `longest` is how much of a frame is
    /// kept, in bytes.
    pub fn open(interface: Option<u32>, longest: usize) -> io::Result<Self> {
        // hears nothing before it is bound
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::RcvBufForce, &WAITING)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let on: libc::c_int = 1;
        // SAFETY: an int of the size given
        Errno::result(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_AUXDATA,
                (&raw const on).cast(),
                length_of(&on),
            )
        })?;
        let mut address = no_address();
        address.sll_family = PACKET_FAMILY;
        address.sll_protocol = EVERY_PROTOCOL;
        address.sll_ifindex = interface.unwrap_or(0).cast_signed();
        // SAFETY: a socket address of the size given
        Errno::result(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of(&address)) })?;
        Ok(Self {
            socket,
            is_of_one: interface.is_some(),
            buffer: vec![0; TAG + longest],
        })
    }

    /// The oldest frame that waits. Nobody waits for one: to be woken would cost the CPU of those who send.
    pub fn oldest(&mut self) -> io::Result<Option<Frame<'_>>> {
        loop {
            match self.receive() {
                Ok(received) if self.is_wanted(&received) => return Ok(Some(self.frame(&received))),
                Ok(_) => {}
                // its interface is down, and may come up again
                Err(Errno::ENETDOWN | Errno::EINTR | Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Frames that came since the last time this was asked, and how many of these found no room.
    pub fn statistics(&self) -> io::Result<(u32, u32)> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = length_of(&statistics);
        // SAFETY: the structure is writable and as long as the call is told
        Errno::result(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        })?;
        Ok((statistics.tp_packets, statistics.tp_drops))
    }

    /// Puts a frame behind the room for a tag.
    fn receive(&mut self) -> nix::Result<Received> {
        let mut from = no_address();
        let mut control = [0_u64; 16];
        let (_, room) = self.buffer.split_at_mut(TAG);
        let mut vector = libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: room.len(),
        };
        // SAFETY: all-zero is a valid `msghdr`
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = length_of(&from);
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
        // SAFETY: all that the message points to is ours, writable, and as long as it says
        let length = Errno::result(unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) })?;
        let mut received = Received {
            from,
            length: usize::try_from(length).unwrap_or(0),
            time: 0,
            tag: None,
        };
        // SAFETY: the kernel has filled in the message, whose control bytes live and do not move
        let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: null, or a header within the control bytes
        while let Some(found) = unsafe { header.as_ref() } {
            // SAFETY: as before
            let data = unsafe { libc::CMSG_DATA(header) };
            match (found.cmsg_level, found.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    // SAFETY: the data of this kind, which is any bits
                    let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                    let [seconds, rest] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
                    received.time = seconds * 1_000_000_000 + rest;
                }
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    // SAFETY: the data of this kind, which is any bits
                    received.tag = tag(&unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() });
                }
                _ => {}
            }
            // SAFETY: both are as the kernel left them
            header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
        }
        Ok(received)
    }

    fn is_wanted(&self, received: &Received) -> bool {
        match received.from.sll_hatype {
            libc::ARPHRD_ETHER => true,
            // what it says it also hears
            libc::ARPHRD_LOOPBACK => self.is_of_one && !received.is_outgoing(),
            _ => false,
        }
    }

    /// As it is in the buffer, its tag back in its place.
    fn frame(&mut self, received: &Received) -> Frame<'_> {
        let kept = received.length.min(self.buffer.len() - TAG);
        let tag = received.tag.filter(|_| kept >= MACS);
        let start = if let Some(tag) = tag {
            self.buffer.copy_within(TAG..TAG + MACS, 0);
            self.buffer[MACS..MACS + TAG].copy_from_slice(&tag);
            0
        } else {
            TAG
        };
        Frame {
            interface: received.from.sll_ifindex.cast_unsigned(),
            is_outgoing: received.is_outgoing(),
            time: received.time,
            length: received.length + TAG - start,
            bytes: &self.buffer[start..TAG + kept],
        }
    }
}

/// What came with a frame.
struct Received {
    from: libc::sockaddr_ll,
    length: usize,
    time: u64,
    tag: Option<[u8; TAG]>,
}

impl Received {
    fn is_outgoing(&self) -> bool {
        self.from.sll_pkttype == libc::PACKET_OUTGOING
    }
}

/// The tag that the kernel keeps beside a frame.
fn tag(beside: &libc::tpacket_auxdata) -> Option<[u8; TAG]> {
    let has = |flag| beside.tp_status & flag != 0;
    let kind = if has(libc::TP_STATUS_VLAN_TPID_VALID) {
        beside.tp_vlan_tpid
    } else {
        VLAN
    };
    let ([a, b], [c, d]) = (kind.to_be_bytes(), beside.tp_vlan_tci.to_be_bytes());
    has(libc::TP_STATUS_VLAN_VALID).then_some([a, b, c, d])
}

fn no_address() -> libc::sockaddr_ll {
    // SAFETY: all-zero is a valid `sockaddr_ll`
    unsafe { mem::zeroed() }
}

fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(0)
}
