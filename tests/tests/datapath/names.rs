//! Questions for names that the switch answers by itself, byte for byte, and those that it leaves to the agent.

use std::net::IpAddr;

use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch_common::{
    address::Address,
    name::{Name, NameKey, View, filled},
};
use tests::fixture::uplink::{into, out};
use tests::fixture::{A, ALPHA, B, BETA};
use tests::loaded::{Loaded, in_the_world};
use tests::packet::{describe, ip};
use tests::question::{self, AAAA, ANY, PTR, TXT, question, wire};

const REDIRECT: i32 = 7;
const TIME_TO_LIVE: u32 = 5;

fn answer(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    question::answer(name, kind, TIME_TO_LIVE, data)
}

/// The fixed world, where network `alpha` knows container B by a few names.
fn with_names(test: impl FnOnce(&mut Loaded) + Send + 'static) {
    in_the_world(|loaded| {
        let tables = loaded.datapath.tables();
        let endpoint = tables.endpoint(A.index()).expect("ENDPOINTS").expect("an endpoint");
        let value = View {
            networks: [BETA.number.into(), ALPHA.number.into(), 0, 0],
        };
        let sandbox = endpoint.sandbox;
        tables.write(&Entry::View { sandbox, value }).expect("a view");
        let both = Name {
            length: 0,
            pointer_length: 0,
            v4: u32::from_ne_bytes(B.v4().octets()),
            time_to_live: TIME_TO_LIVE,
            v6: IpAddr::from(B.v6()).into(),
            pointer: [0; 64],
        };
        let only_v4 = Name {
            v6: Address::NONE,
            ..both
        };
        let target = wire("web.alpha");
        let pointer = Name {
            v4: 0,
            pointer_length: u32::try_from(target.len()).expect("a short name"),
            pointer: filled(&target).expect("a short name"),
            ..only_v4
        };
        let long = "a".repeat(61);
        for (name, value) in [
            ("web", both),
            ("old.alpha", only_v4),
            ("3.0.1.10.in-addr.arpa", pointer),
            (&long, both),
        ] {
            let wire = wire(name);
            let value = Name {
                length: u32::try_from(wire.len()).expect("a short name"),
                ..value
            };
            let key = NameKey::new(ALPHA.number.into(), &wire).expect("a short name");
            let entry = Entry::Name {
                key,
                value: Box::new(value),
            };
            tables.write(&entry).expect("a name");
        }
        test(loaded);
    });
}

/// Asks both of the gateway's addresses: what comes back, without a way to tell who was asked.
#[track_caller]
fn says(loaded: &Loaded, asked: &[u8], expected: &[u8]) {
    let gateway = ALPHA.host_port();
    for (own, server) in [
        (IpAddr::from(A.v4()), IpAddr::from(gateway.v4())),
        (A.v6().into(), gateway.v6().into()),
    ] {
        let frame = ip(out(&A), own, server).udp(4000, 53, asked);
        let ran = loaded
            .datapath
            .run(Hook::Endpoint, A.index(), &frame, 1)
            .expect("it runs");
        assert_eq!(ran.verdict, REDIRECT);
        let mut back = ip(into(&A), server, own).udp(53, 4000, expected);
        if own.is_ipv4() {
            assert_eq!(
                ran.frame.get(18..22),
                Some(&[0, 0, 0x40, 0][..]),
                "{}",
                describe(&ran.frame)
            );
            back[18..26].copy_from_slice(&ran.frame[18..26]); // identification and what follows from it
        }
        assert!(
            ran.frame == back,
            "{}\n{:x?}\ninstead of\n{}\n{:x?}",
            describe(&ran.frame),
            ran.frame,
            describe(&back),
            back
        );
    }
}

/// The question goes to the host, unchanged.
#[track_caller]
fn is_left(loaded: &Loaded, asked: &[u8]) {
    let frame = ip(out(&A), A.v4(), ALPHA.host_port().v4()).udp(4000, 53, asked);
    let ran = loaded
        .datapath
        .run(Hook::Endpoint, A.index(), &frame, 1)
        .expect("it runs");
    assert_eq!(ran.verdict, REDIRECT);
    assert!(ran.frame == frame, "{}", describe(&ran.frame));
}

#[test]
fn names_of_the_network_are_answered_by_the_switch() {
    with_names(|loaded| {
        says(
            loaded,
            &question("web", question::A),
            &answer("web", question::A, &B.v4().octets()),
        );
        says(loaded, &question("web", AAAA), &answer("web", AAAA, &B.v6().octets()));
        // as it was spelt
        says(
            loaded,
            &question("WeB", question::A),
            &answer("WeB", question::A, &B.v4().octets()),
        );
        let pointer = wire("web.alpha");
        says(
            loaded,
            &question("3.0.1.10.IN-ADDR.arpa", PTR),
            &answer("3.0.1.10.IN-ADDR.arpa", PTR, &pointer),
        );
        let long = "a".repeat(61);
        says(
            loaded,
            &question(&long, question::A),
            &answer(&long, question::A, &B.v4().octets()),
        );
    });
}

#[test]
fn whatever_does_not_fit_is_left_to_the_agent() {
    with_names(|loaded| {
        let unknown = ["nobody", "webb", "we", "web.alpha.example", ""];
        for name in unknown {
            is_left(loaded, &question(name, question::A));
        }
        is_left(loaded, &question(&"b".repeat(63), question::A));
        for kind in [TXT, PTR, ANY] {
            is_left(loaded, &question("web", kind));
        }
        is_left(loaded, &question("old.alpha", AAAA));
        is_left(loaded, &question("3.0.1.10.in-addr.arpa", question::A));
        // answers, other kinds of queries, two questions, other sections, another class, trailing bytes
        let good = question("web", question::A);
        let patches: [(usize, u8); 8] = [
            (2, 0x81),
            (2, 0x09),
            (2, 0x03),
            (3, 0x40),
            (5, 2),
            (7, 1),
            (9, 1),
            (11, 1),
        ];
        for (at, byte) in patches {
            let mut asked = good.clone();
            asked[at] = byte;
            is_left(loaded, &asked);
        }
        let mut chaos = good.clone();
        *chaos.last_mut().expect("a byte") = 3;
        is_left(loaded, &chaos);
        is_left(loaded, &[&good[..], &[0]].concat());
        // zeros behind the name look like the key's
        let mut padded = good.clone();
        padded.splice(17..17, [0, 0]);
        is_left(loaded, &padded);
        for length in 0..good.len() {
            is_left(loaded, &good[..length]);
        }
    });
}
