//! What becomes of a packet: the one list of verdicts, the one list of drop reasons.

use crate::{address::Mac, map_type};

/// Declares a `u32` enum whose variants have stable kebab-case names.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that users see; it never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// What the hook does with a frame. PATHS counts packets and bytes by it.
    Verdict {
        /// Dropped; the [`DropReason`] says why.
        Drop = 0, "drop";
        /// Into a container's interface, by `bpf_redirect_peer`.
        Peer = 1, "peer";
        /// Into the host end of the network.
        Host = 2, "host";
        /// A copy to every other member of the network.
        Replicate = 3, "replicate";
        /// An ARP request became its own answer.
        AnswerArp = 4, "answer-arp";
        /// A neighbour solicitation became its own answer.
        AnswerNeighbour = 5, "answer-neighbour";
        /// Replaced by "fragmentation needed" or "packet too big", to its sender.
        AnswerTooBig = 6, "answer-too-big";
        /// Replaced by "time exceeded", to its sender.
        AnswerTimeExceeded = 7, "answer-time-exceeded";
        /// A packet of a flow: translated, then to the flow's other end, or on with the host's stack.
        Translate = 8, "translate";
        /// The first packet of a flow: the flow is made, then as above.
        Open = 9, "open";
        /// On an uplink: none of ours, to the host's stack untouched.
        Pass = 10, "pass";
        /// A fragment whose ports are not known yet: kept until its first one comes.
        Park = 11, "park";
        /// A first fragment: its ports are noted, then it arrives once more, and those that waited for it.
        Unpark = 12, "unpark";
        /// About names, to a gateway: led to the agent's port, into the host end.
        Question = 13, "question";
        /// The agent's answer to it: as if it came from port 53, into a container's interface.
        Answer = 14, "answer";
        /// A question for a name became its own answer.
        AnswerName = 15, "answer-name";
        /// The first packet of a flow that needs no translation but the policy's leave: the flow is made, then
        /// as `Peer` or `Host`.
        Admit = 16, "admit";
        /// A packet of such a flow.
        Follow = 17, "follow";
        /// A question for a name became the answer that there is none, on a network where nobody else can say so.
        DenyName = 18, "deny-name";
        /// Replaced by "destination unreachable", to its sender.
        AnswerUnreachable = 19, "answer-unreachable";
        /// Too long for the next link, and its sender lets it be cut: its fragments arrive in its place.
        Cut = 20, "cut";
        /// A broadcast from the world to a published port: a copy goes to the container, the frame on to the host's stack.
        Share = 21, "share";
    }
}

