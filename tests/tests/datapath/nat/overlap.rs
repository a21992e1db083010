//! Fragments of one packet that contradict each other: the switch lets out none that another one overlaps (RFC
//! 5722, RFC 8900; IPv4 alike), says so, and never sends one round for ever.

use std::collections::VecDeque;
use std::net::IpAddr;

use netswitch::action::Entry;
use netswitch_common::{
    publish::protocol,
    verdict::{DropReason, Verdict},
};
use tests::fixture::{
    A, HOST_V4, HOST_V6, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, out},
};
use tests::loaded::Loaded;
use tests::packet::ip;
use tests::switch::Counter;

use super::{RANGE, REDIRECT, publish, receive, send, with_uplink};

/// So often a fragment may come round that waits for nothing any more.
const ROUNDS: usize = 16;

/// A fragment of a datagram to port 53: where it starts, how long it is, whether more follow, its source port
/// if it is a first one, and what it is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u16,
    length: u16,
    more: bool,
    port: u16,
    fill: u8,
}

const fn piece(start: u16, length: u16, more: bool) -> Piece {
    Piece {
        start,
        length,
        more,
        port: 4000,
        fill: 7,
    }
}

impl Piece {
    const fn other(self) -> Self {
        Self { fill: 8, ..self }
    }

    const fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.start + other.length && other.start < self.start + self.length
    }
}

/// A way through the switch: out of a container, or in at a published port.
#[derive(Clone, Copy, Debug)]
struct Way {
    is_inward: bool,
    from: IpAddr,
    to: IpAddr,
}

const WAYS: [Way; 4] = [
    Way {
        is_inward: false,
        from: IpAddr::V4(A.v4()),
        to: IpAddr::V4(WORLD_V4),
    },
    Way {
        is_inward: false,
        from: IpAddr::V6(A.v6()),
        to: IpAddr::V6(WORLD_V6),
    },
    Way {
        is_inward: true,
        from: IpAddr::V4(WORLD_V4),
        to: IpAddr::V4(HOST_V4),
    },
    Way {
        is_inward: true,
        from: IpAddr::V6(WORLD_V6),
        to: IpAddr::V6(HOST_V6),
    },
];

impl Way {
    fn run(self, loaded: &Loaded, identification: u16, piece: Piece) -> i32 {
        let mut bytes = vec![piece.fill; piece.length.into()];
        if piece.start == 0 {
            let header = [piece.port, 53, 96, 0x1234].map(u16::to_be_bytes).concat();
            bytes[..8].copy_from_slice(&header);
        }
        let macs = if self.is_inward { FROM_WORLD } else { out(&A) };
        let frame = ip(macs, self.from, self.to)
            .identification(identification)
            .fragment(piece.start, piece.more)
            .protocol(protocol::UDP, &bytes);
        if self.is_inward {
            receive(loaded, &frame).0
        } else {
            send(loaded, &A, &frame).0
        }
    }

    /// The pieces that get through. What the switch keeps, or sends round, arrives once more behind what has
    /// arrived meanwhile, as in the kernel's queue.
    fn carry(self, loaded: &mut Loaded, identification: u16, pieces: &[Piece]) -> Result<Vec<Piece>, String> {
        let mut queue: VecDeque<Piece> = pieces.iter().copied().collect();
        let (mut waiting, mut carried) = (Vec::new(), Vec::new());
        let mut rounds = 0;
        while let Some(piece) = queue.pop_front() {
            let before = [Verdict::Park, Verdict::Unpark].map(|verdict| path(loaded, verdict));
            let verdict = self.run(loaded, identification, piece);
            if verdict == REDIRECT {
                carried.push(piece);
            } else if path(loaded, Verdict::Park) > before[0] {
                waiting.push(piece);
            } else if path(loaded, Verdict::Unpark) > before[1] {
                queue.push_back(piece);
                queue.extend(waiting.drain(..));
                rounds += 1;
                if rounds > ROUNDS {
                    return Err(format!("{piece:?} goes round for ever"));
                }
            }
        }
        Ok(carried)
    }
}

fn path(loaded: &mut Loaded, verdict: Verdict) -> u64 {
    loaded
        .counters()
        .get(&Counter::Path(verdict))
        .map_or(0, |count| count.packets)
}

