//! Limits of a container, packet by packet: what passes a meter, whom the rest is charged to.

use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    endpoint::flags,
    limit::{Limits, ticks},
    verdict::{DropReason, Verdict},
};
use tests::{
    fixture::{
        A, B, HOST_V4, Port, WORLD_V4, entries,
        uplink::{self, FROM_WORLD, out},
    },
    loaded::{Loaded, in_the_world},
    maps,
    packet::{Arp, Ip, ethernet, ip},
    switch::Counter,
};

use super::nat::{RANGE, drops, publish, receive, with_uplink};

/// More packets than pass.
const FRAMES: u32 = 100;
/// Binary places of a price.
const PLACES: u32 = 16;
const HOUR: u64 = 3_600_000_000_000;
/// How far a meter may run ahead; nanoseconds.
const DEPTH: u64 = 400_000_000;

/// One packet, and then none for an hour.
fn one_packet() -> Limits {
    Limits {
        packet_price: ticks(HOUR) << PLACES,
        ..Limits::default()
    }
}

/// Gives limits to a container.
fn limit(loaded: &mut Loaded, port: &Port, flags: u32, value: Limits) {
    let sandbox = port.id;
    let mut changed = vec![Entry::Limits { sandbox, value }];
    for mut entry in entries::all() {
        let found = match &mut entry {
            Entry::Endpoint { value, .. } if value.id == port.id => Some(&mut value.flags),
            Entry::Slot { id, value, .. } if *id == port.id => Some(&mut value.flags),
            Entry::Port { value, .. } if value.id == port.id => Some(&mut value.flags),
            Entry::Address { value, .. } if value.port.id == port.id => Some(&mut value.port.flags),
            _ => None,
        };
        if let Some(found) = found {
            *found |= flags;
            changed.push(entry);
        }
    }
    for entry in &changed {
        loaded.datapath.tables().write(entry).expect("an entry");
    }
}

fn to(from: &Port, to: &Port) -> Ip {
    ip((from.mac(), to.mac()), from.v4(), to.v4())
}

fn send(loaded: &Loaded, from: &Port, frame: &[u8], times: u32) {
    loaded
        .datapath
        .run(Hook::Endpoint, from.index(), frame, times)
        .expect("it runs");
}

fn packets(loaded: &mut Loaded, verdict: Verdict) -> u64 {
    let counters = loaded.counters();
    counters.get(&Counter::Path(verdict)).map_or(0, |count| count.packets)
}

#[test]
fn packets_are_counted_in_each_direction() {
    in_the_world(|loaded| {
        limit(loaded, &B, flags::LIMITED, one_packet());
        let (there, back) = (to(&A, &B).udp(1, 2, b"?"), to(&B, &A).udp(2, 1, b"!"));
        for (number, (from, frame)) in (1..).zip([(&A, &there), (&B, &back)]) {
            send(loaded, from, frame, FRAMES);
            assert_eq!(packets(loaded, Verdict::Peer), number);
            let refused = number * u64::from(FRAMES - 1);
            assert_eq!(drops(loaded, &B, DropReason::PacketRate), refused);
            assert_eq!(packets(loaded, Verdict::Drop), refused);
        }
        assert_eq!(drops(loaded, &A, DropReason::PacketRate), 0);
    });
}

#[test]
fn bytes_of_ip_packets_are_counted() {
    in_the_world(|loaded| {
        let limits = Limits {
            byte_price: ticks(DEPTH / 1_000) << PLACES,
            ..Limits::default()
        };
        limit(loaded, &A, flags::LIMITED, limits);
        // 100 bytes of IP: ten, and the one that goes into debt; more only where the test is interrupted
        send(loaded, &A, &to(&A, &B).udp(1, 2, &[0; 72]), 1_000);
        let passed = packets(loaded, Verdict::Peer);
        assert!((10..100).contains(&passed), "{passed}");
        assert_eq!(drops(loaded, &A, DropReason::RateLimit), 1_000 - passed);
    });
}

#[test]
fn what_is_refused_costs_the_other_end_nothing() {
    in_the_world(|loaded| {
        limit(loaded, &A, flags::LIMITED, one_packet());
        limit(loaded, &B, flags::LIMITED, one_packet());
        send(loaded, &A, &to(&A, &B).udp(1, 2, b"?"), 1);
        assert_eq!(packets(loaded, Verdict::Peer), 1);
        // A has nothing left, which B's own traffic does not feel
        send(loaded, &B, &to(&B, &A).udp(2, 1, b"!"), 1);
        assert_eq!(packets(loaded, Verdict::Peer), 2);
        send(loaded, &A, &to(&A, &B).udp(1, 2, b"?"), 1);
        assert_eq!(
            (
                drops(loaded, &A, DropReason::PacketRate),
                drops(loaded, &B, DropReason::PacketRate)
            ),
            (1, 0)
        );
    });
}