named! {
    /// Why a frame was dropped. Names are part of the command contract.
    DropReason {
        /// Shorter than its headers, or headers that contradict themselves.
        Malformed = 1, "malformed";
        /// The device is no endpoint of ours.
        UnknownEndpoint = 2, "unknown-endpoint";
        SpoofedMac = 3, "spoofed-mac";
        SpoofedAddress = 4, "spoofed-address";
        SpoofedArp = 5, "spoofed-arp";
        SpoofedNeighbour = 6, "spoofed-neighbour";
        /// A router advertisement or redirect from a container (RFC 6105; ICMP's of IPv4 too).
        RouterAdvertisement = 7, "router-advertisement";
        /// A DHCP or `DHCPv6` server's message from a container: from a server's port, or to a client's.
        DhcpServer = 8, "dhcp-server";
        /// An 802.1Q or 802.1ad tag.
        VlanTag = 9, "vlan-tag";
        /// 01:80:c2 link-local groups: spanning tree, LLDP, pause (IEEE 802.1D, 7.12.6).
        LinkControl = 10, "link-control";
        /// Nobody on the network has that MAC or address.
        NoSuchNeighbour = 11, "no-such-neighbour";
        /// For another network, or its gateway.
        OtherNetwork = 12, "other-network";
        /// To the world from an `--internal` network.
        InternalNetwork = 13, "internal-network";
        /// To the world by a device that is no uplink, or with an address that is not the sender's.
        NoUplink = 14, "no-uplink";
        /// Container to container where `enable_icc` is false.
        IccDisabled = 15, "icc-disabled";
        /// From beyond the host to an address of ours that is not published.
        NotPublished = 16, "not-published";
        /// Larger than the destination's MTU; its sender was told if the protocol allows it.
        TooBig = 17, "too-big";
        /// A broadcast or multicast frame beyond its sender's rate.
        ReplicationRate = 18, "replication-rate";
        /// Members that a broadcast or multicast frame did not reach any more.
        ReplicationLimit = 19, "replication-limit";
        /// The host's own IPv6 chatter on a network without IPv6.
        NoV6 = 20, "no-ipv6";
        /// Addressed to the gateway's MAC although the destination is a neighbour.
        NotRouted = 21, "not-routed";
        /// Its time to live ended here; its sender was told if the protocol allows it.
        TimeExceeded = 22, "time-exceeded";
        /// No port for masquerade is free towards that destination.
        PortsExhausted = 23, "ports-exhausted";
        /// The endpoint has as many flows as it may, all of them alive.
        FlowQuota = 24, "flow-quota";
        /// From an address that the publication does not let in (`from=`).
        SourceDenied = 25, "source-denied";
        /// An ICMP error about no flow of ours.
        NoFlow = 26, "no-flow";
        /// A fragment whose first one never came, or that is too long to keep.
        Fragment = 27, "fragment";
        /// A rule of the policy denies it, or none allows it where one has to.
        PolicyDenied = 28, "policy-denied";
        /// To whom the container's leash does not name (`--egress`), or its network's.
        Egress = 29, "egress";
        /// To an address that no packet on a wire has: `0.0.0.0/8`, `127.0.0.0/8`, `::`, `::1`, `::ffff:0:0/96`,
        /// or its own source.
        Martian = 30, "martian";
        /// An ICMP error about a packet that its sender was not the destination of.
        SpoofedError = 31, "spoofed-error";
        /// A table of the switch is full.
        TableFull = 32, "table-full";
        /// The kernel has no memory for an entry of a table.
        NoMemory = 33, "no-memory";
        /// A helper of the kernel refused what it should not refuse.
        Internal = 34, "internal";
        /// With an IPv4 option that names routers to pass (loose or strict source route), which the policy does not see.
        SourceRoute = 35, "source-route";
        /// Of a protocol without ports that the host itself uses: its answers could not be told from the host's.
        HostProtocol = 36, "host-protocol";
        /// The host's routing tables have no way there.
        NoRoute = 37, "no-route";
        /// A route of type `unreachable` leads there.
        Unreachable = 38, "unreachable";
        /// A route or rule of type `prohibit` leads there.
        Prohibited = 39, "prohibited";
        /// Beyond the bytes a second that the container may send or receive (`--rate`).
        RateLimit = 40, "rate-limit";
        /// Beyond the packets a second (`--pps`).
        PacketRate = 41, "packet-rate";
        /// A route or rule of type `blackhole` leads there; its sender is not told.
        Blackhole = 42, "blackhole";
        /// The next hop on an uplink's link does not answer who asks for its MAC.
        SilentNextHop = 43, "silent-next-hop";
        /// A policy of the host's `IPsec` (`ip xfrm policy`) wants it protected or blocked, which the switch cannot do.
        IpsecPolicy = 44, "ipsec-policy";
        /// To the host's own stack where that is closed (`netswitch.host_access`, gateway mode isolated).
        HostAccess = 50, "host-access";
        /// To a metadata address where that is closed (`netswitch.metadata`).
        Metadata = 51, "metadata";
    }
}

