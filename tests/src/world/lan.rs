//! The world beyond the host: a LAN at `up0`, more uplinks, and what lies behind a router.

use std::net::IpAddr;

use super::{Namespace, World};

/// The host on the LAN, per family. In IPv6 its number is that of a network's first container, as on many hosts: nothing
/// may take the two addresses for one.
pub const HOST: [&str; 2] = ["192.168.56.99", "2001:db8:56::2"];
/// The machine at the other end of `up0`, which is the router of [`World::add_far`].
pub const LAN: [&str; 2] = ["192.168.56.1", "2001:db8:56::1"];
/// The host on its second uplink, `up1`, and the machine there.
pub const SECOND_HOST: [&str; 2] = ["192.168.57.99", "2001:db8:57::2"];
pub const SECOND_LAN: [&str; 2] = ["192.168.57.1", "2001:db8:57::1"];
/// Behind the router.
pub const FAR: [&str; 2] = ["198.51.100.2", "2001:db8:100::2"];

impl World {
    /// A host that has `up0` (192.168.56.99/24, `2001:db8:56::2/64`) towards a LAN with a machine at .1.
    pub fn with_lan() -> Self {
        Self::with_lan_and(&[])
    }

    /// The same with more arguments for the agent.
    pub fn with_lan_and(arguments: &[&str]) -> Self {
        let mut world = Self::without_agent();
        world.add_lan();
        world.start_agent(arguments);
        world
    }

    pub fn add_lan(&mut self) {
        self.lan = Some(self.add_uplink("up0", HOST, LAN));
    }

    /// A device towards a LAN of its own, and the machine there.
    pub fn add_uplink(&self, device: &str, host: [&str; 2], machine: [&str; 2]) -> Namespace {
        let lan = Namespace::new();
        link(&self.host, device, &lan, "eth0");
        number(&self.host, device, host);
        number(&lan, "eth0", machine);
        lan
    }

    /// The machine on the LAN.
    pub fn lan(&self) -> &Namespace {
        self.lan.as_ref().expect("a world with a LAN")
    }

    /// Makes the machine on the LAN the host's default router, and puts a machine behind it, to which it
    /// sends nothing larger than this MTU.
    pub fn add_far(&self, mtu: u16) -> Namespace {
        let (router, far) = (self.lan(), Namespace::new());
        link(router, "eth1", &far, "eth0");
        number(router, "eth1", ["198.51.100.1", "2001:db8:100::1"]);
        number(&far, "eth0", FAR);
        // of the router alone: a small MTU of far's own device would be told by its segment size
        router
            .sh(&format!("ip route replace 198.51.100.0/24 dev eth1 mtu {mtu}"))
            .ok();
        router
            .sh(&format!(
                "ip -6 route replace 2001:db8:100::/64 dev eth1 metric 256 mtu {mtu}"
            ))
            .ok();
        router
            .sh("echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
            .ok();
        // traceroute and path MTU discovery ask for more ICMP errors than a default host gives
        router
            .sh("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit && echo 0 > /proc/sys/net/ipv6/icmp/ratelimit")
            .ok();
        for (family, gateway) in ["-4", "-6"].into_iter().zip(["198.51.100.1", "2001:db8:100::1"]) {
            far.sh(&format!("ip {family} route add default via {gateway}")).ok();
        }
        for (family, gateway) in ["-4", "-6"].into_iter().zip(LAN) {
            self.host
                .sh(&format!("ip {family} route add default via {gateway} dev up0"))
                .ok();
        }
        far
    }
}

/// A veth pair, both ends up.
fn link(one: &Namespace, device: &str, two: &Namespace, other: &str) {
    one.sh(&format!(
        "ip link add {device} type veth peer name {other} netns {}",
        two.path()
    ))
    .ok();
    for (namespace, device) in [(one, device), (two, other)] {
        // its link-local address is usable at once, too
        let settle = format!("echo 0 > /proc/sys/net/ipv6/conf/{device}/accept_dad && ip link set {device} up");
        namespace.sh(&settle).ok();
    }
}

/// Addresses of both families, usable at once.
fn number(namespace: &Namespace, device: &str, [v4, v6]: [&str; 2]) {
    namespace
        .sh(&format!(
            "ip addr add {v4}/24 brd + dev {device} && ip addr add {v6}/64 dev {device} nodad"
        ))
        .ok();
}

/// Both families of one of the pairs above.
pub fn addresses(pair: [&str; 2]) -> [IpAddr; 2] {
    pair.map(|text| text.parse().expect("an address"))
}
