//! One uplink of the host, the machine at its other end, and what lies behind that.

use std::net::IpAddr;

use super::FAMILIES;
use super::gateway::forward;
use super::kind::{Kind, Wire};
use crate::world::{Namespace, Service, Transport};

/// What every uplink takes: less than a container's interface, so that each has to fragment and to tell.
pub const MTU: u16 = 1400;
/// What the link behind the machine takes.
pub const FAR_MTU: u16 = 1290;

pub struct Uplink {
    pub kind: Kind,
    /// `up0`, on both sides.
    pub device: String,
    /// The host's addresses on it, by family.
    pub host: [String; 2],
    /// The machine at the other end.
    pub peer: [String; 2],
    /// An address of the machine's that is not on the link.
    pub target: [String; 2],
    /// A machine behind it, over a small link.
    pub far: [String; 2],
    /// The machine says that it has no way there.
    pub nowhere: [String; 2],
    pub machine: Namespace,
    pub behind: Namespace,
    services: Vec<Service>,
    _wire: Wire,
}

impl Uplink {
    pub(super) fn new(kind: Kind, number: usize, host: &Namespace) -> Self {
        let (machine, behind) = (Namespace::new(), Namespace::new());
        let device = format!("up{number}");
        let pair = |v4: &str, v6: &str| [v4, v6].map(|text| text.replace('N', &number.to_string()));
        let mut uplink = Self {
            kind,
            // in IPv6 the number of a network's first container
            host: pair("192.168.10N.99", "2001:db8:10N::2"),
            peer: pair("192.168.10N.1", "2001:db8:10N::1"),
            target: pair("198.18.N.7", "2001:db8:18:N::7"),
            far: pair("198.19.N.2", "2001:db8:19:N::2"),
            nowhere: pair("198.18.10N.7", "2001:db8:18:10N::7"),
            _wire: kind.lay(&device, number, host, &machine),
            device,
            machine,
            behind,
            services: Vec::new(),
        };
        uplink.number(host);
        uplink.furnish(number);
        uplink
    }

    /// Prefixes behind the machine, of a family.
    pub fn beyond(&self, family: usize) -> Vec<String> {
        let wide = |address: &str| match address.rsplit_once(['.', ':']) {
            Some((prefix, _)) if family == 0 => format!("{prefix}.0/24"),
            Some((prefix, _)) => format!("{prefix}:/64"),
            None => unreachable!("an address"),
        };
        [&self.target, &self.far, &self.nowhere]
            .map(|pair| wide(&pair[family]))
            .into()
    }

    /// How a route of a family names this way out: `via …`, where the device has Ethernet headers.
    pub fn way(&self, family: usize) -> String {
        let (device, peer, host) = (&self.device, &self.peer[family], &self.host[family]);
        match self.kind {
            // an address on another device than the link's is not found by neighbour discovery (RFC 4861, 7.2.3)
            Kind::Unnumbered if family == 1 => format!("via fe80::1 dev {device} src {host}"),
            Kind::Unnumbered => format!("via {peer} dev {device} onlink src {host}"),
            kind if kind.is_bare() => format!("dev {device}"),
            _ => format!("via {peer} dev {device}"),
        }
    }

    /// Routes on the host to all that lies beyond.
    pub fn lead(&self, host: &Namespace) {
        for family in self.kind.families() {
            for prefix in self.beyond(*family) {
                let way = self.way(*family);
                host.sh(&format!("ip {} route add {prefix} {way}", FAMILIES[*family]))
                    .ok();
            }
        }
    }

    fn number(&self, host: &Namespace) {
        let device = &self.device;
        let sides = [
            (host, &self.host, &self.peer, ["fe80::99", "fe80::1"]),
            (&self.machine, &self.peer, &self.host, ["fe80::1", "fe80::99"]),
        ];
        for (namespace, [v4, v6], other, [own_link, other_link]) in sides {
            if self.kind == Kind::Unnumbered {
                namespace
                    .sh(&format!(
                        "ip addr add {v4}/32 dev lo && ip addr add {v6}/128 dev lo nodad && \
                         ip route add {}/32 dev {device} src {v4} && ip addr add {own_link}/64 dev {device} nodad && \
                         ip -6 route add {}/128 via {other_link} dev {device} src {v6}",
                        other[0], other[1]
                    ))
                    .ok();
            } else {
                namespace
                    .sh(&format!(
                        "ip addr add {v4}/24 dev {device} && ip addr add {v6}/64 dev {device} nodad"
                    ))
                    .ok();
            }
        }
    }

    fn furnish(&mut self, number: usize) {
        let (machine, behind) = (&self.machine, &self.behind);
        forward(machine);
        let path = behind.path();
        let router = [format!("198.19.{number}.1"), format!("2001:db8:19:{number}::1")];
        machine
            .sh(&format!(
                "ip link add behind type veth peer name eth0 netns {path} && ip link set behind up && \
                 ip addr add {}/24 dev behind && ip addr add {}/64 dev behind nodad && \
                 ip addr add {}/32 dev lo && ip addr add {}/128 dev lo nodad && \
                 ip route replace 198.19.{number}.0/24 dev behind mtu {FAR_MTU} && \
                 ip -6 route replace 2001:db8:19:{number}::/64 dev behind metric 256 mtu {FAR_MTU} && \
                 ip route add unreachable {}/32 && ip -6 route add unreachable {}/128",
                router[0], router[1], self.target[0], self.target[1], self.nowhere[0], self.nowhere[1],
            ))
            .ok();
        behind
            .sh(&format!(
                "ip link set eth0 up && ip addr add {}/24 dev eth0 && ip addr add {}/64 dev eth0 nodad && \
                 ip route add default via {} && ip -6 route add default via {}",
                self.far[0], self.far[1], router[0], router[1]
            ))
            .ok();
        // each at the address that is asked: answers of a wildcard socket would come from another one
        for (namespace, addresses) in [(machine, &self.peer), (machine, &self.target), (behind, &self.far)] {
            for address in addresses {
                let at = (address.parse::<IpAddr>().expect("an address"), 7).into();
                self.services
                    .extend(Transport::BOTH.map(|transport| Service::at(namespace, transport, at, &self.device)));
            }
        }
    }
}
