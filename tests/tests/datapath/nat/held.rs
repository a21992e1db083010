//! Flows that only one side keeps alive: whoever speaks once and never again holds no slot against those who go on
//! speaking, whatever answers the one packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netswitch_common::verdict::DropReason;
use tests::fixture::{
    A, B, HOST_V4, HOST_V6, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, out},
};
use tests::loaded::Loaded;
use tests::packet::{Ip, PROTOCOL_GRE, PROTOCOL_TCP, ip};
use tests::records::Records;

use super::{RANGE, REDIRECT, drops, publish, receive, send, with_uplink};

/// Ten times the quota of [`with_uplink`].
const FLOOD: u16 = 640;
const SYN_ACK: u8 = 0x12;

/// A protocol's first packet, its answer, and the packet by which its sender shows that it heard the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Echo,
    Sctp,
    /// A protocol without ports: each flow has a peer of its own.
    Gre,
}

const KINDS: [Kind; 5] = [Kind::Tcp, Kind::Udp, Kind::Echo, Kind::Sctp, Kind::Gre];

/// The same packet with other flags of TCP; nothing here looks at its checksum.
fn flagged(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
    let at = if frame[12..14] == [8, 0] { 47 } else { 67 };
    frame[at] = flags;
    frame
}

impl Kind {
    fn question(self, packet: &Ip, port: u16, is_first: bool) -> Vec<u8> {
        match self {
            Self::Tcp if is_first => packet.syn(port, 80),
            Self::Tcp => packet.tcp(port, 80, b""),
            Self::Udp => packet.udp(port, 80, b"question"),
            Self::Sctp => packet.sctp(port, 80, 7, b"chunk"),
            Self::Gre => packet.protocol(PROTOCOL_GRE, b"question"),
            Self::Echo => packet.icmp(echo(packet).0, 0, &[&port.to_be_bytes()[..], b"\0\x01x"].concat()),
        }
    }

    fn answer(self, packet: &Ip, port: u16) -> Vec<u8> {
        match self {
            Self::Tcp => flagged(packet.tcp(80, port, b""), SYN_ACK),
            Self::Udp => packet.udp(80, port, b"answer"),
            Self::Sctp => packet.sctp(80, port, 7, b"chunk"),
            Self::Gre => packet.protocol(PROTOCOL_GRE, b"answer"),
            Self::Echo => packet.icmp(echo(packet).1, 0, &[&port.to_be_bytes()[..], b"\0\x01x"].concat()),
        }
    }
}

/// Types of an echo request and its answer.
fn echo(packet: &Ip) -> (u8, u8) {
    match packet.protocol(PROTOCOL_TCP, &[])[12..14] {
        [8, 0] => (8, 0),
        _ => (128, 129),
    }
}

/// A peer beyond the uplink.
fn peer(is_v4: bool, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if is_v4 {
        Ipv4Addr::new(203, 0, high, low).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 1, number).into()
    }
}

