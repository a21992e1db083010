//! What stands between the containers and the uplinks: the switch, or a plain Linux router.

use super::{BRIDGE, CONTAINERS, SUBNET};
use crate::world::{Namespace, World};

/// Which of the two.
pub enum Gate<'a> {
    /// An agent with these arguments.
    Switch(&'a [&'a str]),
    /// The kernel's forwarding with nftables for masquerade and published ports, as Docker sets it up.
    Router,
}

/// Ports of `one` that are published, and where they lead.
const PUBLISHED: [(u16, u16); 3] = [(8080, 80), (8081, 81), (8082, 82)];

pub struct Gateway {
    world: Option<World>,
    router: Option<Namespace>,
    containers: Vec<Namespace>,
}

impl Gateway {
    pub(super) fn new(gate: &Gate) -> Self {
        let (world, router) = match gate {
            Gate::Switch(_) => (Some(World::without_agent()), None),
            Gate::Router => (None, Some(Namespace::new())),
        };
        Self {
            world,
            router,
            containers: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, gate: &Gate) {
        self.containers = match (gate, &self.world, &self.router) {
            (Gate::Switch(arguments), Some(world), _) => switch(world, arguments),
            (_, _, Some(host)) => router(host),
            _ => unreachable!("it was made for this gate"),
        };
    }

    pub fn host(&self) -> &Namespace {
        let world = self.world.as_ref().map(|world| &world.host);
        world.or(self.router.as_ref()).expect("a host")
    }

    /// The world with the agent, where it is a switch.
    pub fn world(&self) -> Option<&World> {
        self.world.as_ref()
    }

    pub fn one(&self) -> &Namespace {
        &self.containers[0]
    }

    pub fn two(&self) -> &Namespace {
        &self.containers[1]
    }
}

fn switch(world: &World, arguments: &[&str]) -> Vec<Namespace> {
    tell_everything(&world.host);
    world.start_agent(arguments);
    let bridge = format!("com.docker.network.bridge.name={BRIDGE}");
    let subnets = ["--ipv6", "--subnet", SUBNET[0], "--subnet", SUBNET[1], "-o", &bridge];
    world.ok(&[&["network", "create"], &subnets[..], &["dual"]].concat());
    let ports = PUBLISHED.iter().flat_map(|(outside, inside)| {
        let ports = ["tcp", "udp"].map(|transport| format!("--publish={outside}:{inside}/{transport}"));
        ports.into_iter()
    });
    let ports: Vec<_> = ports.collect();
    let mut options = vec!["--net", "dual", "--ip", CONTAINERS[0][0], "--ip6", CONTAINERS[0][1]];
    options.extend(ports.iter().map(String::as_str));
    world.run("one", &options);
    world.run(
        "two",
        &["--net", "dual", "--ip", CONTAINERS[1][0], "--ip6", CONTAINERS[1][1]],
    );
    ["one", "two"].map(|name| world.inside(name)).into()
}

fn router(host: &Namespace) -> Vec<Namespace> {
    host.sh(&format!(
        "ip link add {BRIDGE} type bridge && ip link set {BRIDGE} up && ip addr add 10.66.0.1/24 dev {BRIDGE} && \
         ip addr add fd66::1/64 dev {BRIDGE} nodad"
    ))
    .ok();
    forward(host);
    let containers = CONTAINERS.iter().enumerate().map(|(number, [v4, v6])| {
        let inside = Namespace::new();
        let path = inside.path();
        host.sh(&format!(
            "ip link add c{number} type veth peer name eth0 netns {path} && ip link set c{number} master {BRIDGE} up"
        ))
        .ok();
        inside
            .sh(&format!(
                "ip link set eth0 up && ip addr add {v4}/24 dev eth0 && ip addr add {v6}/64 dev eth0 nodad && \
                 ip route add default via 10.66.0.1 && ip -6 route add default via fd66::1"
            ))
            .ok();
        inside
    });
    let containers = containers.collect();
    let ports = PUBLISHED
        .map(|(outside, inside)| format!("{outside} : {inside}"))
        .join(", ");
    let chains = [("ip", CONTAINERS[0][0].to_owned()), ("ip6", format!("[{}]", CONTAINERS[0][1]))].map(|(family, one)| {
        let bare = one.trim_matches(['[', ']']);
        format!(
            "table {family} docker {{
                chain before {{ type nat hook prerouting priority dstnat;
                    iifname != \"{BRIDGE}\" fib daddr type local meta l4proto {{ tcp, udp }} dnat to {bare} : th dport map {{ {ports} }}
                }}
                chain after {{ type nat hook postrouting priority srcnat; iifname \"{BRIDGE}\" oifname != \"{BRIDGE}\" masquerade; }}
            }}"
        )
    });
    host.sh(&format!("nft -f - <<'RULES'\n{}\nRULES", chains.join("\n")))
        .ok();
    containers
}

/// Makes a router of a namespace, one that tells every error.
pub(super) fn forward(namespace: &Namespace) {
    namespace
        .sh("echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        .ok();
    tell_everything(namespace);
}

/// ICMP errors of the kernel's own without a limit by receiver.
fn tell_everything(namespace: &Namespace) {
    namespace
        .sh("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit && echo 0 > /proc/sys/net/ipv6/icmp/ratelimit")
        .ok();
}