impl DropReason {
    /// The code of the ICMP message "destination unreachable" (3) that tells a packet's sender so: RFC 1812, 5.2.7.1;
    /// `ip_error` in `net/ipv4/route.c`. `None`: the sender is not told.
    #[inline(always)]
    #[must_use]
    pub const fn unreachable_v4(self) -> Option<u8> {
        match self {
            Self::NoRoute => Some(0),                                                   // net unreachable
            Self::Unreachable | Self::SilentNextHop | Self::NoSuchNeighbour => Some(1), // host unreachable
            Self::Prohibited | Self::NoUplink => Some(13), // communication administratively prohibited
            _ => None,
        }
    }

    /// The same of the `ICMPv6` message "destination unreachable" (1): RFC 4443, 3.1; `ip6_pkt_discard` and `ip6_pkt_prohibit`
    /// in `net/ipv6/route.c`.
    #[inline(always)]
    #[must_use]
    pub const fn unreachable_v6(self) -> Option<u8> {
        match self {
            Self::NoRoute | Self::Unreachable => Some(0), // no route to destination
            Self::Prohibited | Self::NoUplink => Some(1), // communication administratively prohibited
            Self::SilentNextHop | Self::NoSuchNeighbour => Some(3), // address unreachable
            _ => None,
        }
    }
}

/// What the stages decided about one frame; nothing has been done yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// A [`Verdict`], and [`Decision::LIMITED`].
    pub verdict: u32,
    /// A [`DropReason`], or 0.
    pub reason: u32,
    /// Where the frame goes: [`crate::endpoint::Port::ifindex`] for `Peer` and `Host`; for answers the
    /// sender's own device, or the host end; for `Replicate` the only member that gets it, or 0 for all.
    pub ifindex: u32,
    /// Endpoint that sent the frame, 0 if unknown.
    pub source: u32,
    /// Endpoint it goes to; 0 for none or many.
    pub destination: u32,
    pub network: u32,
    /// MAC that an answer names (ARP, ND) or comes from (too big).
    pub mac: Mac,
    /// Largest packet that would have passed, for `AnswerTooBig`.
    pub mtu: u16,
    /// A [`Way`](crate::way::Way).
    pub way: u8,
    pub _pad: [u8; 3],
    /// The host that a tunnel leads to.
    pub remote: u32,
}
map_type!(Decision, 40);

impl Decision {
    /// Beside a verdict: its receiver, or its sender, may have limits, which commit has to look at.
    pub const LIMITED: u32 = crate::endpoint::flags::LIMITED;

    #[inline(always)]
    pub const fn drop(reason: DropReason) -> Self {
        Self {
            verdict: Verdict::Drop as u32,
            reason: reason as u32,
            ifindex: 0,
            source: 0,
            destination: 0,
            network: 0,
            mac: Mac([0; 6]),
            mtu: 0,
            way: 0,
            _pad: [0; 3],
            remote: 0,
        }
    }
}

/// Value of DECISION, where `explain_endpoint` and `explain_uplink` leave it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    pub decision: Decision,
    /// Number of the policy's rule that allowed or denied it, or 0.
    pub rule: u32,
}
map_type!(Explanation, 44);

/// Key of DROPS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Endpoint id of the sender; 0 if unknown.
    pub endpoint: u32,
    /// A [`DropReason`].
    pub reason: u32,
}
map_type!(DropKey, 8);

/// Value of DROPS and PATHS, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}
map_type!(Count, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_tell_of_the_same_reasons() {
        for reason in DropReason::ALL {
            assert_eq!(
                reason.unreachable_v4().is_some(),
                reason.unreachable_v6().is_some(),
                "{reason:?}"
            );
        }
        assert_eq!(DropReason::Blackhole.unreachable_v4(), None);
    }

    #[test]
    fn every_reason_has_a_name_and_a_number_of_its_own() {
        for (i, a) in DropReason::ALL.iter().enumerate() {
            assert_eq!(DropReason::from_number(*a as u32), Some(*a));
            assert!(
                a.name()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
            );
            for b in &DropReason::ALL[i + 1..] {
                assert!(a.name() != b.name());
            }
        }
        assert_eq!(DropReason::from_number(0), None);
    }
}
