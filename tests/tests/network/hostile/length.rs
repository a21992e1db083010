//! Headers that are cut short, or that lie about how long their packet is.

use tests::packet::{DESTINATION_OPTIONS, ETHERTYPE_V4, ETHERTYPE_V6, HOP_BY_HOP, ROUTING, ethernet};

use super::*;

#[test]
fn case_30_lengths_that_lie() {
    let field = Field::new();
    field.holds(&v4(&field));
    field.holds(&v6(&field));
}

/// The frame with other bytes at an offset.
fn with<const COUNT: usize>(mut frame: Vec<u8>, offset: usize, bytes: [u8; COUNT]) -> Vec<u8> {
    frame[offset..offset + COUNT].copy_from_slice(&bytes);
    frame
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

fn v4(field: &Field) -> Vec<Case> {
    let udp = || field.to_victim(0).udp(1, 9, MARK);
    let offer = || field.to_victim(0).udp(67, 68, MARK);
    let drop = |what: &str, frame| dropped("malformed", what, frame);
    vec![
        drop(
            "no IPv4 header",
            ethernet(field.own, field.victim, ETHERTYPE_V4, &[0x45]),
        ),
        drop("half an IPv4 header", cut(udp(), 14 + 19)),
        drop("an IPv4 header of 16 bytes", with(udp(), 14, [0x44])),
        drop("an IPv4 header of no bytes", with(udp(), 14, [0x40])),
        drop("an IPv4 header beyond the frame", with(udp(), 14, [0x4f])),
        drop("IPv4 of version 5", with(udp(), 14, [0x55])),
        drop("IPv4 longer than its frame", with(udp(), 16, [0, 37])),
        drop("IPv4 much longer than its frame", with(udp(), 16, [0xff, 0xff])),
        drop("IPv4 shorter than its header", with(udp(), 16, [0, 19])),
        drop("IPv4 of no length", with(udp(), 16, [0, 0])),
        drop("an offer behind the end of IPv4", with(offer(), 16, [0, 20])),
        drop("half an offer behind the end of IPv4", with(offer(), 16, [0, 22])),
        drop(
            "an echo behind the end of IPv4",
            with(field.to_victim(0).ping(), 16, [0, 24]),
        ),
        drop("no UDP header", cut(with(udp(), 16, [0, 20]), 34)),
        heard(&[Victim], "padding", [udp(), vec![0; 20]].concat()),
    ]
}

fn v6(field: &Field) -> Vec<Case> {
    let udp = || field.to_victim(1).udp(1, 9, MARK);
    let offer = || field.to_victim(1).udp(547, 546, MARK);
    let chain = |kind, length| {
        with(
            field.to_victim(1).extension(kind, &[1, 4, 0, 0, 0, 0]).udp(1, 9, MARK),
            55,
            [length],
        )
    };
    let drop = |what: &str, frame| dropped("malformed", what, frame);
    vec![
        drop(
            "no IPv6 header",
            ethernet(field.own, field.victim, ETHERTYPE_V6, &[0x60]),
        ),
        drop("half an IPv6 header", cut(udp(), 14 + 39)),
        drop("IPv6 of version 7", with(udp(), 14, [0x70])),
        drop("IPv6 longer than its frame", with(udp(), 18, [0, 17])),
        drop("IPv6 much longer than its frame", with(udp(), 18, [0xff, 0xff])),
        drop("IPv6 of no length", with(udp(), 18, [0, 0])),
        drop("an offer behind the end of IPv6", with(offer(), 18, [0, 7])),
        drop(
            "an echo behind the end of IPv6",
            with(field.to_victim(1).ping(), 18, [0, 4]),
        ),
        drop("hop-by-hop options beyond the packet", chain(HOP_BY_HOP, 200)),
        drop("destination options beyond the packet", chain(DESTINATION_OPTIONS, 9)),
        drop("options of no length before no length", {
            with(
                field
                    .to_victim(1)
                    .extension(HOP_BY_HOP, &[0xc2, 4, 0, 1, 0, 0])
                    .udp(1, 9, MARK),
                18,
                [0, 0],
            )
        }),
        drop(
            "a routing header of type 0",
            field
                .to_victim(1)
                .extension(ROUTING, &[0, 1, 0, 0, 0, 0])
                .udp(1, 9, MARK),
        ),
        heard(&[Victim], "padding (IPv6)", [udp(), vec![0; 20]].concat()),
    ]
}