/// Drops for that reason, whomever they are charged to.
fn dropped(loaded: &mut Loaded) -> u64 {
    let counters = loaded.counters();
    let ours = counters
        .iter()
        .filter(|(counter, _)| matches!(counter, Counter::Drop(_, DropReason::Fragment)));
    ours.map(|(_, count)| count.packets).sum()
}

fn with_a_server(test: impl FnOnce(&mut Loaded) + Send + 'static) {
    with_uplink(RANGE, |loaded| {
        publish(loaded, HOST_V4, (53, 53), &A, 5353, 0);
        publish(loaded, HOST_V6, (53, 53), &A, 5353, 0);
        for address in [HOST_V4.into(), HOST_V6.into()] {
            let local = Entry::Local { address };
            loaded
                .datapath
                .tables()
                .write(&local)
                .expect("an address of the host's");
        }
        test(loaded);
    });
}

const FIRST: Piece = piece(0, 40, true);
const MIDDLE: Piece = piece(40, 32, true);
const LAST: Piece = piece(72, 24, false);

/// What contradicts itself, and how.
const CONTRADICTIONS: [(&str, &[Piece]); 8] = [
    ("the same place twice", &[FIRST, MIDDLE, MIDDLE.other(), LAST]),
    ("the last place twice", &[FIRST, MIDDLE, LAST, LAST.other()]),
    ("into the one before", &[FIRST, piece(32, 40, true), LAST]),
    ("over the one behind", &[FIRST, LAST, piece(40, 40, true)]),
    ("inside another", &[piece(0, 72, true), piece(40, 8, true), LAST]),
    ("the first twice", &[FIRST, FIRST.other(), MIDDLE, LAST]),
    ("a later one before its first", &[piece(32, 40, true), FIRST, LAST]),
    ("two that wait for their first", &[MIDDLE, MIDDLE.other(), FIRST, LAST]),
];

#[test]
fn fragments_that_overlap_are_dropped_and_counted() {
    with_a_server(|loaded| {
        let mut wrong = Vec::new();
        let mut identification = 100;
        for (name, pieces) in CONTRADICTIONS {
            for way in WAYS {
                identification += 1;
                let before = dropped(loaded);
                match way.carry(loaded, identification, pieces) {
                    Err(error) => wrong.push(format!("{name}, {way:?}: {error}")),
                    Ok(carried) => {
                        let overlap = carried.iter().enumerate().find_map(|(at, one)| {
                            Some((one, carried[at + 1..].iter().find(|two| one.overlaps(**two))?))
                        });
                        if let Some((one, two)) = overlap {
                            wrong.push(format!("{name}, {way:?}: both {one:?} and {two:?} get through"));
                        } else if dropped(loaded) == before {
                            wrong.push(format!("{name}, {way:?}: nothing is counted"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} of 32:\n{}", wrong.len(), wrong.join("\n"));
    });
}

#[test]
fn two_first_fragments_of_one_packet_do_not_go_round_for_ever() {
    with_a_server(|loaded| {
        for (way, identification) in WAYS.into_iter().zip(300..) {
            // the second one arrives before the first one has come round
            let pieces = [FIRST, FIRST.at_port(4001).other(), MIDDLE, LAST];
            let carried = way.carry(loaded, identification, &pieces);
            let carried = carried.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            let firsts = carried.iter().filter(|piece| piece.start == 0).count();
            assert!(firsts <= 1, "{way:?}: {carried:?}");
        }
        assert!(dropped(loaded) >= 4, "each of the second ones is counted");
    });
}

#[test]
fn fragments_that_do_not_overlap_get_through_in_any_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    with_a_server(move |loaded| {
        let mut identification = 500;
        for order in orders {
            let pieces = order.map(|place: usize| [FIRST, MIDDLE, LAST][place]);
            for way in WAYS {
                identification += 1;
                let carried = way.carry(loaded, identification, &pieces).expect("an end");
                for piece in pieces {
                    assert!(carried.contains(&piece), "{order:?}, {way:?}: {piece:?} is missing");
                }
            }
        }
        // two packets of one sender may use the same places
        for way in WAYS {
            for number in 900..903 {
                let carried = way.carry(loaded, number, &[FIRST, MIDDLE, LAST]).expect("an end");
                assert_eq!(carried.len(), 3, "{way:?}: {carried:?}");
            }
        }
        assert_eq!(dropped(loaded), 0);
    });
}
