//! Who takes part: containers of the fixed world, peers beyond its uplink, and what is published on the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch_common::{address::Mac, endpoint, publish};

use crate::fixture::{
    A, B, D, E, H, HOST_V4, HOST_V6, Port, UPLINK_INDEX, UPLINK_MAC, WORLD_V4, WORLD_V6, entries,
    uplink::{self, FROM_WORLD, ROUTER_MAC},
};
use crate::loaded::{self, Loaded};
use crate::packet::{PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP};

/// A and B are neighbours, with both families; D and E are, with IPv4 alone. H, on an internal network, only serves.
pub static CONTAINERS: [&Port; 5] = [&A, &B, &D, &E, &H];
/// Those that open flows.
pub const CLIENTS: usize = 4;

pub const PEERS: [(Ipv4Addr, Ipv6Addr); 2] = [
    (WORLD_V4, WORLD_V6),
    (
        Ipv4Addr::new(198, 51, 100, 2),
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2),
    ),
];
/// On the way to the peers.
pub const ROUTER: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(203, 0, 113, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0, 0, 0, 0, 1),
);

/// Where a frame enters the switch, or leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    World,
    /// One of [`CONTAINERS`].
    Container(usize),
}

/// Ports of the host that lead to a container.
#[derive(Debug)]
pub struct Publication {
    pub first: u16,
    last: u16,
    /// One of [`CONTAINERS`], and its first port.
    pub container: usize,
    pub target: u16,
    /// Its clients appear with the gateway's address.
    pub from_gateway: bool,
}

/// Two of them meet at one port of B; one has a port that masquerade would take.
pub static PUBLICATIONS: [Publication; 6] = [
    publication(8000, 8003, 1, 80),
    publication(8500, 8500, 1, 80),
    publication(8800, 8800, 0, 80),
    publication(9000, 9000, 2, 80),
    Publication {
        from_gateway: true,
        ..publication(9500, 9500, 4, 80)
    },
    publication(20_001, 20_001, 1, 8081),
];

const fn publication(first: u16, last: u16, container: usize, target: u16) -> Publication {
    Publication {
        first,
        last,
        container,
        target,
        from_gateway: false,
    }
}

impl Publication {
    /// The container's port, if this is where `port` of the host leads.
    pub fn leads(&self, is_v4: bool, protocol: u8, port: u16) -> Option<u16> {
        let has_ports = matches!(protocol, PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP);
        let is_here = (self.first..=self.last).contains(&port) && self.port().network.has(is_v4);
        (has_ports && is_here).then(|| self.target + (port - self.first))
    }

    pub fn port(&self) -> &'static Port {
        CONTAINERS[self.container]
    }
}

impl crate::fixture::Network {
    fn has(&self, is_v4: bool) -> bool {
        is_v4 || self.has_v6()
    }
}

impl Place {
    pub fn port(self) -> Option<&'static Port> {
        match self {
            Self::World => None,
            Self::Container(number) => Some(CONTAINERS[number]),
        }
    }

    /// The network's number; 0 for the world.
    pub fn zone(self) -> u8 {
        self.port().map_or(0, |port| port.network.number)
    }

    /// MACs of a frame that enters the switch here, for an address.
    pub fn macs_to(self, to: IpAddr) -> (Mac, Mac) {
        let Some(port) = self.port() else { return FROM_WORLD };
        let neighbour = CONTAINERS
            .iter()
            .find(|other| other.network.number == port.network.number && address(other, to.is_ipv4()) == to);
        match neighbour {
            Some(neighbour) => (port.mac(), neighbour.mac()),
            None => uplink::out(port),
        }
    }

    /// MACs of a routed frame that leaves the switch here.
    pub fn macs_out(self) -> (Mac, Mac) {
        self.port().map_or((UPLINK_MAC, ROUTER_MAC), uplink::into)
    }

    /// What a router here calls itself towards whom it sends an ICMP error.
    pub fn router(self, is_v4: bool) -> IpAddr {
        self.port()
            .map_or(host(is_v4), |port| address(port.network.host_port(), is_v4))
    }
}

pub fn address(port: &Port, is_v4: bool) -> IpAddr {
    one((port.v4(), port.v6()), is_v4)
}

pub fn host(is_v4: bool) -> IpAddr {
    one((HOST_V4, HOST_V6), is_v4)
}

pub fn one(both: (Ipv4Addr, Ipv6Addr), is_v4: bool) -> IpAddr {
    if is_v4 { both.0.into() } else { both.1.into() }
}

/// Whether somebody beyond the uplink has it.
pub fn is_worlds(address: IpAddr) -> bool {
    let world: [IpNetwork; 4] = [
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8:ffff::/48",
        "2001:db8:aaaa::/48",
    ]
    .map(|network| network.parse().expect("a network"));
    world.iter().any(|network| network.contains(address))
}

/// Where in the switch an address is a container's.
pub fn container(address: IpAddr) -> Option<usize> {
    CONTAINERS
        .iter()
        .position(|port| self::address(port, address.is_ipv4()) == address && port.network.has(address.is_ipv4()))
}

/// Writes what the agent would have written, and puts the programs on the devices.
pub fn prepare(loaded: &mut Loaded) {
    let tables = loaded.datapath.tables();
    tables.write(&uplink::uplink()).expect("an uplink");
    for address in [host(true), host(false)] {
        tables
            .write(&Entry::Local { address })
            .expect("an address of the host's");
    }
    for published in &PUBLICATIONS {
        let flags = if published.from_gateway {
            publish::flags::GATEWAY_SOURCE
        } else {
            0
        };
        let ports = (published.first, published.last);
        let families = [true, false].into_iter().filter(|v4| published.port().network.has(*v4));
        for is_v4 in families {
            for entry in uplink::publication(host(is_v4), ports, published.port(), published.target, flags) {
                tables.write(&entry).expect("an entry of a publication");
            }
        }
    }
    for entry in entries::all() {
        if let Entry::Endpoint { device, mut value } = entry
            && PUBLICATIONS.iter().any(|published| published.port().id == value.id)
        {
            value.flags |= endpoint::flags::PUBLISHES;
            tables.write(&Entry::Endpoint { device, value }).expect("an endpoint");
        }
    }
    for port in CONTAINERS {
        let attached = loaded.datapath.attach(Hook::Endpoint, &port.device(), port.index());
        attached.expect("the program attaches");
    }
    let attached = loaded.datapath.attach(Hook::Uplink, "up0", UPLINK_INDEX);
    attached.expect("the program attaches");
    loaded::ip(&format!(
        "neigh replace 192.0.2.254 lladdr {ROUTER_MAC} dev up0 nud permanent\n\
         neigh replace 2001:db8::fe lladdr {ROUTER_MAC} dev up0 nud permanent\n"
    ));
}
