//! Rows that take an uplink and what came before: flows, publications, fragments. The model knows nothing
//! of these; the packets that leave are compared in `tests/datapath/nat`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch::model::ipsec::{Policy, Side, stop_all};
use netswitch_common::{
    address::{Address, Mac},
    capacity,
    fragment::PARKED_LONGEST,
    host::Config,
    name,
    publish::{flags, protocol},
    verdict::{DropReason, Verdict},
};

use crate::{
    fixture::{
        A, ALPHA_HOST, B, D, HOST_V4, MORE, Port, Q, REFUSED, RESOLVER, S, SHUT_HOST, SMALL, UPLINK_INDEX, WORLD_V4,
        WORLD_V6,
        uplink::{self, FROM_WORLD, into, out},
    },
    packet::{Ip, ip},
    question,
    switch::Counter,
};

/// One case. Rows share a world and have ports of their own in it.
#[derive(Debug)]
pub struct FlowRow {
    pub name: &'static str,
    /// In the maps beside the fixture's.
    pub entries: Vec<Entry>,
    pub config: Config,
    /// Of the host's `IPsec`.
    pub policies: Vec<Policy>,
    /// What came before.
    pub before: Vec<Arrival>,
    pub last: Arrival,
    /// What its path is counted as.
    pub verdict: Verdict,
    /// What is counted as dropped, and to whom.
    pub dropped: Option<(u32, DropReason)>,
}

/// A frame at a hook.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub hook: Hook,
    pub index: u32,
    pub frame: Vec<u8>,
}

impl FlowRow {
    /// The counters that its last frame moves, by packets; no others may move.
    pub fn counters(&self) -> BTreeMap<Counter, u64> {
        let dropped = self.dropped.map(|(endpoint, reason)| Counter::Drop(endpoint, reason));
        let counters = dropped.into_iter().chain([Counter::Path(self.verdict)]);
        counters.map(|counter| (counter, 1)).collect()
    }
}

pub(super) fn sent(from: &Port, frame: Vec<u8>) -> Arrival {
    Arrival {
        hook: Hook::Endpoint,
        index: from.index(),
        frame,
    }
}

fn received(frame: Vec<u8>) -> Arrival {
    Arrival {
        hook: Hook::Uplink,
        index: UPLINK_INDEX,
        frame,
    }
}

/// A row in which nothing came before and nothing is dropped.
pub(super) fn row(name: &'static str, last: Arrival, verdict: Verdict) -> FlowRow {
    FlowRow {
        name,
        entries: Vec::new(),
        config: uplink::config(capacity::MASQUERADE_PORTS, 64),
        policies: Vec::new(),
        before: Vec::new(),
        last,
        verdict,
        dropped: None,
    }
}

pub(super) fn refused(name: &'static str, last: Arrival, endpoint: &Port, reason: DropReason) -> FlowRow {
    row(name, last, Verdict::Drop).charged(endpoint, reason)
}

impl FlowRow {
    pub(super) fn after(self, before: &[Arrival]) -> Self {
        Self {
            before: before.to_vec(),
            ..self
        }
    }

    /// With a port of the host's published on a container's port 80.
    fn published(mut self, host_port: u16, port: &Port, flags: u32) -> Self {
        let any = Ipv4Addr::UNSPECIFIED.into();
        let publication = uplink::publication(any, (host_port, host_port), port, 80, flags);
        self.entries.extend(publication);
        self
    }

