//! Questions for names that the switch answers by itself, byte for byte, and those that it leaves to the agent.

use std::net::IpAddr;

use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch_common::{
    address::Address,
    name::{Name, NameKey, SEVERAL, View, filled},
};
use tests::fixture::uplink::{into, out};
use tests::fixture::{A, ALPHA, B, BETA, Port, RESOLVER, S, SLIM};
use tests::loaded::{Loaded, in_the_world};
use tests::packet::{describe, ip};
use tests::question::{self, AAAA, ANY, PTR, TXT, question, wire};

const DROP: i32 = 2;
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
    for server in [IpAddr::from(gateway.v4()), gateway.v6().into()] {
        says_at(loaded, &A, server, asked, expected);
    }
}

#[track_caller]
fn says_at(loaded: &Loaded, from: &Port, server: IpAddr, asked: &[u8], expected: &[u8]) {
    let own = match server {
        IpAddr::V4(_) => IpAddr::from(from.v4()),
        IpAddr::V6(_) => from.v6().into(),
    };
    let frame = ip(out(from), own, server).udp(4000, 53, asked);
    let ran = loaded
        .datapath
        .run(Hook::Endpoint, from.index(), &frame, 1)
        .expect("it runs");
    assert_eq!(ran.verdict, REDIRECT);
    let mut back = ip(into(from), server, own).udp(53, 4000, expected);
    // an answer with a record has an IP header of its own: identification and what follows from it
    if own.is_ipv4() && asked.len() != expected.len() {
        assert_eq!(
            ran.frame.get(18..22),
            Some(&[0, 0, 0x40, 0][..]),
            "{}",
            describe(&ran.frame)
        );
        back[18..26].copy_from_slice(&ran.frame[18..26]);
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

#[test]
fn where_nobody_else_answers_the_switch_says_that_there_is_nothing() {
    const NOTHING: u8 = 0;
    const CANNOT_TELL: u8 = 2;
    const NO_SUCH_NAME: u8 = 3;
    in_the_world(|loaded| {
        let network = u32::from(SLIM.number);
        let value = View {
            networks: [network, 0, 0, 0],
        };
        let view = Entry::View { sandbox: S.id, value };
        let servers = [IpAddr::from(SLIM.v4(RESOLVER)), SLIM.v6(RESOLVER).into()];
        let denies = |loaded: &Loaded, asked: &[u8], code: u8| {
            let mut expected = asked.to_vec();
            expected[2..4].copy_from_slice(&[0x85, 0x80 | code]);
            for server in servers {
                says_at(loaded, &S, server, asked, &expected);
            }
        };
        denies(loaded, &question("web", question::A), CANNOT_TELL);
        loaded.datapath.tables().write(&view).expect("a view");
        for (name, flag) in [("web", 0), ("all", SEVERAL)] {
            let wire = wire(name);
            let value = Name {
                length: u32::try_from(wire.len()).expect("a short name") | flag,
                pointer_length: 0,
                v4: u32::from_ne_bytes(SLIM.v4(9).octets()),
                time_to_live: TIME_TO_LIVE,
                v6: Address::NONE,
                pointer: [0; 64],
            };
            let key = NameKey::new(network, &wire).expect("a short name");
            let value = Box::new(value);
            loaded
                .datapath
                .tables()
                .write(&Entry::Name { key, value })
                .expect("a name");
        }
        // with EDNS: without, in the answer
        let with_options = |mut asked: Vec<u8>, options: &[u8]| {
            asked[11] = 1;
            let length = u8::try_from(options.len()).expect("few options");
            [&asked[..], &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, length], options].concat()
        };
        let asks = |name: &str, kind: u16| {
            let plain = question(name, kind);
            let some = with_options(plain.clone(), &[]);
            let many = with_options(plain.clone(), &[7; 100]);
            [plain, some, many]
        };
        for name in ["web", "WEB", "all"] {
            for asked in asks(name, question::A) {
                for server in servers {
                    let expected = answer(name, question::A, &SLIM.v4(9).octets());
                    says_at(loaded, &S, server, &asked, &expected);
                }
            }
        }
        for (name, kind, code) in [
            ("web", AAAA, NOTHING),
            ("web", TXT, NOTHING),
            ("nobody", question::A, NO_SUCH_NAME),
            ("web.nobody", PTR, NO_SUCH_NAME),
            (&"b".repeat(63), question::A, CANNOT_TELL),
        ] {
            for asked in asks(name, kind) {
                denies(loaded, &asked, code);
            }
        }
        // its own answers, and half a header, are none
        let mut said = question("web", question::A);
        said[2] |= 0x80;
        for asked in [&said[..], &said[..8], &[]] {
            let frame = ip(out(&S), S.v4(), SLIM.v4(RESOLVER)).udp(4000, 53, asked);
            let ran = loaded.datapath.run(Hook::Endpoint, S.index(), &frame, 1);
            assert_eq!(ran.expect("it runs").verdict, DROP);
        }
    });
}
