//! Overlapping fragments are dropped by the switch and not left to whoever puts them together: no piece of a packet
//! leaves that another one contradicts, and the container's counter says so.

use std::time::Duration;

use tests::packet::{Ip, PROTOCOL_UDP, ip};
use tests::world::{Capture, HOST, LAN, Namespace, World, eventually, send, send_repeatedly, within};

use super::masquerade::mac;
use super::{address, dual};

/// Start, length, whether more follow, and what it is filled with.
type Piece = (u16, u16, bool, u8);

/// Its name, from where to where, the packet, and its ports.
type Way<'a> = (&'a str, &'a Namespace, &'a Namespace, Ip, (u16, u16));

const FIRST: Piece = (0, 64, true, 1);
const LAST: Piece = (128, 32, false, 3);

/// How the middle of a packet contradicts itself.
const ROWS: [(&str, [Piece; 4]); 6] = [
    (
        "the same place twice",
        [FIRST, (64, 64, true, 2), (64, 64, true, 9), LAST],
    ),
    ("a part of the one before", [FIRST, (56, 72, true, 9), LAST, LAST]),
    ("a part of the one behind", [FIRST, LAST, (64, 72, true, 9), LAST]),
    ("before the first", [(56, 72, true, 9), FIRST, LAST, LAST]),
    (
        "twice before the first",
        [(64, 64, true, 2), (64, 64, true, 9), FIRST, LAST],
    ),
    ("the last before all", [LAST, (64, 72, true, 9), FIRST, LAST]),
];

fn frame(packet: &Ip, ports: (u16, u16), (start, length, more, fill): Piece) -> Vec<u8> {
    let mut bytes = vec![fill; length.into()];
    if start == 0 {
        // IPv4 takes it without a sum; nobody puts it together over IPv6
        bytes[..8].copy_from_slice(&[ports.0, ports.1, 160, 0].map(u16::to_be_bytes).concat());
    }
    packet.clone().fragment(start, more).protocol(PROTOCOL_UDP, &bytes)
}

#[test]
fn pieces_that_contradict_each_other_do_not_both_leave() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &["-o", "com.docker.network.bridge.name=br-dual"]);
    world.run("one", &["--net", "dual", "-p", "5000:53/udp"]);
    let (one, lan) = (world.inside("one"), world.lan());
    let outwards = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    let inwards = (mac(lan, "eth0"), mac(&world.host, "up0"));
    let own = ["10.66.0.2", "fd66::2"];
    let mut wrong = Vec::new();
    let mut identification = 1000;
    for (name, pieces) in ROWS {
        for family in [0, 1] {
            let ways: [Way; 2] = [
                (
                    "out",
                    &one,
                    lan,
                    ip(outwards, address(own[family]), address(LAN[family])),
                    (6000, 7000),
                ),
                (
                    "in",
                    lan,
                    &one,
                    ip(inwards, address(LAN[family]), address(HOST[family])),
                    (7001, 5000),
                ),
            ];
            for (way, from, to, packet, ports) in ways {
                identification += 1;
                let name = format!("{name}, {way}, IPv{}", if family == 0 { 4 } else { 6 });
                let before = world.drops("one", "dual", "fragment");
                let capture = Capture::start(to, "eth0");
                let packet = packet.identification(identification);
                for piece in pieces {
                    send(from, "eth0", &frame(&packet, ports, piece));
                }
                // a whole one behind them: what gets through has got through
                let fence = packet.clone().udp(ports.0, ports.1, b"the fence");
                send(from, "eth0", &fence);
                let mut seen = Vec::new();
                eventually("the fence", || {
                    seen.extend(capture.so_far());
                    if seen.iter().any(|captured| captured.frame.ends_with(b"the fence")) {
                        Ok(())
                    } else {
                        Err(format!("{} frames", seen.len()))
                    }
                });
                let pieces = pieces_of(&seen, family, identification);
                for (at, (start, length, fill)) in pieces.iter().enumerate() {
                    for (other, more, with) in &pieces[at + 1..] {
                        if fill != with && *start < other + more && *other < start + length {
                            wrong.push(format!("{name}: {start}+{length} and {other}+{more} both pass"));
                        }
                    }
                }
                if world.drops("one", "dual", "fragment") == before {
                    wrong.push(format!("{name}: nothing is counted"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Start, length and fill of the fragments with this mark.
fn pieces_of(seen: &[tests::world::Captured], family: usize, identification: u16) -> Vec<(u16, u16, u8)> {
    let mark = identification.to_be_bytes();
    let pieces = seen
        .iter()
        .filter(|captured| !captured.is_outgoing)
        .filter_map(|captured| {
            let frame = &captured.frame;
            let short = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
            let (start, header) = match family {
                0 if frame[12..14] == [8, 0] && frame[18..20] == mark && frame[20..22] != [0, 0] => {
                    ((short(20) & 0x1fff) * 8, 34)
                }
                1 if frame[12..14] == [0x86, 0xdd] && frame[20] == 44 && frame[60..62] == mark => {
                    (short(56) & 0xfff8, 62)
                }
                _ => return None,
            };
            let length = u16::try_from(frame.len() - header).ok()?;
            Some((start, length, *frame.last()?))
        });
    pieces.collect()
}

/// Two first fragments of one packet that arrive together, from two CPUs into one queue: each is sent round once at most.
#[test]
fn two_first_fragments_do_not_go_round_for_ever() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual", "-p", "5000:53/udp"]);
    let lan = world.lan();
    // up0 takes several packets at a time, as an uplink of metal does
    world.host.sh("ethtool -K up0 gro on").ok();
    let inwards = (mac(lan, "eth0"), mac(&world.host, "up0"));
    let (packets, copies) = (3, 3000);
    let together = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for port in [7001, 7002] {
            let together = &together;
            scope.spawn(move || {
                for number in 0..packets {
                    let packet = ip(inwards, address(LAN[0]), address(HOST[0])).identification(number);
                    let first = frame(&packet, (port, 5000), FIRST);
                    together.wait();
                    send_repeatedly(lan, "eth0", &first, copies);
                }
            });
        }
    });
    let most = 2 * 2 * u64::from(packets) * u64::from(copies);
    let mut before = world.path("unpark");
    let rest = within(Duration::from_secs(5), || {
        std::thread::sleep(Duration::from_millis(50));
        let now = world.path("unpark");
        let moved = now - before;
        before = now;
        if moved == 0 {
            Ok(())
        } else {
            Err(format!("{moved} in 50 ms"))
        }
    });
    assert!(
        rest.is_ok() && before <= most,
        "{before} rounds of {most} at most, and still {rest:?}"
    );
}