    fn configured(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// The sender, or whom it was for if that came from the world, is charged.
    fn charged(self, endpoint: &Port, reason: DropReason) -> Self {
        Self {
            dropped: Some((endpoint.id, reason)),
            ..self
        }
    }
}

pub fn rows() -> Vec<FlowRow> {
    [
        flows(),
        fragments(),
        ends(),
        closed(),
        no_way(),
        protected(),
        shared(),
        exhausted(),
        names(),
        super::policy::rows(),
        super::leash::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// About names: the agent's to answer, its answer, and the switch's own.
fn names() -> Vec<FlowRow> {
    const AGENT: u16 = 5000;
    let config = Config {
        names_port: AGENT,
        ..uplink::config(capacity::MASQUERADE_PORTS, 64)
    };
    let asked = |data: &[u8]| sent(&A, ip(out(&A), A.v4(), ALPHA_HOST.v4()).udp(4000, 53, data));
    let asks_q = sent(&Q, ip(out(&Q), Q.v4(), SHUT_HOST.v4()).udp(4000, 53, b"?"));
    let answer = ip(into(&A), ALPHA_HOST.v4(), A.v4()).udp(AGENT, 4000, b"!");
    let wire = question::wire("web");
    let view = Entry::View {
        sandbox: A.id,
        value: name::View {
            networks: [A.network.number.into(), 0, 0, 0],
        },
    };
    let web = Entry::Name {
        key: name::NameKey::new(A.network.number.into(), &wire).expect("a short name"),
        value: Box::new(name::Name {
            length: u32::try_from(wire.len()).expect("a short name"),
            pointer_length: 0,
            v4: u32::from_ne_bytes(B.v4().octets()),
            time_to_live: 0,
            v6: Address::NONE,
            pointer: [0; name::LONGEST],
        }),
    };
    let known = row(
        "a question for a name of the network",
        asked(&question::question("web", question::A)),
        Verdict::AnswerName,
    );
    vec![
        row("a question for the agent", asked(b"?"), Verdict::Question).configured(config),
        row(
            "a question for the agent where the rest of the host is closed",
            asks_q,
            Verdict::Question,
        )
        .configured(config),
        row("its answer to it", sent(&ALPHA_HOST, answer), Verdict::Answer).configured(config),
        FlowRow {
            entries: vec![view, web],
            ..known
        },
        row(
            "a question where nobody else answers",
            sent(
                &S,
                ip(out(&S), S.v4(), S.network.v4(RESOLVER)).udp(4000, 53, &question::question("web", question::A)),
            ),
            Verdict::DenyName,
        ),
    ]
}

fn to_world(from: &Port) -> Ip {
    ip(out(from), from.v4(), WORLD_V4)
}

fn from_world(to: impl Into<IpAddr>) -> Ip {
    ip(FROM_WORLD, WORLD_V4, to)
}

fn flows() -> Vec<FlowRow> {
    let asks = sent(&A, to_world(&A).udp(1000, 53, b"?"));
    let comes = received(from_world(HOST_V4).tcp(1001, 8001, b"?"));
    let answers = sent(&B, to_world(&B).tcp(80, 1001, b"!"));
    let other = received(from_world(HOST_V4).tcp(1002, 22, b"?"));
    vec![
        row("a first packet to the world", asks.clone(), Verdict::Open),
        row("a second one", asks.clone(), Verdict::Translate).after(&[asks]),
        row("a first packet to a published port", comes.clone(), Verdict::Open).published(8001, &B, 0),
        row("its answer", answers, Verdict::Translate)
            .after(&[comes])
            .published(8001, &B, 0),
        row("a packet for the host", other, Verdict::Pass),
    ]
}

fn fragments() -> Vec<FlowRow> {
    let part = |identification, offset, more, length| {
        let piece = to_world(&A).identification(identification).fragment(offset, more);
        let ports = [1010_u16, 53].map(u16::to_be_bytes).concat();
        sent(&A, piece.protocol(protocol::UDP, &[ports, vec![0; length]].concat()))
    };
    let first = part(12, 0, true, 36);
    vec![
        row("a fragment before the first", part(10, 40, false, 36), Verdict::Park),
        row("a first fragment", part(11, 0, true, 36), Verdict::Unpark),
        row("a first fragment for the second time", first.clone(), Verdict::Open).after(&[first]),
        refused(
            "a fragment too long to wait",
            part(13, 40, false, PARKED_LONGEST),
            &A,
            DropReason::Fragment,
        ),
    ]
}

/// Packets that end here.
fn ends() -> Vec<FlowRow> {
    let leaves = sent(&A, to_world(&A).hops(1).udp(1020, 53, b"?"));
    let comes = received(from_world(HOST_V4).hops(1).udp(1021, 8021, b"?"));
    let large = received(from_world(HOST_V4).dont_fragment().udp(1022, 8022, &[7; 1400]));
    let long = received(from_world(HOST_V4).udp(1023, 8023, &[7; 1400]));
    let unasked = ip(FROM_WORLD, WORLD_V4, A.v4()).udp(53, 1023, b"!");
    let error = sent(&A, to_world(&A).icmp(3, 3, &[&[0; 4], &unasked[14..42]].concat()));
    vec![
        row("out of hops to the world", leaves, Verdict::AnswerTimeExceeded).charged(&A, DropReason::TimeExceeded),
        row("out of hops from the world", comes, Verdict::AnswerTimeExceeded)
            .published(8021, &B, 0)
            .charged(&B, DropReason::TimeExceeded),
        row("too big from the world", large, Verdict::AnswerTooBig)
            .published(8022, &SMALL, 0)
            .charged(&SMALL, DropReason::TooBig),
        row("longer than a container takes, from the world", long, Verdict::Cut).published(8023, &SMALL, 0),
        refused("an error about no flow", error, &A, DropReason::NoFlow),
    ]
}

fn closed() -> Vec<FlowRow> {
    let host = &ALPHA_HOST;
    let direct = |to: &Port| received(from_world(to.v4()).tcp(1030, 80, b"?"));
    let stranger = received(from_world(HOST_V4).tcp(1031, 8031, b"?"));
    let forged = received(ip(FROM_WORLD, A.v4(), HOST_V4).tcp(1032, 8032, b"?"));
    vec![
        refused("straight to a container", direct(&B), &B, DropReason::NotPublished),
        refused("straight to a gateway", direct(host), host, DropReason::NotPublished),
        refused("from whom nobody let in", stranger, &B, DropReason::SourceDenied).published(8031, &B, flags::SOURCES),
        refused("with a container's address", forged, &B, DropReason::SpoofedAddress).published(8032, &B, 0),
    ]
}

/// What the routing tables refuse: the sender is told, but of a black hole.
fn no_way() -> Vec<FlowRow> {
    let [nothing, unreachable, prohibited, blackhole] = REFUSED;
    let v4 = |goal: Ipv4Addr| sent(&A, ip(out(&A), A.v4(), goal).udp(1040, 53, b"?"));
    let v6 = |goal: Ipv6Addr| sent(&A, ip(out(&A), A.v6(), goal).udp(1040, 53, b"?"));
    let told = |name, sent, reason| row(name, sent, Verdict::AnswerUnreachable).charged(&A, reason);
    vec![
        told("no route over v4", v4(nothing.1), DropReason::NoRoute),
        told("no route over v6", v6(nothing.2), DropReason::NoRoute),
        told(
            "an unreachable route over v4",
            v4(unreachable.1),
            DropReason::Unreachable,
        ),
        told(
            "an unreachable route over v6",
            v6(unreachable.2),
            DropReason::Unreachable,
        ),
        told("a prohibited route over v4", v4(prohibited.1), DropReason::Prohibited),
        told("a prohibited route over v6", v6(prohibited.2), DropReason::Prohibited),
        refused("a black hole over v4", v4(blackhole.1), &A, DropReason::Blackhole),
        refused("a black hole over v6", v6(blackhole.2), &A, DropReason::Blackhole),
    ]
}

/// What a policy of the host's `IPsec` covers, by whichever of the packet's addresses, and what none does.
fn protected() -> Vec<FlowRow> {
    let policy = |side, from: IpAddr, passes| {
        let [v4, v6] = stop_all(side);
        let policy = if from.is_ipv4() { v4 } else { v6 };
        Policy {
            priority: if passes { 1 } else { 2 },
            from: from.into(),
            passes,
            ..policy
        }
    };
    let v4 = |port| sent(&A, to_world(&A).udp(port, 53, b"?"));
    let v6 = |port| sent(&A, ip(out(&A), A.v6(), WORLD_V6).udp(port, 53, b"?"));
    let comes = |port| received(from_world(HOST_V4).udp(1060, port, b"?"));
    let stopped = |name, last, endpoint, policies| FlowRow {
        policies,
        ..refused(name, last, endpoint, DropReason::IpsecPolicy)
    };
    let passes = |name, last, policies| FlowRow {
        policies,
        ..row(name, last, Verdict::Open)
    };
    let (own, own_v6, host, world) = (A.v4().into(), A.v6().into(), HOST_V4.into(), WORLD_V4.into());
    let out = |from| vec![policy(Side::Out, from, false)];
    let forward = |from| vec![policy(Side::Forward, from, false)];
    vec![
        stopped("covered by the container's address over v4", v4(1051), &A, out(own)),
        stopped("covered by the container's address over v6", v6(1051), &A, out(own_v6)),
        stopped("covered by the host's address", v4(1052), &A, out(host)),
        stopped("covered as it arrives", v4(1053), &A, forward(own)),
        stopped("covered, to a published port", comes(8060), &B, forward(world)).published(8060, &B, 0),
        passes("covered from elsewhere", v4(1054), out(B.v4().into())),
        passes("of the other family", v4(1055), out(own_v6)),
        passes(
            "let pass by a policy before",
            v4(1056),
            vec![
                policy(Side::Out, own, false),
                policy(Side::Out, own, true),
                policy(Side::Out, host, true),
            ],
        ),
        passes("covered on its way out alone", comes(8061), out(B.v4().into())).published(8061, &B, 0),
    ]
}

/// Broadcasts from the LAN to a published port.
fn shared() -> Vec<FlowRow> {
    let everyone = (FROM_WORLD.0, Mac::BROADCAST);
    let datagram = |from, port| received(ip(everyone, from, Ipv4Addr::BROADCAST).udp(68, port, b"?"));
    let nobody = Ipv4Addr::UNSPECIFIED;
    vec![
        row(
            "a broadcast to a published port",
            datagram(WORLD_V4, 8070),
            Verdict::Share,
        )
        .published(8070, &B, 0),
        row(
            "a broadcast from who has no address yet",
            datagram(nobody, 8071),
            Verdict::Share,
        )
        .published(8071, &B, 0),
        row(
            "a broadcast from whom nobody let in",
            datagram(nobody, 8072),
            Verdict::Pass,
        )
        .published(8072, &B, flags::SOURCES),
        row(
            "a broadcast to a port that is not published",
            datagram(WORLD_V4, 8073),
            Verdict::Pass,
        ),
        row(
            "a broadcast over TCP",
            received(ip(everyone, WORLD_V4, Ipv4Addr::BROADCAST).tcp(68, 8074, b"?")),
            Verdict::Pass,
        )
        .published(8074, &B, 0),
    ]
}

/// One port for everyone, or one flow for each.
fn exhausted() -> Vec<FlowRow> {
    let one_port = uplink::config((20_000, 1), 64);
    let one_flow = uplink::config(capacity::MASQUERADE_PORTS, 1);
    let asks = |port| sent(&MORE, to_world(&MORE).udp(port, 1040, b"?"));
    // its own ports stand for another container's sockets
    let others = |port| sent(&D, to_world(&D).udp(port, 1040, b"?"));
    let comes = |port| received(from_world(HOST_V4).udp(port, 8041, b"?"));
    let answers = sent(&D, to_world(&D).udp(80, 1041, b"!"));
    vec![
        refused("no port is left", asks(1041), &MORE, DropReason::PortsExhausted)
            .configured(one_port)
            .after(&[others(1041), others(1040), asks(1040)]),
        refused("no flow is left", comes(1042), &D, DropReason::FlowQuota)
            .configured(one_flow)
            .published(8041, &D, 0)
            .after(&[comes(1041), answers, comes(1041)]),
    ]
}
