//! Networks of every kind, containers on them, and whoever else may be asked for; and the question whether it answers.

use std::net::IpAddr;

use super::{From, Protocol, To};
use crate::world::{Dial, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, eventually, interfaces};

/// What makes networks and containers: netswitch and Docker Engine take the same words.
pub trait Engine {
    fn world(&self) -> &World;
    /// Runs a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String;
    /// Starts a container that waits.
    fn run(&self, name: &str, options: &[&str]);
    fn inside(&self, name: &str) -> Namespace;
}

impl Engine for World {
    fn world(&self) -> &World {
        self
    }

    fn ok(&self, arguments: &[&str]) -> String {
        World::ok(self, arguments)
    }

    fn run(&self, name: &str, options: &[&str]) {
        World::run(self, name, options);
    }

    fn inside(&self, name: &str) -> Namespace {
        World::inside(self, name)
    }
}

struct Network {
    name: &'static str,
    /// Of its subnets, 10.N.0.0/24 and `fdN::/64`.
    number: u8,
    options: &'static [&'static str],
}

const NEAR: Network = ordinary("near", 61);
const FAR: Network = ordinary("far", 62);
const INNER: Network = Network {
    options: &["--internal"],
    ..ordinary("inner", 63)
};
const QUIET: Network = Network {
    options: &["-o", "com.docker.network.bridge.enable_icc=false"],
    ..ordinary("quiet", 64)
};
const ALONE: Network = Network {
    options: &[
        "--internal",
        "-o",
        "com.docker.network.bridge.gateway_mode_ipv4=isolated",
        "-o",
        "com.docker.network.bridge.gateway_mode_ipv6=isolated",
    ],
    ..ordinary("alone", 65)
};
/// Where a container publishes ports.
const MARKET: Network = ordinary("market", 66);

const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
/// Of everybody's service.
const PORT: u16 = 7000;
const PUBLISHED: u16 = 8080;
/// All of both families.
const UNSPECIFIED: &str = "::";

const fn ordinary(name: &'static str, number: u8) -> Network {
    Network {
        name,
        number,
        options: &[],
    }
}

impl From {
    const fn network(self) -> Network {
        match self {
            Self::SameNetwork => NEAR,
            Self::OtherNetwork => FAR,
            Self::Internal => INNER,
            Self::WithoutIcc => QUIET,
            Self::Isolated => ALONE,
        }
    }

    /// Name of the network that they are on.
    pub const fn network_name(self) -> &'static str {
        self.network().name
    }

    /// Name of the container that asks.
    pub fn sender(self) -> String {
        self.network().container(2)
    }
}

impl Network {
    /// Of a member with these last parts; the gateway's is 1.
    fn addresses(&self, last: u8) -> [String; 2] {
        [
            format!("10.{}.0.{last}", self.number),
            format!("fd{}::{last}", self.number),
        ]
    }

    fn container(&self, last: u8) -> String {
        format!("{}-{last}", self.name)
    }

    /// Its device on the host.
    fn device(&self) -> String {
        format!("br-{}", self.name)
    }
}

/// A question: does it answer?
#[derive(Clone, Debug)]
pub struct Question {
    pub from: From,
    pub protocol: Protocol,
    pub to: IpAddr,
    /// 0 for ICMP.
    pub port: u16,
    /// The name of who should answer; anybody else does not count.
    by: String,
}

/// Everybody is there.
pub struct Scene {
    senders: Vec<(From, Namespace)>,
    _services: Vec<Service>,
}

impl Scene {
    /// `senders`: those that the engine knows networks for.
    pub fn new(engine: &impl Engine, senders: &[From]) -> Self {
        let world = engine.world();
        furnish(world);
        let networks: Vec<Network> = senders.iter().map(|from| from.network()).chain([MARKET]).collect();
        for network in &networks {
            make(engine, network);
        }
        let shop = start(engine, &MARKET, 2, &["-p", "8080:7000", "-p", "8080:7000/udp"]);
        let mut services = both(&shop, UNSPECIFIED, "shop");
        let mut namespaces = Vec::new();
        for from in senders {
            let network = from.network();
            let (sender, neighbour) = (start(engine, &network, 2, &[]), start(engine, &network, 3, &[]));
            services.extend(both(&neighbour, UNSPECIFIED, network.name));
            knows_the_way(
                &sender,
                &network,
                &mac(&world.host, &network.device()),
                &mac(&neighbour, "eth0"),
            );
            namespaces.push((*from, sender));
        }
        for place in namespaces.iter().map(|(_, sender)| sender).chain([&world.host, &shop]) {
            settle(place);
        }
        // at each address: from one for all of them datagrams are answered by another one
        for (place, name, addresses) in [
            (&world.host, "host", HOST),
            (world.lan(), "lan", LAN),
            (world.lan(), "lan", METADATA),
        ] {
            services.extend(addresses.into_iter().flat_map(|address| both(place, address, name)));
        }
        for network in networks.iter().filter(|network| network.name != ALONE.name) {
            let gateways = network.addresses(1);
            services.extend(gateways.iter().flat_map(|gateway| both(&world.host, gateway, "host")));
        }
        Self {
            senders: namespaces,
            _services: services,
        }
    }

