//! A hostile container: what it says in frames of its own making, who hears it, as what it is counted against it, and
//! what `netswitch monitor` tells of it. The cases stand in tables (DATAPATH §5; conformance cases 26, 30 and 32), for
//! both families.

mod address;
mod error;
mod exhaust;
mod fragment;
mod length;
mod link;
mod neighbour;
mod offload;
mod permitted;
mod router;
mod server;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netswitch_common::address::Mac;
use tests::packet::{Ip, describe, ip, multicast_mac};
use tests::world::{Capture, HOST, LAN, Listener, Namespace, World, send, send_offloaded, within};

use super::{address, dual};

/// Both families of everybody.
const ATTACKER: [&str; 2] = ["10.70.0.2", "fd70::2"];
const VICTIM: [&str; 2] = ["10.70.0.3", "fd70::3"];
const NOBODY: [&str; 2] = ["10.70.0.9", "fd70::9"];
const GATEWAY: [&str; 2] = ["10.70.0.1", "fd70::1"];
/// On another network, and its gateway.
const STRANGER: [&str; 2] = ["10.80.0.2", "fd80::2"];
const OTHER_GATEWAY: [&str; 2] = ["10.80.0.1", "fd80::1"];
const ALL_NODES: [&str; 2] = ["255.255.255.255", "ff02::1"];
const FAMILIES: [usize; 2] = [0, 1];

const EVERYBODY: Mac = Mac([0xff; 6]);
/// Nobody's.
const STRANGE: Mac = Mac([2, 0, 0, 0, 0, 9]);
/// In every payload, so that a packet is known again when its headers have changed.
const MARK: &[u8] = b"hostile!";
const PATIENCE: Duration = Duration::from_secs(20);

/// Where somebody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Victim,
    /// The host's end of the network.
    Host,
    Stranger,
    /// The host's end of the stranger's network.
    OtherHost,
    /// The machine at the uplink.
    Lan,
}
use Place::{Host, Lan, Victim};

/// What becomes of the frames of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody hears them, and each is counted and told for this reason.
    Dropped(&'static str),
    /// They arrive here and nowhere else.
    Heard(&'static [Place]),
    /// The switch itself answers them: nobody hears them, and they are no drops.
    Answered,
}

/// One line of a table.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    frames: Vec<Vec<u8>>,
    /// A `struct virtio_net_hdr` before each of them.
    offload: Option<[u8; 10]>,
    fate: Fate,
}

fn dropped(reason: &'static str, name: impl Into<String>, frame: Vec<u8>) -> Case {
    case(Fate::Dropped(reason), name, vec![frame])
}

fn heard(places: &'static [Place], name: impl Into<String>, frame: Vec<u8>) -> Case {
    case(Fate::Heard(places), name, vec![frame])
}

fn answered(name: impl Into<String>, frame: Vec<u8>) -> Case {
    case(Fate::Answered, name, vec![frame])
}

impl Case {
    fn complaint(&self, fault: &str) -> String {
        let frames: Vec<_> = self.frames.iter().map(|frame| describe(frame)).collect();
        format!("{}: {fault}\n  {}", self.name, frames.join("\n  "))
    }
}

fn case(fate: Fate, name: impl Into<String>, frames: Vec<Vec<u8>>) -> Case {
    Case {
        name: name.into(),
        frames,
        offload: None,
        fate,
    }
}

/// A host with an uplink and two networks: attacker and victim on one, a stranger on the other. The victim
/// publishes port 80 as the host's 8080.
struct Field {
    /// Of what is dropped; ends before the agent does.
    monitor: Listener,
    world: World,
    attacker: Namespace,
    places: Vec<(Place, Capture)>,
    own: Mac,
    victim: Mac,
    stranger: Mac,
    gateway: Mac,
}

impl Field {
    fn new() -> Self {
        Self::on(&[])
    }

    /// The same with options for the first network.
    fn on(options: &[&str]) -> Self {
        let world = World::with_lan();
        dual(&world, "mynet", 70, options);
        dual(&world, "other", 80, &[]);
        world.run("attacker", &["--net", "mynet"]);
        world.run("victim", &["--net", "mynet", "-p", "8080:80", "-p", "8080:80/udp"]);
        world.run("stranger", &["--net", "other"]);
        let host_end = |network| {
            let name = format!("br-{}", &world.network(network)["Id"].as_str().unwrap()[..12]);
            Capture::start(&world.host, &name)
        };
        let places = vec![
            (Victim, Capture::start(&world.inside("victim"), "eth0")),
            (Host, host_end("mynet")),
            (Place::Stranger, Capture::start(&world.inside("stranger"), "eth0")),
            (Place::OtherHost, host_end("other")),
            (Lan, Capture::start(world.lan(), "eth0")),
        ];
        Self {
            attacker: world.inside("attacker"),
            monitor: Listener::start(&world, &["--drops", "--from", "attacker"]),
            places,
            own: world.mac("attacker", "mynet"),
            victim: world.mac("victim", "mynet"),
            stranger: world.mac("stranger", "other"),
            gateway: Mac([0x02, 0x42, 10, 70, 0, 1]),
            world,
        }
    }

