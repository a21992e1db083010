//! The fixed world of the datapath rows: eight networks and their ports.
//!
//! Device numbers are chosen, not found: a fresh namespace lets us pick them, so rows can name them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::{
    address::Mac,
    endpoint::{Kind, flags},
};

pub mod entries;
pub mod uplink;

/// A network of the world: `10.<number>.0.0/16` and, with [`flags::V6`], `fd00:<number>::/64`.
#[derive(Debug)]
pub struct Network {
    pub name: &'static str,
    pub number: u8,
    pub flags: u32,
    pub mtu: u16,
}

/// A port of a network: a container's interface, or the host's own.
#[derive(Debug)]
pub struct Port {
    pub name: &'static str,
    pub id: u32,
    pub network: &'static Network,
    /// Last part of its addresses.
    pub last: u8,
    pub kind: Kind,
    pub mtu: u16,
    pub flags: u32,
    pub has_v4: bool,
}

const EVERY_OPT_IN: u32 =
    flags::ALLOW_VLAN | flags::ALLOW_LINK_CONTROL | flags::ALLOW_ROUTER_ADVERTISEMENT | flags::ALLOW_DHCP_SERVER;

const MASQUERADE: u32 = flags::MASQUERADE_V4 | flags::MASQUERADE_V6;

/// Dual stack; most rows happen here.
pub static ALPHA: Network = network("alpha", 1, flags::V6 | MASQUERADE);
/// IPv4 only.
pub static BETA: Network = network("beta", 2, MASQUERADE);
/// `enable_icc=false`.
pub static QUIET: Network = network("quiet", 3, flags::V6 | flags::NO_ICC);
/// `--internal`.
pub static INNER: Network = network("inner", 4, flags::V6 | flags::INTERNAL);
/// Every opt-in of the guard.
pub static OPEN: Network = network("open", 5, flags::V6 | EVERY_OPT_IN);
/// More members than a frame may be copied to; all but the sender share one device.
pub static CROWD: Network = network("crowd", 6, 0);
/// A small MTU at the host's port too.
pub static SLIM: Network = Network {
    mtu: 1300,
    ..network("slim", 7, flags::V6)
};
/// The host and the metadata services are closed.
pub static SHUT: Network = network(
    "shut",
    8,
    flags::V6 | flags::NO_HOST_V4 | flags::NO_HOST_V6 | flags::NO_METADATA,
);

pub static A: Port = container("a", 1, &ALPHA, 2);
pub static B: Port = container("b", 2, &ALPHA, 3);
/// Has an MTU of 1300.
pub static SMALL: Port = Port {
    mtu: 1300,
    ..container("small", 3, &ALPHA, 4)
};
/// Its source guard is off.
pub static FREE: Port = Port {
    flags: flags::NO_GUARD,
    ..container("free", 4, &ALPHA, 5)
};
/// May also use [`EXTRA_V4`] and [`EXTRA_V6`].
pub static MORE: Port = Port {
    flags: flags::MORE_ADDRESSES,
    ..container("more", 5, &ALPHA, 6)
};
/// Has no IPv4 address.
pub static SIX: Port = Port {
    has_v4: false,
    ..container("six", 6, &ALPHA, 7)
};
pub static D: Port = container("d", 7, &BETA, 2);
pub static E: Port = container("e", 8, &BETA, 3);
pub static F: Port = container("f", 9, &QUIET, 2);
pub static G: Port = container("g", 10, &QUIET, 3);
pub static H: Port = container("h", 11, &INNER, 2);
pub static I: Port = container("i", 12, &INNER, 3);
pub static J: Port = container("j", 13, &OPEN, 2);
pub static K: Port = container("k", 14, &OPEN, 3);
pub static X: Port = container("x", 15, &CROWD, 2);
pub static Y: Port = container("y", 16, &CROWD, 3);
/// Asks the switch alone for names, at [`RESOLVER`].
pub static S: Port = Port {
    flags: flags::ISOLATED,
    ..container("s", 17, &SLIM, 2)
};
pub static P: Port = container("p", 18, &SHUT, 2);
/// May ask for names.
pub static Q: Port = Port {
    flags: flags::MAY_ASK,
    ..container("q", 19, &SHUT, 3)
};
/// Its neighbours do not hear it either.
pub static R: Port = Port {
    flags: flags::NO_ICC,
    ..container("r", 20, &SHUT, 4)
};

pub static ALPHA_HOST: Port = host("alpha", 101, &ALPHA);
pub static BETA_HOST: Port = host("beta", 102, &BETA);
pub static QUIET_HOST: Port = host("quiet", 103, &QUIET);
pub static INNER_HOST: Port = host("inner", 104, &INNER);
pub static OPEN_HOST: Port = host("open", 105, &OPEN);
pub static CROWD_HOST: Port = host("crowd", 106, &CROWD);
pub static SLIM_HOST: Port = Port {
    mtu: 1300,
    ..host("slim", 107, &SLIM)
};
pub static SHUT_HOST: Port = host("shut", 108, &SHUT);

/// Last part of the addresses at which a network without a host would answer for names.
pub const RESOLVER: u8 = 53;

pub static NETWORKS: [&Network; 8] = [&ALPHA, &BETA, &QUIET, &INNER, &OPEN, &CROWD, &SLIM, &SHUT];
pub static PORTS: [&Port; 28] = [
    &A,
    &B,
    &SMALL,
    &FREE,
    &MORE,
    &SIX,
    &D,
    &E,
    &F,
    &G,
    &H,
    &I,
    &J,
    &K,
    &X,
    &Y,
    &S,
    &P,
    &Q,
    &R,
    &ALPHA_HOST,
    &BETA_HOST,
    &QUIET_HOST,
    &INNER_HOST,
    &OPEN_HOST,
    &CROWD_HOST,
    &SLIM_HOST,
    &SHUT_HOST,
];

