//! Way: how a frame leaves the switch. Stored with whatever a frame can go to, so that commit has nothing to infer.

/// Stored as its number; 0 where there is none.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into a container: to the peer of its host-side device (`bpf_redirect_peer`).
    Peer = 1,
    /// Into a network's host end, as if it had arrived there (`bpf_redirect` with `BPF_F_INGRESS`).
    HostEnd = 2,
    /// Out of a device, with the MACs that the frame has (`bpf_redirect`).
    Device = 3,
    /// Out of an uplink to a next hop whose MAC the kernel's neighbour table knows (`bpf_redirect_neigh`).
    NextHop = 4,
    /// Through a tunnel to another host: `remote` says to which. No entry has it yet.
    Tunnel = 5,
    /// On along the way that the host's own stack has for it (`--uplink-mode stack`).
    Stack = 6,
}

impl Way {
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Peer),
            2 => Some(Self::HostEnd),
            3 => Some(Self::Device),
            4 => Some(Self::NextHop),
            5 => Some(Self::Tunnel),
            6 => Some(Self::Stack),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_way() {
        for number in 0..=u8::MAX {
            let way = Way::from_number(number);
            assert_eq!(way.map(|way| way as u8), (1..=6).contains(&number).then_some(number));
        }
    }
}