    /// From the attacker as it is, to the victim as it is.
    fn to_victim(&self, family: usize) -> Ip {
        self.packet(self.victim, ATTACKER[family], VICTIM[family])
    }

    /// From the attacker as it is, by the gateway's MAC.
    fn to_gateway(&self, family: usize, to: &str) -> Ip {
        self.packet(self.gateway, ATTACKER[family], to)
    }

    /// To everybody on the network.
    fn to_all(&self, family: usize) -> Ip {
        self.packet(group(family), ATTACKER[family], ALL_NODES[family])
    }

    /// From the attacker's MAC, whatever it says above that.
    fn packet(&self, to: Mac, source: &str, destination: &str) -> Ip {
        ip((self.own, to), address(source), address(destination))
    }

    /// Runs the cases of a table one by one, and tells of all that do not hold.
    #[track_caller]
    fn holds(&self, cases: &[Case]) {
        let count = cases.len();
        let mut failures: Vec<_> = cases
            .iter()
            .filter_map(|case| Some(case.complaint(&self.judge(case).err()?)))
            .collect();
        failures.extend(self.monitored(cases).err());
        assert!(
            failures.is_empty(),
            "{} of {count}:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }

    fn judge(&self, case: &Case) -> Result<(), String> {
        let mut counted = self.drops();
        self.heard(case);
        for frame in &case.frames {
            match case.offload {
                None => send(&self.attacker, "eth0", frame),
                Some(header) => send_offloaded(&self.attacker, "eth0", header, frame),
            }
        }
        let expected: Vec<Place> = match &case.fate {
            Fate::Heard(places) => places.to_vec(),
            Fate::Dropped(_) | Fate::Answered => Vec::new(),
        };
        if let Fate::Dropped(reason) = case.fate {
            *counted.entry(reason.to_owned()).or_default() += case.frames.len() as u64;
        }
        let mut heard = BTreeMap::new();
        within(PATIENCE, || {
            for (place, count) in self.heard(case) {
                *heard.entry(place).or_insert(0) += count;
            }
            let heard: Vec<_> = heard.keys().copied().collect();
            let complaint = || format!("heard by {heard:?}, not {expected:?}; counted {:?}", self.drops());
            (heard == expected).then_some(()).ok_or_else(complaint)
        })?;
        within(PATIENCE, || {
            let found = self.drops();
            let complaint = || format!("counted {found:?}, not {counted:?}");
            (found == counted).then_some(()).ok_or_else(complaint)
        })?;
        // after it was counted nothing more of it can come
        let late = self.heard(case).into_keys().find(|place| !expected.contains(place));
        late.map_or(Ok(()), |place| Err(format!("heard by {place:?}")))
    }

    /// Of each frame that was to be dropped the monitor tells, in their order, and of nothing else.
    fn monitored(&self, cases: &[Case]) -> Result<(), String> {
        for case in cases {
            let Fate::Dropped(reason) = case.fate else { continue };
            for _ in &case.frames {
                let line = self.monitor.next(PATIENCE).unwrap_or_default();
                // before the reason: time, verdict, network, from, to, protocol, addresses and an arrow, length
                let words: Vec<&str> = line.split_whitespace().collect();
                if words.get(1..4) != Some(&["drop", "mynet", "attacker"]) || words.get(10) != Some(&reason) {
                    return Err(case.complaint(&format!("the monitor tells {line:?}, not {reason}")));
                }
            }
        }
        Ok(())
    }

    /// What was counted against the attacker.
    fn drops(&self) -> BTreeMap<String, u64> {
        self.world.counted("attacker", "mynet").drops
    }

    /// Who has heard how many frames of the case since this was asked last.
    fn heard(&self, case: &Case) -> BTreeMap<Place, usize> {
        let mut heard = BTreeMap::new();
        for (place, capture) in &self.places {
            let frames = capture.so_far().into_iter().filter(|captured| {
                let carries_mark = captured.frame.windows(MARK.len()).any(|bytes| bytes == MARK);
                !captured.is_outgoing && (carries_mark || case.frames.contains(&captured.frame))
            });
            let count = frames.count();
            if count > 0 {
                heard.insert(*place, count);
            }
        }
        heard
    }
}

/// The MAC by which [`ALL_NODES`] are reached.
fn group(family: usize) -> Mac {
    match family {
        0 => EVERYBODY,
        _ => multicast_mac(address(ALL_NODES[1])),
    }
}

/// The name of a case in one of the families.
fn named(family: usize, what: &str) -> String {
    format!("{what} (IPv{})", [4, 6][family])
}

/// What an ICMP error quotes: the start of a datagram.
fn quoted(from: IpAddr, to: IpAddr) -> Vec<u8> {
    ip((STRANGE, STRANGE), from, to).udp(40_000, 80, MARK)[14..].to_vec()
}
