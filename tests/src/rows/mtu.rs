//! Rows of packets larger than their destination's interface takes: the sender is told.

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{ALL_ONES, Row, sends, v4, v6};
use crate::{
    fixture::{A, ALPHA_HOST, B, FREE, HOST_V4, MORE, Port, S, SIX, SLIM_HOST, SMALL},
    packet::{PROTOCOL_ESP, PROTOCOL_UDP, ethernet, ip},
};

pub fn rows() -> Vec<Row> {
    [fitting(), answered(), unanswered()].into_iter().flatten().collect()
}

fn fitting() -> Vec<Row> {
    vec![
        sends(&A, "v4 of the full mtu", v4(&A, &B).udp(1, 2, &[7; 1472])).reaches(&B),
        sends(&A, "v6 of the full mtu", v6(&A, &B).udp(1, 2, &[7; 1452])).reaches(&B),
        sends(&A, "v4 of a small mtu", v4(&A, &SMALL).udp(1, 2, &[7; 1272])).reaches(&SMALL),
        sends(&A, "v6 of a small mtu", v6(&A, &SMALL).udp(1, 2, &[7; 1252])).reaches(&SMALL),
        sends(
            &SMALL,
            "the sender's own mtu does not matter",
            v4(&SMALL, &B).udp(1, 2, &[7; 1472]),
        )
        .reaches(&B),
        sends(
            &A,
            "an ethertype of the full mtu",
            ethernet(A.mac(), B.mac(), 0x88b5, &[7; 1500]),
        )
        .reaches(&B),
        sends(&A, "a broadcast goes to small members too", {
            ip((A.mac(), Mac::BROADCAST), A.v4(), ALL_ONES).udp(1, 2, &[7; 1472])
        })
        .is_copied_to(&[&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX]),
    ]
}

fn answered() -> Vec<Row> {
    let told = |name, from: &Port, mtu, frame: Vec<u8>| sends(from, name, frame).is_too_big(mtu);
    let link_local = ip((A.mac(), SMALL.mac()), A.link_local(), SMALL.link_local()).udp(1, 2, &[7; 1400]);
    let from_host = v4(&ALPHA_HOST, &SMALL).tcp(1, 2, &[7; 1400]);
    let from_host_v6 = v6(&ALPHA_HOST, &SMALL).tcp(1, 2, &[7; 1400]);
    vec![
        told("v4 one byte too big", &A, 1500, v4(&A, &B).udp(1, 2, &[7; 1473])),
        told("v6 one byte too big", &A, 1500, v6(&A, &B).udp(1, 2, &[7; 1453])),
        told(
            "v4 too big for a small mtu",
            &A,
            1300,
            v4(&A, &SMALL).dont_fragment().tcp(1, 2, &[7; 1400]),
        ),
        told(
            "v6 too big for a small mtu",
            &A,
            1300,
            v6(&A, &SMALL).tcp(1, 2, &[7; 1400]),
        ),
        told("a jumbo frame", &A, 1500, v4(&A, &B).udp(1, 2, &[7; 3000])),
        told(
            "v4 with options too big",
            &A,
            1300,
            v4(&A, &SMALL).options(&[1; 40]).udp(1, 2, &[7; 1400]),
        ),
        told(
            "esp too big",
            &A,
            1300,
            v4(&A, &SMALL).protocol(PROTOCOL_ESP, &[7; 1400]),
        ),
        told("a ping too big", &A, 1300, v4(&A, &SMALL).icmp(8, 0, &[7; 1400])),
        told(
            "a first v4 fragment too big",
            &A,
            1300,
            v4(&A, &SMALL).fragment(0, true).udp(1, 2, &[7; 1400]),
        ),
        told(
            "v4 too big for the gateway",
            &S,
            1300,
            v4(&S, &SLIM_HOST).udp(1, 2, &[7; 1400]),
        ),
        told(
            "v6 too big for the gateway",
            &S,
            1300,
            v6(&S, &SLIM_HOST).udp(1, 2, &[7; 1400]),
        ),
        sends(&A, "link-local too big for a small mtu", link_local).is_too_big(1300),
        sends(&ALPHA_HOST, "v4 from the host too big for a small mtu", from_host).is_too_big(1300),
        sends(&ALPHA_HOST, "v6 from the host too big for a small mtu", from_host_v6).is_too_big(1300),
        told("too big for the host's other address", &S, 1300, {
            ip((S.mac(), SLIM_HOST.mac()), S.v4(), HOST_V4).udp(1, 2, &[7; 1400])
        }),
    ]
}

/// What an ICMP error says of a packet, all of which it quotes.
fn quoting(frame: &[u8]) -> Vec<u8> {
    [&[0; 4], &frame[14..]].concat()
}

fn unanswered() -> Vec<Row> {
    let drops = |name, from: &Port, frame| sends(from, name, frame).is_dropped(DropReason::TooBig);
    vec![
        drops(
            "an ethertype too big",
            &A,
            ethernet(A.mac(), B.mac(), 0x88b5, &[7; 1501]),
        ),
        drops("an icmp error too big", &A, {
            v4(&A, &SMALL).icmp(3, 3, &quoting(&v4(&SMALL, &A).udp(1, 2, &[7; 1400])))
        }),
        drops("an icmpv6 error too big", &A, {
            v6(&A, &SMALL).icmp(1, 4, &quoting(&v6(&SMALL, &A).udp(1, 2, &[7; 1400])))
        }),
        drops("a later v4 fragment too big", &A, {
            v4(&A, &SMALL).fragment(64, true).protocol(PROTOCOL_UDP, &[7; 1400])
        }),
        drops("a later v6 fragment too big", &A, {
            v6(&A, &SMALL).fragment(64, true).protocol(PROTOCOL_UDP, &[7; 1400])
        }),
    ]
}
