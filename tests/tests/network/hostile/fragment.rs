//! Fragments that split a transport header, or put another in its place (RFC 1858, RFC 3128, RFC 7112).

use tests::packet::{PROTOCOL_TCP, PROTOCOL_UDP};
use tests::world::Service;
use tests::world::Transport;

use super::*;

#[test]
fn case_30_first_fragments_and_what_follows_them() {
    let field = Field::new();
    let victim = field.world.inside("victim");
    let _service = Service::start(&victim, Transport::Udp, 80, "victim");
    for family in FAMILIES {
        field.holds(&tcp(&field, family));
        field.holds(&udp(&field, family));
    }
}

/// Port 80, SYN.
const HEADER: [u8; 20] = [0, 1, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 2, 0x20, 0, 0, 0, 0, 0];

fn tcp(field: &Field, family: usize) -> Vec<Case> {
    let piece = |number, offset, more, bytes: &[u8]| {
        let packet = field.to_victim(family).identification(number).fragment(offset, more);
        packet.protocol(PROTOCOL_TCP, bytes)
    };
    let to_host = |offset, more, bytes: &[u8]| {
        let packet = field
            .to_gateway(family, HOST[family])
            .identification(9)
            .fragment(offset, more);
        packet.protocol(PROTOCOL_TCP, bytes)
    };
    let drop = |what: &str, frame| dropped("malformed", named(family, what), frame);
    vec![
        drop("ports alone", piece(1, 0, true, &HEADER[..8])),
        drop("flags that follow", piece(1, 8, false, &[&HEADER[8..], MARK].concat())),
        drop("a header without its end", piece(2, 0, true, &HEADER[..16])),
        drop(
            "flags over others",
            piece(3, 8, true, &[&HEADER[8..], MARK, &[0; 4]].concat()),
        ),
        drop("ports alone, to a published port", to_host(0, true, &HEADER[..8])),
        drop(
            "flags over others, to a published port",
            to_host(8, false, &HEADER[8..]),
        ),
        heard(
            &[Victim],
            named(family, "a whole header"),
            piece(4, 0, true, &[&HEADER[..], MARK, &[0; 4]].concat()),
        ),
        heard(&[Victim], named(family, "what follows it"), piece(4, 32, false, MARK)),
    ]
}

fn udp(field: &Field, family: usize) -> Vec<Case> {
    let piece = |number, offset, more, bytes: &[u8]| {
        let packet = field.to_victim(family).identification(number).fragment(offset, more);
        packet.protocol(PROTOCOL_UDP, bytes)
    };
    let datagram = field.to_victim(family).udp(9, 80, &MARK.repeat(4));
    let datagram = &datagram[[34, 54][family]..];
    vec![
        dropped(
            "malformed",
            named(family, "half a UDP header"),
            piece(1, 0, true, &[0, 9, 0, 80]),
        ),
        dropped(
            "malformed",
            named(family, "a first fragment of nothing"),
            piece(2, 0, true, &[]),
        ),
        // whoever puts these together sees what the first one said
        heard(&[Victim], named(family, "other ports in a later fragment"), {
            piece(3, 8, false, &[&[0, 67, 0, 68, 0, 16, 0, 0], MARK].concat())
        }),
        case(
            Fate::Heard(&[Victim]),
            named(family, "fragments that overlap"),
            vec![piece(4, 0, true, &datagram[..24]), piece(4, 16, false, &datagram[16..])],
        ),
        case(
            Fate::Heard(&[Victim]),
            named(family, "one fragment twice"),
            vec![
                piece(5, 16, false, &datagram[16..]),
                piece(5, 16, false, &datagram[16..]),
            ],
        ),
        case(
            Fate::Heard(&[Victim]),
            named(family, "a datagram in order"),
            vec![piece(6, 0, true, &datagram[..16]), piece(6, 16, false, &datagram[16..])],
        ),
    ]
}