/// Addresses that MORE may use beside its own.
pub const EXTRA_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 77);
pub const EXTRA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x77);
/// The host's addresses on its uplink.
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Somewhere beyond the uplink.
pub const WORLD_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const WORLD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
/// What the host's routes refuse, by the type of the route: the first of eight addresses in both families. `throw` leaves it
/// to no other table. One address alone between others that have a route would look like the host's own
/// (`stages/near.rs`).
pub const REFUSED: [(&str, Ipv4Addr, Ipv6Addr); 4] = [
    (
        "throw",
        Ipv4Addr::new(203, 0, 113, 8),
        Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0x8),
    ),
    (
        "unreachable",
        Ipv4Addr::new(203, 0, 113, 16),
        Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0x10),
    ),
    (
        "prohibit",
        Ipv4Addr::new(203, 0, 113, 24),
        Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0x18),
    ),
    (
        "blackhole",
        Ipv4Addr::new(203, 0, 113, 32),
        Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0x20),
    ),
];
/// A device that exists and is no port of ours.
pub const UPLINK_INDEX: u32 = 900;
pub const UPLINK_MAC: Mac = Mac([2, 0, 0, 0, 9, 0]);
/// Slots of the crowd: the host, the sender, and Y's device for all others.
pub const CROWD_MEMBERS: u32 = 600;

const fn network(name: &'static str, number: u8, flags: u32) -> Network {
    Network {
        name,
        number,
        flags,
        mtu: 1500,
    }
}

const fn container(name: &'static str, id: u32, network: &'static Network, last: u8) -> Port {
    Port {
        name,
        id,
        network,
        last,
        kind: Kind::Container,
        mtu: 1500,
        flags: 0,
        has_v4: true,
    }
}

const fn host(name: &'static str, id: u32, network: &'static Network) -> Port {
    Port {
        name,
        id,
        network,
        last: 1,
        kind: Kind::Host,
        mtu: 1500,
        flags: 0,
        has_v4: true,
    }
}

impl Network {
    pub const fn has_v6(&self) -> bool {
        self.flags & flags::V6 != 0
    }

    /// A member's IPv4 address.
    pub const fn v4(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, last)
    }

    /// A member's IPv6 address.
    pub const fn v6(&self, last: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.number as u16, 0, 0, 0, 0, 0, last as u16)
    }

    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 255, 255)
    }

    pub fn host_port(&self) -> &'static Port {
        self.ports().next().expect("every network has a host port")
    }

    /// Its ports in the order of MEMBERS: the host's first.
    pub fn ports(&self) -> impl Iterator<Item = &'static Port> {
        let ours = PORTS.iter().copied().filter(|port| port.network.number == self.number);
        let (hosts, containers): (Vec<_>, Vec<_>) = ours.partition(|port| port.kind == Kind::Host);
        hosts.into_iter().chain(containers)
    }
}

impl Port {
    pub const fn mac(&self) -> Mac {
        Mac::of_v4(self.network.v4(self.last).octets())
    }

    pub const fn v4(&self) -> Ipv4Addr {
        self.network.v4(self.last)
    }

    pub const fn v6(&self) -> Ipv6Addr {
        self.network.v6(self.last)
    }

    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.mac().link_local())
    }

    /// The device that `from_endpoint` runs on.
    pub const fn index(&self) -> u32 {
        match self.kind {
            Kind::Container | Kind::Remote => 1000 + self.id,
            Kind::Host => 2000 + self.id,
        }
    }

    /// The device that frames to this port are redirected to.
    pub const fn target(&self) -> u32 {
        match self.kind {
            Kind::Container | Kind::Remote => self.index(),
            Kind::Host => 3000 + self.id,
        }
    }

    /// A container's own end of its pair.
    pub const fn far_index(&self) -> u32 {
        4000 + self.id
    }

    /// Name of the device that `from_endpoint` runs on.
    pub fn device(&self) -> String {
        match self.kind {
            Kind::Container | Kind::Remote => format!("veth-{}", self.name),
            Kind::Host => format!("sw-{}", self.name),
        }
    }

    /// Name of the device that frames to this port are redirected to.
    pub fn target_device(&self) -> String {
        match self.kind {
            Kind::Container | Kind::Remote => self.device(),
            Kind::Host => self.name.to_owned(),
        }
    }

    pub const fn all_flags(&self) -> u32 {
        self.network.flags | self.flags
    }

    /// Its unicast addresses on the network.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.has_v4.then(|| IpAddr::from(self.v4()));
        let v6 = [IpAddr::from(self.v6()), IpAddr::from(self.link_local())];
        v4.into_iter()
            .chain(v6.into_iter().filter(|_| self.network.has_v6()))
            .collect()
    }
}

/// What the world's host calls local by FIB look-ups: every address, the broadcast addresses of its
/// subnets, of each IPv6 subnet that it forwards for the address of "any router" (RFC 4291, 2.6.1), and
/// `::1`, which its stack then refuses. A link-local address is for its own network to know.
pub fn host_addresses() -> Vec<IpAddr> {
    let broadcast = Ipv4Addr::new(192, 0, 2, 255);
    let mut addresses: Vec<IpAddr> = vec![
        HOST_V4.into(),
        broadcast.into(),
        HOST_V6.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for network in NETWORKS {
        let gateway = network.host_port();
        addresses.extend([gateway.v4(), network.broadcast()].map(IpAddr::from));
        if network.has_v6() {
            addresses.extend([gateway.v6(), network.v6(0)].map(IpAddr::from));
        }
    }
    addresses
}
