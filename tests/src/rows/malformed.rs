//! Rows of frames that end too early or contradict themselves: dropped and counted, never mangled.

use netswitch_common::verdict::DropReason;

use super::{Row, sends, v4, v6};
use crate::{
    fixture::{A, ALPHA_HOST, B, FREE},
    packet::{
        AUTHENTICATION, Arp, DESTINATION_OPTIONS, ETHERTYPE_ARP, ETHERTYPE_V4, ETHERTYPE_V6, FRAGMENT, HOP_BY_HOP,
        PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, ROUTING, ethernet,
    },
};

pub fn rows() -> Vec<Row> {
    [arp(), ipv4(), ipv6(), transports(), lengths(), fragments(), host()]
        .into_iter()
        .flatten()
        .collect()
}

/// Frames that a test run refuses: these meet the program on a wire only.
pub fn on_the_wire() -> Vec<Row> {
    vec![
        malformed(
            "nothing but an ethernet header",
            ethernet(A.mac(), B.mac(), ETHERTYPE_V4, &[]),
        ),
        malformed("v4 without a header", ethernet(A.mac(), B.mac(), ETHERTYPE_V4, &[0x45])),
        malformed("v4 header cut short", cut(v4(&A, &B).udp(1, 2, b"payload"), 14 + 19)),
        malformed("v6 without a header", ethernet(A.mac(), B.mac(), ETHERTYPE_V6, &[0x60])),
        malformed("v6 header cut short", cut(v6(&A, &B).udp(1, 2, b"payload"), 14 + 39)),
    ]
}

fn malformed(name: &'static str, frame: Vec<u8>) -> Row {
    sends(&A, name, frame).is_dropped(DropReason::Malformed)
}

