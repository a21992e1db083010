//! Frames with a `struct virtio_net_hdr` before them: sums and segments left to somebody else.

use super::*;

/// Flags, kind of segments, and, little-endian: length of the headers, of a segment, where the sum starts, and the
/// place of the sum from there.
const fn header(flags: u8, kind: u8, [headers, segment, start, offset]: [u16; 4]) -> [u8; 10] {
    let ([a, b], [c, d]) = (headers.to_le_bytes(), segment.to_le_bytes());
    let ([e, f], [g, h]) = (start.to_le_bytes(), offset.to_le_bytes());
    [flags, kind, a, b, c, d, e, f, g, h]
}

const NEEDS_SUM: u8 = 1;
/// Segments of TCP in each family.
const SEGMENTS: [u8; 2] = [1, 4];

#[test]
fn case_30_frames_that_leave_work_to_others() {
    let field = Field::new();
    for family in FAMILIES {
        field.holds(&offloaded(&field, family));
    }
}

fn offloaded(field: &Field, family: usize) -> Vec<Case> {
    let transport = [34, 54][family];
    let mut cases = Vec::new();
    let mut add = |what: &str, fate: Fate, offload, frame| {
        let offload = Some(offload);
        cases.push(Case {
            offload,
            ..case(fate, named(family, what), vec![frame])
        });
    };
    let sum = header(NEEDS_SUM, 0, [0, 0, transport, 16]);
    let segments = header(NEEDS_SUM, SEGMENTS[family], [transport + 20, 200, transport, 16]);
    let long = MARK.repeat(100);
    let as_victim = || field.packet(field.gateway, VICTIM[family], LAN[family]);
    let spoofed = Fate::Dropped("spoofed-address");
    add(
        "a sum to be made, as the victim",
        spoofed.clone(),
        sum,
        as_victim().tcp(1, 80, MARK),
    );
    add(
        "segments to be cut, as the victim",
        spoofed.clone(),
        segments,
        as_victim().tcp(1, 80, &long),
    );
    let strange = ip(
        (STRANGE, field.victim),
        address(ATTACKER[family]),
        address(VICTIM[family]),
    );
    add(
        "segments to be cut, of a stranger's MAC",
        Fate::Dropped("spoofed-mac"),
        segments,
        strange.tcp(1, 80, &long),
    );
    add(
        "a sum to be made, of an offer",
        Fate::Dropped("dhcp-server"),
        header(NEEDS_SUM, 0, [0, 0, transport, 6]),
        {
            let (from, to) = [(67, 68), (547, 546)][family];
            field.to_victim(family).udp(from, to, MARK)
        },
    );
    add(
        "segments to be cut, to a stranger",
        Fate::Dropped("other-network"),
        segments,
        field.to_gateway(family, STRANGER[family]).tcp(1, 80, &long),
    );
    add(
        "segments to be cut, as itself",
        Fate::Heard(&[Victim]),
        segments,
        field.to_victim(family).tcp(1, 80, &long),
    );
    cases
}