/// Port or identifier of a packet that has left.
fn port_of(kind: Kind, frame: &[u8]) -> u16 {
    let at = if frame[12..14] == [8, 0] { 34 } else { 54 };
    let at = at + if kind == Kind::Echo { 4 } else { 0 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// A flow from A to a peer, as far as its packets got.
struct Outward {
    kind: Kind,
    own: IpAddr,
    host: IpAddr,
    peer: IpAddr,
    port: u16,
    /// What the world sees.
    outer: u16,
}

impl Outward {
    /// Its first packet goes out, or not.
    fn begin(loaded: &Loaded, kind: Kind, is_v4: bool, number: u16) -> Option<Self> {
        let (own, host): (IpAddr, IpAddr) = if is_v4 {
            (A.v4().into(), HOST_V4.into())
        } else {
            (A.v6().into(), HOST_V6.into())
        };
        let peer = peer(is_v4, number);
        let port = 4000 + number;
        let question = kind.question(&ip(out(&A), own, peer), port, true);
        let (verdict, frame) = send(loaded, &A, &question);
        (verdict == REDIRECT).then(|| Self {
            kind,
            own,
            host,
            peer,
            port,
            outer: port_of(kind, &frame),
        })
    }

    fn is_answered(&self, loaded: &Loaded) -> bool {
        let answer = self.kind.answer(&ip(FROM_WORLD, self.peer, self.host), self.outer);
        receive(loaded, &answer).0 == REDIRECT
    }

    fn goes_on(&self, loaded: &Loaded) -> bool {
        let question = self.kind.question(&ip(out(&A), self.own, self.peer), self.port, false);
        send(loaded, &A, &question).0 == REDIRECT
    }
}

#[test]
fn answered_once_is_not_established_whoever_asked() {
    with_uplink(RANGE, |loaded| {
        let mut wrong = Vec::new();
        for kind in KINDS {
            for is_v4 in [true, false] {
                let name = format!("{kind:?}, IPv{}", if is_v4 { 4 } else { 6 });
                let kept = Outward::begin(loaded, kind, is_v4, 0).expect("the first flow");
                assert!(kept.is_answered(loaded) && kept.goes_on(loaded), "{name}");
                let before = drops(loaded, &A, DropReason::FlowQuota);
                let begun = (1..=FLOOD)
                    .take_while(|number| {
                        Outward::begin(loaded, kind, is_v4, *number).is_some_and(|flow| flow.is_answered(loaded))
                    })
                    .count();
                let refused = drops(loaded, &A, DropReason::FlowQuota) - before;
                if begun < usize::from(FLOOD) || refused > 0 {
                    wrong.push(format!("{name}: {begun} of {FLOOD} flows began, {refused} flow-quota"));
                }
                // a flow that both have used twice makes way for none of these
                if !kept.is_answered(loaded) || !kept.goes_on(loaded) {
                    wrong.push(format!("{name}: the connection that was there is gone"));
                }
                let mut records = Records::open(&loaded.maps());
                records.pass(Duration::from_hours(24));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// A stranger asks a published port under addresses that never hear the answers.
#[test]
fn answers_to_forged_clients_hold_nothing() {
    with_uplink(RANGE, |loaded| {
        for host in [IpAddr::from(HOST_V4), HOST_V6.into()] {
            publish(loaded, host, (80, 80), &B, 80, 0);
        }
        let mut wrong = Vec::new();
        for kind in [Kind::Tcp, Kind::Udp, Kind::Sctp] {
            for is_v4 in [true, false] {
                let name = format!("{kind:?}, IPv{}", if is_v4 { 4 } else { 6 });
                let (host, own, world): (IpAddr, IpAddr, IpAddr) = if is_v4 {
                    (HOST_V4.into(), B.v4().into(), WORLD_V4.into())
                } else {
                    (HOST_V6.into(), B.v6().into(), WORLD_V6.into())
                };
                let asks = |loaded: &Loaded, client: IpAddr, is_first: bool| {
                    let question = kind.question(&ip(FROM_WORLD, client, host), 5000, is_first);
                    receive(loaded, &question).0 == REDIRECT
                };
                let answers = |loaded: &Loaded, client: IpAddr| {
                    send(loaded, &B, &kind.answer(&ip(out(&B), own, client), 5000)).0 == REDIRECT
                };
                let before = drops(loaded, &B, DropReason::FlowQuota);
                // an honest client that is there already
                assert!(
                    asks(loaded, world, true) && answers(loaded, world) && asks(loaded, world, false),
                    "{name}"
                );
                let served = (1..=FLOOD)
                    .filter(|number| {
                        let client = peer(is_v4, *number);
                        asks(loaded, client, true) && answers(loaded, client)
                    })
                    .count();
                let honest = (1000..1010)
                    .filter(|number| {
                        let client = peer(is_v4, *number);
                        asks(loaded, client, true) && answers(loaded, client) && asks(loaded, client, false)
                    })
                    .count();
                let own_flow = kind.question(&ip(out(&B), own, world), 6000, true);
                let opens = send(loaded, &B, &own_flow).0 == REDIRECT;
                let stays = answers(loaded, world) && asks(loaded, world, false);
                let refused = drops(loaded, &B, DropReason::FlowQuota) - before;
                if (served, honest, opens, stays, refused) != (FLOOD.into(), 10, true, true, 0) {
                    wrong.push(format!(
                        "{name}: {served} of {FLOOD} forged clients had answers, {honest} of 10 honest ones were \
                         served, the container's own flow opens: {opens}, the client from before stays: {stays}, \
                         {refused} flow-quota"
                    ));
                }
                Records::open(&loaded.maps()).pass(Duration::from_hours(24));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// Room for answers that are still on their way: nobody's unanswered flows are cut short while there is quota.
#[test]
fn a_thousand_questions_are_answered_after_the_last_was_asked() {
    with_uplink(RANGE, |loaded| {
        let config = tests::fixture::uplink::config(RANGE, 4096);
        loaded.datapath.tables().set_config(&config).expect("a configuration");
        for is_v4 in [true, false] {
            let flows: Vec<_> = (0..1000)
                .map(|number| Outward::begin(loaded, Kind::Udp, is_v4, number).expect("a flow"))
                .collect();
            let answered = flows.iter().filter(|flow| flow.is_answered(loaded)).count();
            assert_eq!(answered, 1000);
        }
    });
}
