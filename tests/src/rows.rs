//! The datapath rows: a packet in, what the switch must decide, the packet out, the counters moved.
//! The same rows run through `from_endpoint`, `explain_endpoint` and the model.

pub mod error_guard;
pub mod flow;
pub mod forward;
pub mod gateway;
pub mod host;
pub mod leash;
pub mod link_guard;
pub mod malformed;
pub mod mtu;
pub mod neighbour;
pub mod neighbour_guard;
pub mod policy;
pub mod replicate;
mod router;
pub mod source_guard;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::{
    address::Mac,
    endpoint::Kind,
    verdict::{Decision, DropReason, Verdict},
};

use crate::{
    fixture::Port,
    packet::{Ip, ip},
    switch::{Counter, Effect, Switch},
};

/// One case.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// Device that the frame arrives on.
    pub index: u32,
    pub frame: Vec<u8>,
    pub decision: Decision,
    pub effect: Effect,
}

/// A frame that waits for what is expected of it.
#[must_use]
pub struct Sent {
    name: &'static str,
    index: u32,
    frame: Vec<u8>,
    start: Decision,
    /// The host's port on the sender's network.
    host: Option<&'static Port>,
}

/// A frame from a port.
pub fn sends(from: &Port, name: &'static str, frame: Vec<u8>) -> Sent {
    Sent {
        host: Some(from.network.host_port()),
        name,
        index: from.index(),
        frame,
        start: Decision {
            source: from.id,
            network: from.network.number.into(),
            ..Default::default()
        },
    }
}

/// A frame from a device that is no port.
pub fn stranger_sends(index: u32, name: &'static str, frame: Vec<u8>) -> Sent {
    Sent {
        name,
        index,
        frame,
        start: Decision::default(),
        host: None,
    }
}

impl Sent {
    pub fn is_dropped(self, reason: DropReason) -> Row {
        let decision = Decision {
            reason: reason as u32,
            ..self.start
        };
        self.row(decision, Verdict::Drop, Effect::Dropped)
    }

    /// It arrives as it was sent.
    pub fn reaches(self, port: &Port) -> Row {
        let decision = Decision {
            ifindex: port.target(),
            way: port.kind.way() as u8,
            destination: port.id,
            ..self.start
        };
        let verdict = match port.kind {
            Kind::Container | Kind::Remote => Verdict::Peer,
            Kind::Host => Verdict::Host,
        };
        let frame = self.frame.clone();
        self.row(decision, verdict, Effect::Forwarded(frame))
    }

    /// A copy arrives at each of these.
    pub fn is_copied_to(self, ports: &[&Port]) -> Row {
        let start = self.start;
        let mut copies = BTreeMap::new();
        for port in ports {
            *copies.entry(port.index()).or_default() += 1;
        }
        self.row(start, Verdict::Replicate, Effect::Copied(copies))
    }

    /// The sender gets another frame instead, which names `mac`.
    pub fn is_answered(self, verdict: Verdict, mac: Mac, answer: Vec<u8>) -> Row {
        let decision = Decision { mac, ..self.start };
        self.row(decision, verdict, Effect::Answered(answer))
    }

    /// The sender is told the MTU.
    pub fn is_too_big(self, mtu: u16) -> Row {
        let decision = Decision {
            mtu,
            reason: DropReason::TooBig as u32,
            ..self.start
        };
        let [high, low] = mtu.to_be_bytes();
        let answer = self.answer((3, 4), (2, 0), [0, 0, high, low]);
        self.row(decision, Verdict::AnswerTooBig, Effect::Answered(answer))
    }

    /// The sender is told that its destination is unreachable, and why.
    pub fn is_told(self, reason: DropReason) -> Row {
        let decision = Decision {
            reason: reason as u32,
            ..self.start
        };
        let (v4, v6) = match reason {
            DropReason::NoUplink => ((3, 13), (1, 1)),
            DropReason::NoSuchNeighbour => ((3, 1), (1, 3)),
            _ => panic!("nobody is told of {reason:?}"),
        };
        let answer = self.answer(v4, v6, [0; 4]);
        self.row(decision, Verdict::AnswerUnreachable, Effect::Answered(answer))
    }

    /// An ICMP error about the frame, with its type and code by family.
    fn answer(&self, v4: (u8, u8), v6: (u8, u8), word: [u8; 4]) -> Vec<u8> {
        let host = self.host.expect("from a port");
        let kind = if self.frame[12..14] == [8, 0] { v4 } else { v6 };
        router::says(host, self.index == host.index(), kind, word, &self.frame)
    }

    fn row(self, decision: Decision, verdict: Verdict, effect: Effect) -> Row {
        Row {
            name: self.name,
            index: self.index,
            frame: self.frame,
            decision: Decision {
                verdict: verdict as u32,
                ..decision
            },
            effect,
        }
    }
}