#[test]
fn the_world_counts_in_both_directions() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, HOST_V4, (8000, 8000), &B, 80, 0);
        limit(loaded, &A, flags::LIMITED, one_packet());
        limit(loaded, &B, flags::LIMITED, one_packet());
        send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(1, 53, b"?"), 1);
        receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5, 8000, b"?"));
        assert_eq!(packets(loaded, Verdict::Open), 2);
        send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(1, 53, b"?"), 1);
        receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5, 8000, b"?"));
        for port in [&A, &B] {
            assert_eq!(drops(loaded, port, DropReason::PacketRate), 1);
        }
        assert_eq!(packets(loaded, Verdict::Translate), 0);
    });
}

#[test]
fn neighbours_are_found_without_a_charge() {
    in_the_world(|loaded| {
        limit(loaded, &A, flags::LIMITED, one_packet());
        let question = Arp::request((A.mac(), A.v4()), B.v4()).frame(A.mac(), Mac::BROADCAST);
        send(loaded, &A, &to(&A, &B).udp(1, 2, b"?"), 2);
        for _ in 0..FRAMES {
            send(loaded, &A, &question, 1);
        }
        assert_eq!(packets(loaded, Verdict::AnswerArp), u64::from(FRAMES));
        assert_eq!(drops(loaded, &A, DropReason::PacketRate), 1);
    });
}

#[test]
fn copies_are_counted_by_who_gets_them() {
    in_the_world(|loaded| {
        limit(loaded, &B, flags::LIMITED, one_packet());
        let frame = ethernet(A.mac(), Mac::BROADCAST, 0x88b5, b"hello");
        send(loaded, &A, &frame, 3);
        assert_eq!(packets(loaded, Verdict::Replicate), 3);
        assert_eq!(drops(loaded, &B, DropReason::PacketRate), 2);
        assert_eq!(loaded.sent()[&B.index()], 1);
    });
}

#[test]
fn explaining_spends_nothing_and_tells_what_is_spent() {
    in_the_world(|loaded| {
        limit(loaded, &B, flags::LIMITED, one_packet());
        let frame = to(&A, &B).udp(1, 2, b"?");
        let explain = |loaded: &mut Loaded| {
            let explained = loaded.datapath.explain(Hook::Endpoint, A.index(), &frame);
            let decision = explained.expect("it runs").decision;
            (decision.verdict, decision.reason)
        };
        let before = maps::dump_all(&loaded.maps());
        for _ in 0..FRAMES {
            assert_eq!(explain(loaded), (Verdict::Peer as u32, 0));
        }
        assert!(maps::dump_all(&loaded.maps())["LIMITS"] == before["LIMITS"]);
        send(loaded, &A, &frame, 1);
        assert_eq!(packets(loaded, Verdict::Peer), 1);
        assert_eq!(explain(loaded), (Verdict::Drop as u32, DropReason::PacketRate as u32));
        assert_eq!(drops(loaded, &B, DropReason::PacketRate), 0);
    });
}

#[test]
fn flows_are_counted_by_who_begins_them() {
    in_the_world(|loaded| {
        let config = uplink::config(RANGE, 64);
        loaded.datapath.tables().set_config(&config).expect("a configuration");
        let limits = Limits {
            flows: 2,
            ..Limits::default()
        };
        limit(loaded, &A, flags::COUNT_FLOWS, limits);
        // a flow is one that counts once its sender has been heard after the answer
        let speak = |loaded: &mut Loaded, asks: &Port, answers: &Port, port| {
            send(loaded, asks, &to(asks, answers).udp(port, 2, b"?"), 1);
            send(loaded, answers, &to(answers, asks).udp(2, port, b"!"), 1);
            send(loaded, asks, &to(asks, answers).udp(port, 2, b"?"), 1);
        };
        for port in [10, 11] {
            speak(loaded, &A, &B, port);
        }
        assert_eq!(
            (packets(loaded, Verdict::Admit), packets(loaded, Verdict::Follow)),
            (2, 4)
        );
        send(loaded, &A, &to(&A, &B).udp(12, 2, b"?"), 1);
        assert_eq!(drops(loaded, &A, DropReason::FlowQuota), 1);
        // those of others are theirs
        for port in 20..30 {
            speak(loaded, &B, &A, port);
        }
        assert_eq!(drops(loaded, &A, DropReason::FlowQuota), 1);
        assert_eq!(drops(loaded, &B, DropReason::FlowQuota), 0);
        assert_eq!(packets(loaded, Verdict::Follow), 4 + 20);
    });
}
