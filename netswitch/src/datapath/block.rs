//! Block: one clsact filter for the devices of all endpoints (`net/sched/cls_api.c`, shared blocks). A device joins it with
//! its clsact qdisc, in one netlink request that waits for no grace period; a new agent replaces the filter, and with it
//! the program of all devices, between two packets. The filter lasts as long as a device is in the block.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NlasIterator},
    sys::{Socket, protocols::NETLINK_ROUTE},
};

use crate::kernel::raw_netlink::{self, bytes_at};

const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;
const GET_QDISC: u16 = 38;
const NEW_FILTER: u16 = 44;

/// `struct tcmsg`: family, device, handle, parent, info.
const MESSAGE_LENGTH: usize = 20;
const DEVICE_AT: usize = 4;
/// `TC_H_CLSACT`, and the handle of its qdisc.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
/// `TCM_IFINDEX_MAGIC_BLOCK`: the parent is a block's number.
const BLOCK: u32 = u32::MAX;
/// Priority 1 and `ETH_P_ALL` in network order.
const FIRST_OF_ALL: u32 = 1 << 16 | 0x0003_u16.to_be() as u32;

/// `TCA_KIND`, `TCA_OPTIONS`, `TCA_INGRESS_BLOCK`.
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const INGRESS_BLOCK: u16 = 13;
/// `TCA_BPF_FD`, `TCA_BPF_NAME`, `TCA_BPF_FLAGS`.
const PROGRAM: u16 = 6;
const NAME: u16 = 7;
const FLAGS: u16 = 8;
/// `TCA_BPF_FLAG_ACT_DIRECT`: what the program returns is done.
const DIRECT: u32 = 1;

/// The block of one agent's endpoints, in the namespace of the thread that opened it.
pub struct Block {
    socket: Socket,
    number: u32,
}

impl Block {
    /// Its number follows from the folder of pins, which an agent shares with those before and after it alone.
    pub fn open(bpffs: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: raw_netlink::open(NETLINK_ROUTE)?,
            number: number(bpffs),
        })
    }

    /// A device's packets meet the program from now on. `AlreadyExists`: it has a clsact qdisc, this one's or another's.
    pub fn join(&self, device: u32, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut body = message(device, CLSACT_HANDLE, CLSACT, 0);
        attribute(&mut body, KIND, b"clsact\0");
        attribute(&mut body, INGRESS_BLOCK, &self.number.to_ne_bytes());
        self.ask(NEW_QDISC, NLM_F_CREATE | NLM_F_EXCL, &body)?;
        match self.set(program, NLM_F_EXCL) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                self.leave(device)?;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Takes a device out that [`Block::devices`] lists.
    pub fn leave(&self, device: u32) -> io::Result<()> {
        self.ask(DELETE_QDISC, 0, &message(device, CLSACT_HANDLE, CLSACT, 0))
    }

    /// The program of all devices in the block, of which there is one at least.
    pub fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        self.set(program, 0)
    }

    /// Indexes of the devices in the block, in order.
    pub fn devices(&self) -> io::Result<Vec<u32>> {
        let request = raw_netlink::request(GET_QDISC, NLM_F_REQUEST | NLM_F_DUMP, &message(0, 0, 0, 0));
        let mut devices = Vec::new();
        raw_netlink::dump(&self.socket, &request, |message| {
            let attributes = message.get(MESSAGE_LENGTH..).unwrap_or_default();
            let is_in = NlasIterator::new(attributes).flatten().any(|attribute| {
                attribute.kind() == INGRESS_BLOCK && bytes_at(attribute.value(), 0) == self.number.to_ne_bytes()
            });
            if is_in {
                devices.push(u32::from_ne_bytes(bytes_at(message, DEVICE_AT)));
            }
        })?;
        devices.sort_unstable();
        Ok(devices)
    }

    /// The id of the program of all devices in the block.
    #[cfg(test)]
    pub fn program(&self) -> io::Result<u32> {
        const GET_FILTER: u16 = 46;
        /// `TCA_BPF_ID`.
        const ID: u16 = 11;
        let body = message(BLOCK, 0, self.number, 0);
        let request = raw_netlink::request(GET_FILTER, NLM_F_REQUEST | NLM_F_DUMP, &body);
        let value = |attributes: &[u8], kind: u16| {
            let found = NlasIterator::new(attributes)
                .flatten()
                .find(|attribute| attribute.kind() == kind);
            found.map(|attribute| attribute.value().to_vec()).unwrap_or_default()
        };
        let mut ids = Vec::new();
        raw_netlink::dump(&self.socket, &request, |message| {
            let options = value(message.get(MESSAGE_LENGTH..).unwrap_or_default(), OPTIONS);
            let id = u32::from_ne_bytes(bytes_at(&value(&options, ID), 0));
            ids.extend((id != 0).then_some(id));
        })?;
        match ids[..] {
            [id] => Ok(id),
            _ => Err(io::Error::other(format!("filters of the block: {ids:?}"))),
        }
    }

    fn set(&self, program: BorrowedFd<'_>, flags: u16) -> io::Result<()> {
        let mut options = Vec::new();
        attribute(&mut options, PROGRAM, &program.as_raw_fd().to_ne_bytes());
        attribute(&mut options, NAME, b"from_endpoint\0");
        attribute(&mut options, FLAGS, &DIRECT.to_ne_bytes());
        let mut body = message(BLOCK, 1, self.number, FIRST_OF_ALL);
        attribute(&mut body, KIND, b"bpf\0");
        attribute(&mut body, OPTIONS, &options);
        self.ask(NEW_FILTER, NLM_F_CREATE | flags, &body)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let request = raw_netlink::request(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body);
        raw_netlink::ask(&self.socket, &request).map(drop)
    }
}

/// FNV-1a of the folder's path; the upper half of the numbers, which nobody counts up to.
fn number(bpffs: &Path) -> u32 {
    let bytes = bpffs.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash | 1 << 31
}

fn message(device: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut message = vec![0; DEVICE_AT];
    for word in [device, handle, parent, info] {
        message.extend(word.to_ne_bytes());
    }
    message
}

/// `struct nlattr` and its value, padded to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_has_a_block_of_its_own() {
        let [one, two] = ["/sys/fs/bpf/netswitch", "/sys/fs/bpf/other"].map(|path| number(Path::new(path)));
        assert_ne!(one, two);
        assert!(one >= 1 << 31 && two >= 1 << 31);
    }
}
