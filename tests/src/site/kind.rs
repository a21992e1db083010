//! Kinds of devices that lead to the world.

use super::uplink::MTU;
use super::wireguard;
use crate::world::{Carrier, Frames, Namespace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The reference.
    Veth,
    /// Its addresses are on `lo`.
    Unnumbered,
    /// A bridge with a port towards the world.
    Bridge,
    Macvlan,
    Ipvlan,
    Vlan,
    Vxlan,
    Tap,
    Tun,
    Ipip,
    Sit,
    Ip6Tunnel,
    Gre,
    Gre6,
    Wireguard,
}

/// What a device needs as long as it is used.
pub struct Wire(#[expect(dead_code, reason = "carries as long as it lives")] Option<Carrier>);

impl Kind {
    /// Those that are in every kernel that runs the tests.
    pub const COMMON: [Self; 7] = [
        Self::Veth,
        Self::Unnumbered,
        Self::Bridge,
        Self::Macvlan,
        Self::Vxlan,
        Self::Tap,
        Self::Tun,
    ];

    /// Those that are modules of Debian's kernel.
    pub const MODULES: [Self; 8] = [
        Self::Ipvlan,
        Self::Vlan,
        Self::Ipip,
        Self::Sit,
        Self::Ip6Tunnel,
        Self::Gre,
        Self::Gre6,
        Self::Wireguard,
    ];

    /// Whether its packets have no Ethernet headers.
    pub fn is_bare(self) -> bool {
        matches!(
            self,
            Self::Tun | Self::Ipip | Self::Sit | Self::Ip6Tunnel | Self::Gre | Self::Gre6 | Self::Wireguard
        )
    }

    /// The families that it carries: 0 is IPv4, 1 is IPv6.
    pub fn families(self) -> &'static [usize] {
        match self {
            Self::Ipip => &[0],
            Self::Sit => &[1],
            _ => &[0, 1],
        }
    }

    /// Makes the device of this name on both sides, up, without addresses.
    pub(super) fn lay(self, device: &str, number: usize, host: &Namespace, machine: &Namespace) -> Wire {
        let under = format!("under{number}");
        let sides = [(host, [99, 1]), (machine, [1, 99])];
        let carrier = match self {
            Self::Veth | Self::Unnumbered => {
                veth(host, device, machine, device);
                None
            }
            Self::Tap | Self::Tun => {
                let frames = if self == Self::Tap {
                    Frames::Ethernet
                } else {
                    Frames::Bare
                };
                Some(Carrier::start(sides.map(|(namespace, _)| (namespace, device)), frames))
            }
            Self::Bridge | Self::Macvlan | Self::Ipvlan | Self::Vlan => {
                veth(host, &under, machine, &under);
                for (namespace, _) in sides {
                    namespace.sh(&self.upon(device, &under)).ok();
                }
                None
            }
            _ => {
                veth(host, &under, machine, &under);
                for (namespace, [own, other]) in sides {
                    let [own, other] = [own, other].map(|last| Ends {
                        v4: format!("172.30.{number}.{last}"),
                        v6: format!("2001:db8:30:{number}::{last}"),
                    });
                    namespace
                        .sh(&format!(
                            "ip addr add {}/24 dev {under} && ip addr add {}/64 dev {under} nodad",
                            own.v4, own.v6
                        ))
                        .ok();
                    self.through(namespace, device, number, &own, &other);
                }
                None
            }
        };
        for (namespace, _) in sides {
            // its link-local address is usable at once, too
            let settle = format!("echo 0 > /proc/sys/net/ipv6/conf/{device}/accept_dad");
            namespace
                .sh(&format!("{settle} && ip link set {device} mtu {MTU} up"))
                .ok();
        }
        Wire(carrier)
    }

    /// The line that makes it from another device.
    fn upon(self, device: &str, under: &str) -> String {
        let link = format!("ip link add link {under} name {device} type");
        match self {
            Self::Bridge => format!("ip link add {device} type bridge && ip link set {under} master {device}"),
            Self::Macvlan => format!("{link} macvlan mode bridge"),
            Self::Ipvlan => format!("{link} ipvlan mode l2"),
            _ => format!("{link} vlan id 5"),
        }
    }

    /// Makes a tunnel between two addresses.
    fn through(self, namespace: &Namespace, device: &str, number: usize, own: &Ends, other: &Ends) {
        let v4 = format!("local {} remote {}", own.v4, other.v4);
        let v6 = format!("local {} remote {}", own.v6, other.v6);
        let kind = match self {
            Self::Vxlan => format!("vxlan id {} dstport 4789 {v4}", 70 + number),
            Self::Ipip => format!("ipip {v4}"),
            Self::Sit => format!("sit {v4}"),
            Self::Gre => format!("gre {v4}"),
            Self::Ip6Tunnel => format!("ip6tnl mode any encaplimit none {v6}"),
            Self::Gre6 => format!("ip6gre encaplimit none {v6}"),
            _ => "wireguard".to_owned(),
        };
        namespace.sh(&format!("ip link add {device} type {kind}")).ok();
        if self == Self::Wireguard {
            wireguard::configure(namespace, device, own.v4.ends_with(".99"), &other.v4);
        }
    }
}

/// Addresses of one end of a tunnel.
struct Ends {
    v4: String,
    v6: String,
}

fn veth(host: &Namespace, device: &str, machine: &Namespace, other: &str) {
    let path = machine.path();
    host.sh(&format!(
        "ip link add {device} type veth peer name {other} netns {path}"
    ))
    .ok();
    for (namespace, device) in [(host, device), (machine, other)] {
        namespace.sh(&format!("ip link set {device} up")).ok();
    }
}