    /// `None`: there is nothing to ask.
    pub fn question(&self, from: From, to: To, protocol: Protocol, is_v6: bool) -> Option<Question> {
        if protocol == Protocol::Icmp && to == To::Published || !self.senders.iter().any(|(known, _)| *known == from) {
            return None;
        }
        let family = usize::from(is_v6);
        let own = |[v4, v6]: [&str; 2]| [v4.to_owned(), v6.to_owned()];
        let target = match from {
            From::OtherNetwork => NEAR,
            _ => from.network(),
        };
        let (addresses, by) = match to {
            To::Container => (target.addresses(3), target.name),
            To::OwnGateway => (from.network().addresses(1), "host"),
            To::OtherGateway => (MARKET.addresses(1), "host"),
            To::Host => (own(HOST), "host"),
            To::Published => (own(HOST), "shop"),
            To::Lan => (own(LAN), "lan"),
            To::Metadata => (own(METADATA), "lan"),
        };
        Some(Question {
            from,
            protocol,
            to: addresses[family].parse().expect("an address"),
            port: match (protocol, to) {
                (Protocol::Icmp, _) => 0,
                (_, To::Published) => PUBLISHED,
                _ => PORT,
            },
            by: by.to_owned(),
        })
    }

    /// Whether it answers: asks until it does, for as long as anything may take here.
    pub fn answers(&self, question: &Question) -> bool {
        self.ask(question, PATIENCE.as_secs())
    }

    /// The same for a second, which is long for an answer on one machine.
    pub fn answers_shortly(&self, question: &Question) -> bool {
        self.ask(question, 1)
    }

    fn ask(&self, question: &Question, seconds: u64) -> bool {
        let sender = self.senders.iter().find(|(from, _)| *from == question.from);
        let (_, sender) = sender.expect("a sender of the scene");
        let transport = match question.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Icmp => {
                let ping = format!("ping -n -c 1 -i 0.2 -w {seconds} {}", question.to);
                return sender.sh(&ping).status == 0;
            }
        };
        let dial = Dial::new(transport, (question.to, question.port).into());
        let answer = if seconds > 1 {
            dial.ask(sender)
        } else {
            dial.ask_shortly(sender)
        };
        answer.is_ok_and(|answer| answer.name == question.by)
    }
}

/// The LAN's machine is the host's router and serves metadata, too.
fn furnish(world: &World) {
    let metadata = format!(
        "ip addr add {}/32 dev eth0 && ip addr add {}/128 dev eth0 nodad",
        METADATA[0], METADATA[1]
    );
    world.lan().sh(&metadata).ok();
    let routes = format!(
        "ip route add default via {} && ip -6 route add default via {}",
        LAN[0], LAN[1]
    );
    world.host.sh(&routes).ok();
}

/// Services of both protocols.
fn both(place: &Namespace, address: &str, name: &str) -> Vec<Service> {
    let address = (address.parse::<IpAddr>().expect("an address"), PORT).into();
    Transport::BOTH
        .map(|transport| Service::at(place, transport, address, name))
        .into()
}

fn make(engine: &impl Engine, network: &Network) {
    let [v4, v6] = [
        format!("10.{}.0.0/24", network.number),
        format!("fd{}::/64", network.number),
    ];
    let device = format!("com.docker.network.bridge.name={}", network.device());
    let subnets = ["--ipv6", "--subnet", &v4, "--subnet", &v6, "-o", &device];
    engine.ok(&[&["network", "create"], &subnets[..], network.options, &[network.name]].concat());
}

fn start(engine: &impl Engine, network: &Network, last: u8, options: &[&str]) -> Namespace {
    let [v4, v6] = network.addresses(last);
    let name = network.container(last);
    engine.run(
        &name,
        &[&["--net", network.name, "--ip", &v4, "--ip6", &v6], options].concat(),
    );
    engine.inside(&name)
}

/// Until every address of a place can be used.
fn settle(place: &Namespace) {
    eventually("no address is tentative", || {
        match place.sh("ip -6 -o addr show tentative").ok() {
            some if some.is_empty() => Ok(()),
            some => Err(some),
        }
    });
}

/// A container that does not take what it is given: it knows everybody's MAC, and has a way out by its gateway's.
fn knows_the_way(sender: &Namespace, network: &Network, gateway: &str, neighbour: &str) {
    for (last, mac) in [(1, gateway), (3, neighbour)] {
        for address in network.addresses(last) {
            let line = format!("ip neigh replace {address} lladdr {mac} dev eth0 nud permanent");
            sender.sh(&line).ok();
        }
    }
    for (family, gateway) in ["-4", "-6"].into_iter().zip(network.addresses(1)) {
        let line = format!("ip {family} route replace default via {gateway} dev eth0 onlink");
        sender.sh(&line).ok();
    }
}

fn mac(place: &Namespace, device: &str) -> String {
    let found = interfaces(place).into_iter().find(|found| found.name == device);
    found.unwrap_or_else(|| panic!("no {device}")).mac
}
