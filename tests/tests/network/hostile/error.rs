//! ICMP errors forged about packets that others sent or got, and ICMP's other words for others' ways.

use super::*;

#[test]
fn case_26_errors_about_others() {
    let field = Field::new();
    for family in FAMILIES {
        field.holds(&errors(&field, family));
    }
    field.holds(&redirects(&field));
}

/// What it says, its type and code, and what follows the checksum.
type Said = (&'static str, u8, u8, [u8; 4]);
const ERRORS: [&[Said]; 2] = [
    &[
        ("no such host", 3, 1, [0; 4]),
        ("no such port", 3, 3, [0; 4]),
        ("fragmentation needed", 3, 4, [0, 0, 2, 0x40]),
        ("source quench", 4, 0, [0; 4]),
        ("time exceeded", 11, 0, [0; 4]),
        ("parameter problem", 12, 0, [20, 0, 0, 0]),
    ],
    &[
        ("no such host", 1, 3, [0; 4]),
        ("no such port", 1, 4, [0; 4]),
        ("packet too big", 2, 0, [0, 0, 5, 0]),
        ("time exceeded", 3, 0, [0; 4]),
        ("parameter problem", 4, 1, [0, 0, 0, 6]),
    ],
];

fn errors(field: &Field, family: usize) -> Vec<Case> {
    let [victim, gateway, host, lan] = [VICTIM, GATEWAY, HOST, LAN].map(|pair| address(pair[family]));
    let own = address(ATTACKER[family]);
    let mut cases = Vec::new();
    for (what, kind, code, word) in ERRORS[family] {
        let says = |packet: Ip, from, to| packet.icmp(*kind, *code, &[&word[..], &quoted(from, to)].concat());
        let mut drop = |whom: &str, frame| {
            cases.push(dropped(
                "spoofed-error",
                named(family, &format!("{what} {whom}")),
                frame,
            ));
        };
        drop(
            "to the victim, about the world",
            says(field.to_victim(family), victim, lan),
        );
        drop(
            "to the victim, about the gateway",
            says(field.to_victim(family), victim, gateway),
        );
        drop(
            "to the host, about the victim",
            says(field.to_gateway(family, GATEWAY[family]), gateway, victim),
        );
        drop(
            "to the host, about the world",
            says(field.to_gateway(family, HOST[family]), host, lan),
        );
        drop(
            "to the world, about the victim",
            says(field.to_gateway(family, LAN[family]), lan, victim),
        );
        drop("to everybody, about the world", says(field.to_all(family), victim, lan));
        cases.push(heard(
            &[Victim],
            named(family, &format!("{what}, its own")),
            says(field.to_victim(family), victim, own),
        ));
        let unknown = says(field.to_gateway(family, LAN[family]), lan, own);
        cases.push(dropped(
            "no-flow",
            named(family, &format!("{what} to the world about no flow")),
            unknown,
        ));
    }
    let nothing = field.to_victim(family).icmp(ERRORS[family][0].1, 0, &[0; 4]);
    cases.push(dropped(
        "malformed",
        named(family, "an error that quotes nothing"),
        nothing,
    ));
    let cut = [&[0; 4][..], &quoted(victim, address(ATTACKER[family]))[..16]].concat();
    let cut = field.to_victim(family).icmp(ERRORS[family][0].1, 0, &cut);
    cases.push(dropped(
        "malformed",
        named(family, "an error that quotes half a header"),
        cut,
    ));
    cases
}

/// Of IPv4; IPv6's are in `router`.
fn redirects(field: &Field) -> Vec<Case> {
    let (victim, lan) = (address(VICTIM[0]), address(LAN[0]));
    let redirect = |packet: Ip| packet.icmp(5, 1, &[&[10, 70, 0, 2][..], &quoted(victim, lan)].concat());
    let offer = |packet: Ip| packet.icmp(9, 0, &[&[1, 2, 7, 8, 10, 70, 0, 2, 0, 0, 0, 9], MARK].concat());
    let drop = |what: &str, frame| dropped("router-advertisement", what, frame);
    vec![
        drop("a redirect", redirect(field.to_victim(0))),
        drop("a redirect to the host", redirect(field.to_gateway(0, GATEWAY[0]))),
        drop(
            "a redirect behind options",
            redirect(field.to_victim(0).options(&[1; 40])),
        ),
        drop(
            "a redirect in a first fragment",
            redirect(field.to_victim(0).fragment(0, true)),
        ),
        drop(
            "a redirect as the gateway",
            redirect(field.packet(field.victim, GATEWAY[0], VICTIM[0])),
        ),
        drop("a router advertisement", offer(field.to_victim(0))),
        drop("a router advertisement to everybody", offer(field.to_all(0))),
    ]
}
