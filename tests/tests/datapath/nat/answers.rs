//! ICMP errors of the switch's own are rationed (RFC 1812, 4.3.2.8; RFC 4443, 2.4): a flood of packets that ask for one
//! makes no flood of answers, and takes none from others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use netswitch_common::verdict::{DropReason, Verdict};
use tests::fixture::{
    A, B, HOST_V4, HOST_V6, SMALL, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, out},
};
use tests::loaded::Loaded;
use tests::packet::ip;
use tests::switch::Counter;

use super::{RANGE, REDIRECT, drops, publish, receive, send, with_uplink};

/// Answers that one sender, a container or an uplink, gets in a second, and those that it may get at once: as the
/// kernel's `icmp_msgs_per_sec` and `icmp_msgs_burst`.
const ICMP_ANSWERS_PER_SECOND: u32 = 1_000;
const ICMP_ANSWERS_AT_ONCE: u32 = 50;
const FLOOD: u16 = 10_000;

/// Packets that want an answer.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// Out to the world with their last hop.
    Hops,
    /// To a neighbour with a smaller MTU.
    Neighbour,
    /// In to a published port with their last hop, each from another address.
    Inward,
    /// In to a published port of a container with a smaller MTU, each from another address.
    InwardTooBig,
}

const WANTS: [Want; 4] = [Want::Hops, Want::Neighbour, Want::Inward, Want::InwardTooBig];

impl Want {
    fn is_inward(self) -> bool {
        matches!(self, Self::Inward | Self::InwardTooBig)
    }

    fn reason(self) -> DropReason {
        match self {
            Self::Hops | Self::Inward => DropReason::TimeExceeded,
            Self::Neighbour | Self::InwardTooBig => DropReason::TooBig,
        }
    }

    /// One of its packets; no two are the same.
    fn frame(self, is_v4: bool, number: u16) -> Vec<u8> {
        // not a port that a server of addresses has
        let port = 1000 + number;
        let [high, low] = number.to_be_bytes();
        let (own, neighbour, host, world): (IpAddr, IpAddr, IpAddr, IpAddr) = if is_v4 {
            (A.v4().into(), SMALL.v4().into(), HOST_V4.into(), WORLD_V4.into())
        } else {
            (A.v6().into(), SMALL.v6().into(), HOST_V6.into(), WORLD_V6.into())
        };
        let forged: IpAddr = if is_v4 {
            Ipv4Addr::new(203, 1, high, low).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 2, number).into()
        };
        match self {
            Self::Hops => ip(out(&A), own, world).hops(1).udp(port, 53, b"x"),
            Self::Neighbour => ip((A.mac(), SMALL.mac()), own, neighbour).udp(port, 53, &[7; 1400]),
            Self::Inward => ip(FROM_WORLD, forged, host).hops(1).udp(5000, 8000, b"x"),
            Self::InwardTooBig => ip(FROM_WORLD, forged, host).dont_fragment().udp(5000, 9000, &[7; 1400]),
        }
    }

    /// Sends so many of them: how long it took.
    fn flood(self, loaded: &Loaded, is_v4: bool, count: u16) -> Duration {
        let frames: Vec<_> = (1..=count).map(|number| self.frame(is_v4, number)).collect();
        let start = Instant::now();
        for frame in &frames {
            if self.is_inward() {
                receive(loaded, frame)
            } else {
                send(loaded, &A, frame)
            };
        }
        start.elapsed()
    }
}

fn answers(loaded: &mut Loaded) -> u64 {
    let counters = loaded.counters();
    let counts =
        [Verdict::AnswerTimeExceeded, Verdict::AnswerTooBig].map(|verdict| counters.get(&Counter::Path(verdict)));
    counts.into_iter().flatten().map(|count| count.packets).sum()
}

fn publish_both(loaded: &mut Loaded) {
    for host in [IpAddr::from(HOST_V4), HOST_V6.into()] {
        publish(loaded, host, (8000, 8000), &B, 80, 0);
        publish(loaded, host, (9000, 9000), &SMALL, 80, 0);
    }
}

#[test]
fn a_flood_is_answered_at_a_rate() {
    let mut wrong = Vec::new();
    for want in WANTS {
        for is_v4 in [true, false] {
            let (answered, time, dropped) = flooded(want, is_v4);
            let most = f64::from(ICMP_ANSWERS_PER_SECOND) * time.as_secs_f64() + f64::from(ICMP_ANSWERS_AT_ONCE);
            let family = if is_v4 { 4 } else { 6 };
            let counted = f64::from(u32::try_from(answered).expect("a small number"));
            // coarse clocks add up to a tick
            if counted > most * 1.1 + 10.0 || answered == 0 {
                wrong.push(format!(
                    "{want:?}, IPv{family}: {answered} answers in {time:?}, where {most:.0} are many"
                ));
            }
            // answered or not, each was dropped for a reason that is counted
            assert_eq!(dropped, u64::from(FLOOD), "{want:?}, IPv{family}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Answers to a flood in a world of its own, how long it took, and the drops that were counted.
fn flooded(want: Want, is_v4: bool) -> (u64, Duration, u64) {
    let (sender, receiver) = std::sync::mpsc::channel();
    with_uplink(RANGE, move |loaded| {
        publish_both(loaded);
        let time = want.flood(loaded, is_v4, FLOOD);
        let counters = loaded.counters();
        let counted = counters
            .iter()
            .filter(|(counter, _)| matches!(counter, Counter::Drop(_, reason) if *reason == want.reason()));
        let dropped = counted.map(|(_, count)| count.packets).sum();
        sender.send((answers(loaded), time, dropped)).expect("the test waits");
    });
    receiver.recv().expect("what came of it")
}

#[test]
fn a_flood_takes_no_answers_from_others() {
    with_uplink(RANGE, |loaded| {
        publish_both(loaded);
        for want in WANTS {
            want.flood(loaded, true, 2_000);
        }
        for (own, world) in [
            (IpAddr::from(B.v4()), IpAddr::from(WORLD_V4)),
            (B.v6().into(), WORLD_V6.into()),
        ] {
            let before = answers(loaded);
            let told = send(loaded, &B, &ip(out(&B), own, world).hops(1).udp(4000, 33434, b"x"));
            assert_eq!((told.0, answers(loaded) - before), (REDIRECT, 1), "{own}");
        }
        assert!(drops(loaded, &A, DropReason::TimeExceeded) >= 2_000);
    });
}

#[test]
fn after_a_flood_the_sender_is_told_again() {
    for want in WANTS {
        for is_v4 in [true, false] {
            with_uplink(RANGE, move |loaded| {
                publish_both(loaded);
                want.flood(loaded, is_v4, 2_000);
                tests::world::eventually("an answer", || {
                    let before = answers(loaded);
                    want.flood(loaded, is_v4, 1);
                    match answers(loaded) - before {
                        0 => Err(format!("{want:?}, IPv4 {is_v4}: none")),
                        _ => Ok(()),
                    }
                });
            });
        }
    }
}