impl Row {
    /// The counters it moves, by packets; no others may move.
    pub fn counters(&self) -> BTreeMap<Counter, u64> {
        Switch::counters(&self.decision, &self.effect)
    }
}

/// The part of a decision that its verdict gives a meaning to.
pub fn meaning(decision: Decision) -> Decision {
    let bare = Decision {
        ifindex: 0,
        destination: 0,
        mac: Mac::default(),
        mtu: 0,
        way: 0,
        remote: 0,
        ..decision
    };
    match Verdict::from_number(decision.verdict) {
        Some(
            Verdict::Peer | Verdict::Host | Verdict::Question | Verdict::Answer | Verdict::Admit | Verdict::Follow,
        ) => Decision {
            ifindex: decision.ifindex,
            way: decision.way,
            destination: decision.destination,
            ..bare
        },
        Some(Verdict::AnswerArp | Verdict::AnswerNeighbour) => Decision {
            mac: decision.mac,
            ..bare
        },
        Some(Verdict::AnswerTooBig | Verdict::Cut) => Decision {
            mtu: decision.mtu,
            ..bare
        },
        Some(
            Verdict::Drop
            | Verdict::Replicate
            | Verdict::AnswerTimeExceeded
            | Verdict::AnswerUnreachable
            | Verdict::Translate
            | Verdict::Open
            | Verdict::Pass
            | Verdict::Share
            | Verdict::Park
            | Verdict::Unpark
            | Verdict::AnswerName
            | Verdict::DenyName,
        )
        | None => bare,
    }
}

/// Every row that the program can be run on without a wire, file by file.
pub fn all() -> Vec<Row> {
    [
        source_guard::rows(),
        neighbour_guard::rows(),
        link_guard::rows(),
        error_guard::rows(),
        neighbour::rows(),
        forward::rows(),
        replicate::rows(),
        gateway::rows(),
        host::rows(),
        mtu::rows(),
        malformed::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn v4(from: &Port, to: &Port) -> Ip {
    ip((from.mac(), to.mac()), from.v4(), to.v4())
}

fn v6(from: &Port, to: &Port) -> Ip {
    ip((from.mac(), to.mac()), from.v6(), to.v6())
}

/// From a port to its gateway's MAC, for an address somewhere.
fn via_gateway(from: &Port, to: impl Into<IpAddr>) -> Ip {
    let to = to.into();
    let source = if to.is_ipv4() {
        IpAddr::from(from.v4())
    } else {
        from.v6().into()
    };
    ip((from.mac(), from.network.host_port().mac()), source, to)
}

const ALL_ONES: Ipv4Addr = Ipv4Addr::BROADCAST;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let mut rows = all();
        rows.extend(malformed::on_the_wire());
        let flows = flow::rows();
        let names: BTreeSet<_> = rows
            .iter()
            .map(|row| row.name)
            .chain(flows.iter().map(|row| row.name))
            .collect();
        assert_eq!(names.len(), rows.len() + flows.len());
    }

    /// They take many frames: `tests/datapath/rate.rs`, `tests/datapath/limit.rs`.
    const RATES: [DropReason; 3] = [
        DropReason::ReplicationRate,
        DropReason::RateLimit,
        DropReason::PacketRate,
    ];

    /// A full table (`nat/slots.rs`), source routes (`nat/route.rs`), the host's own use of a protocol (`network/host_first.rs`) and a
    /// next hop's silence for three seconds (`network/no_way.rs`) take a world of their own; a kernel without memory, or
    /// whose helpers refuse, cannot be had.
    const NO_ROWS: [DropReason; 6] = [
        DropReason::TableFull,
        DropReason::NoMemory,
        DropReason::Internal,
        DropReason::HostProtocol,
        DropReason::SourceRoute,
        DropReason::SilentNextHop,
    ];

    /// As far as rows of one frame and rows of flows go.
    #[test]
    fn every_verdict_and_every_reason_has_a_row() {
        let mut counted: BTreeSet<Counter> = all().iter().flat_map(|row| row.counters().into_keys()).collect();
        counted.extend(flow::rows().iter().flat_map(|row| row.counters().into_keys()));
        for verdict in Verdict::ALL {
            let is_counted = counted.contains(&Counter::Path(*verdict));
            assert!(is_counted, "no row ends as {}", verdict.name());
        }
        for reason in DropReason::ALL {
            let is_counted = counted
                .iter()
                .any(|counter| matches!(counter, Counter::Drop(_, found) if found == reason));
            let is_elsewhere = RATES.contains(reason) || NO_ROWS.contains(reason);
            assert!(is_counted || is_elsewhere, "no row counts {}", reason.name());
        }
    }
}