/// A good frame with one byte changed; offsets count from the frame's start.
fn with(mut frame: Vec<u8>, offset: usize, value: u8) -> Vec<u8> {
    frame[offset] = value;
    frame
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

fn arp() -> Vec<Row> {
    let unreadable = |name, frame| sends(&A, name, frame).is_dropped(DropReason::SpoofedArp);
    let ask = Arp::request((A.mac(), A.v4()), B.v4()).frame(A.mac(), B.mac());
    vec![
        malformed("arp without a body", ethernet(A.mac(), B.mac(), ETHERTYPE_ARP, &[0])),
        malformed("arp cut short", cut(ask.clone(), 14 + 27)),
        sends(&ALPHA_HOST, "arp cut short from the host", {
            cut(
                Arp::request((ALPHA_HOST.mac(), ALPHA_HOST.v4()), A.v4()).frame(ALPHA_HOST.mac(), A.mac()),
                14 + 27,
            )
        })
        .is_dropped(DropReason::Malformed),
        // nobody's addresses can be read in these
        unreadable("arp for another hardware", with(ask.clone(), 15, 6)),
        unreadable("arp for another protocol", with(ask.clone(), 16, 9)),
        unreadable("arp with another hardware length", with(ask.clone(), 18, 8)),
        unreadable("arp with another protocol length", with(ask, 19, 16)),
        sends(&FREE, "arp for another protocol without guard", {
            with(
                Arp::request((FREE.mac(), FREE.v4()), B.v4()).frame(FREE.mac(), B.mac()),
                16,
                9,
            )
        })
        .reaches(&B),
    ]
}

fn ipv4() -> Vec<Row> {
    let packet = v4(&A, &B).udp(1, 2, b"payload");
    vec![
        malformed("v4 with ihl 4", with(packet.clone(), 14, 0x44)),
        malformed("v4 with ihl beyond the packet", with(packet.clone(), 14, 0x4f)),
        malformed("v4 that says version 6", with(packet, 14, 0x65)),
        malformed(
            "v4 options cut short",
            cut(v4(&A, &B).options(&[1; 8]).udp(1, 2, b""), 14 + 24),
        ),
    ]
}

fn ipv6() -> Vec<Row> {
    let packet = v6(&A, &B).udp(1, 2, b"payload");
    let header = |next: u8, body: &[u8]| v6(&A, &B).protocol(next, body);
    let chain = |length| {
        (0..length).fold(v6(&A, &B), |packet, _| {
            packet.extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
        })
    };
    vec![
        malformed("v6 that says version 4", with(packet, 14, 0x40)),
        malformed(
            "v6 hop-by-hop cut short",
            header(HOP_BY_HOP, &[17, 1, 0, 0, 0, 0, 0, 0]),
        ),
        malformed("v6 hop-by-hop without a body", header(HOP_BY_HOP, &[])),
        malformed(
            "v6 routing header cut short",
            header(ROUTING, &[17, 3, 0, 0, 0, 0, 0, 0]),
        ),
        malformed("v6 routing header of type 0", {
            v6(&A, &B).extension(ROUTING, &[0, 1, 0, 0, 0, 0]).udp(1, 2, b"x")
        }),
        malformed("v6 fragment header cut short", header(FRAGMENT, &[17, 0, 0, 0])),
        malformed(
            "v6 authentication header cut short",
            header(AUTHENTICATION, &[17, 9, 0, 0, 0, 0, 0, 0]),
        ),
        malformed("v6 with seven extension headers", chain(7).udp(1, 2, b"x")),
        malformed("v6 with forty extension headers", chain(40).udp(1, 2, b"x")),
    ]
}

fn transports() -> Vec<Row> {
    vec![
        malformed("udp without ports over v4", v4(&A, &B).protocol(PROTOCOL_UDP, &[2])),
        malformed("udp without ports over v6", v6(&A, &B).protocol(PROTOCOL_UDP, &[2])),
        malformed("icmpv6 without a type", v6(&A, &B).protocol(PROTOCOL_ICMPV6, &[])),
        malformed("a solicitation cut short", v6(&A, &B).hops(255).icmp(135, 0, &[0; 12])),
        malformed(
            "an advertisement cut short",
            v6(&A, &B).hops(255).icmp(136, 0, &[0; 12]),
        ),
        malformed("an option of no length", {
            v6(&A, &B).hops(255).icmp(
                136,
                0,
                &[&[0; 4][..], &A.v6().octets(), &[2, 0, 0, 0, 0, 0, 0, 0]].concat(),
            )
        }),
        malformed("an option cut short", {
            v6(&A, &B)
                .hops(255)
                .icmp(136, 0, &[&[0; 4][..], &A.v6().octets(), &[2, 1, 2, 0x42]].concat())
        }),
        malformed("a first fragment that hides its ports", {
            v4(&A, &B).fragment(0, true).protocol(PROTOCOL_UDP, &[0])
        }),
        malformed("a first v6 fragment that hides its type", {
            v6(&A, &B).fragment(0, true).protocol(PROTOCOL_ICMPV6, &[])
        }),
    ]
}

/// Receivers believe the length that a header tells: what lies behind it is none of the packet's.
fn lengths() -> Vec<Row> {
    let udp = v4(&A, &B).udp(1, 2, b"payload");
    let udp_v6 = v6(&A, &B).udp(1, 2, b"payload");
    vec![
        malformed("v4 longer than its frame", with(udp.clone(), 17, 36)),
        malformed("v4 shorter than its header", with(udp.clone(), 17, 19)),
        malformed("v4 of no length", with(udp.clone(), 17, 0)),
        malformed("udp ports behind the end of v4", with(udp.clone(), 17, 27)),
        malformed("an icmp type behind the end of v4", with(v4(&A, &B).ping(), 17, 27)),
        sends(&A, "v4 with padding", [&udp[..], &[0; 9]].concat()).reaches(&B),
        malformed("v6 longer than its frame", with(udp_v6.clone(), 19, 16)),
        malformed("udp ports behind the end of v6", with(udp_v6.clone(), 19, 7)),
        malformed("v6 of no length", with(udp_v6.clone(), 19, 0)),
        malformed("an icmpv6 type behind the end", with(v6(&A, &B).ping(), 19, 7)),
        malformed("an extension header behind the end", {
            let packet = v6(&A, &B).extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]);
            with(packet.tcp(1, 2, b"x"), 19, 7)
        }),
        malformed("a target behind the end", {
            with(v6(&A, &B).advertise(0x60, A.v6(), None), 19, 23)
        }),
        malformed("a quoted packet behind the end", {
            let quoted = v4(&B, &A).udp(1, 2, b"x");
            with(v4(&A, &B).icmp(3, 3, &[&[0; 4][..], &quoted[14..]].concat()), 17, 47)
        }),
        sends(&A, "v6 with padding", [&udp_v6[..], &[0; 9]].concat()).reaches(&B),
    ]
}

/// A transport header that comes in pieces, of which one may replace another (RFC 1858, RFC 3128, RFC 7112).
fn fragments() -> Vec<Row> {
    let header = [0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 2, 0x20, 0];
    vec![
        malformed("half a tcp header", {
            v4(&A, &B).fragment(0, true).protocol(PROTOCOL_TCP, &header)
        }),
        malformed("the other half of a tcp header", {
            v4(&A, &B).fragment(8, true).protocol(PROTOCOL_TCP, &header)
        }),
        sends(&A, "behind a tcp header", {
            v4(&A, &B).fragment(16, false).protocol(PROTOCOL_TCP, &header)
        })
        .reaches(&B),
        malformed("half a tcp header over v6", {
            v6(&A, &B).fragment(0, true).protocol(PROTOCOL_TCP, &header)
        }),
        malformed("the other half of a tcp header over v6", {
            v6(&A, &B).fragment(8, true).protocol(PROTOCOL_TCP, &header)
        }),
        sends(&A, "behind a tcp header over v6", {
            v6(&A, &B).fragment(16, false).protocol(PROTOCOL_TCP, &header)
        })
        .reaches(&B),
    ]
}

fn host() -> Vec<Row> {
    vec![
        sends(
            &ALPHA_HOST,
            "v4 with ihl 4 from the host",
            with(v4(&ALPHA_HOST, &A).ping(), 14, 0x44),
        )
        .is_dropped(DropReason::Malformed),
        sends(
            &FREE,
            "v4 with ihl 4 without guard",
            with(v4(&FREE, &A).ping(), 14, 0x44),
        )
        .is_dropped(DropReason::Malformed),
    ]
}
