//! ARP and neighbour discovery: nobody speaks for another.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::address::Mac;
use tests::packet::{Arp, DESTINATION_OPTIONS, HOP_BY_HOP, ROUTING, multicast_mac, solicited_node};

use super::*;

#[test]
fn case_26_arp() {
    let field = Field::new();
    field.holds(&claims(&field));
    field.holds(&questions(&field));
    let victim = field.world.inside("victim");
    for target in [ATTACKER[0], GATEWAY[0]] {
        crate::ping(&victim, target, 64);
    }
}

#[test]
fn case_26_neighbour_discovery() {
    let field = Field::new();
    field.holds(&advertisements(&field));
    field.holds(&solicitations(&field));
    let victim = field.world.inside("victim");
    for target in [ATTACKER[1], GATEWAY[1]] {
        crate::ping(&victim, target, 64);
    }
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn claims(field: &Field) -> Vec<Case> {
    let own = v4(ATTACKER[0]);
    let victim = (field.victim, v4(VICTIM[0]));
    let mut cases = Vec::new();
    let mut drop = |name: String, frame| cases.push(dropped("spoofed-arp", name, frame));
    for (whose, address) in [
        ("the victim's", VICTIM),
        ("the gateway's", GATEWAY),
        ("nobody's", NOBODY),
        ("a stranger's", STRANGER),
        ("the host's", HOST),
    ] {
        let address = v4(address[0]);
        let reply = Arp::reply((field.own, address), victim);
        drop(
            format!("an answer with {whose} address"),
            reply.frame(field.own, field.victim),
        );
        drop(
            format!("an answer with {whose} address to everybody"),
            reply.frame(field.own, EVERYBODY),
        );
        drop(
            format!("an answer with {whose} address to the host"),
            reply.frame(field.own, field.gateway),
        );
        let announcement = Arp::request((field.own, address), address);
        drop(
            format!("an announcement of {whose} address"),
            announcement.frame(field.own, EVERYBODY),
        );
        let question = Arp::request((field.own, address), v4(VICTIM[0]));
        drop(
            format!("a question with {whose} address"),
            question.frame(field.own, EVERYBODY),
        );
    }
    for (whose, mac) in [
        ("the victim's", field.victim),
        ("the gateway's", field.gateway),
        ("nobody's", STRANGE),
    ] {
        let reply = Arp::reply((mac, own), victim);
        drop(
            format!("an answer with {whose} MAC"),
            reply.frame(field.own, field.victim),
        );
        let announcement = Arp::request((mac, own), own);
        drop(
            format!("an announcement with {whose} MAC"),
            announcement.frame(field.own, EVERYBODY),
        );
    }
    let no_address = Arp::reply((field.own, Ipv4Addr::UNSPECIFIED), victim);
    drop(
        "an answer without address".into(),
        no_address.frame(field.own, field.victim),
    );
    for (what, operation) in [("a reverse question", 3), ("an inverse answer", 9)] {
        let other = Arp {
            operation,
            ..Arp::reply((field.own, v4(VICTIM[0])), victim)
        };
        drop(
            format!("{what} with the victim's address"),
            other.frame(field.own, field.victim),
        );
    }
    let lengths = Arp {
        kind: [0, 1, 8, 0, 8, 4],
        ..Arp::reply((field.own, own), victim)
    };
    drop(
        "an answer with other lengths".into(),
        lengths.frame(field.own, field.victim),
    );
    let cut = Arp::reply((field.own, v4(VICTIM[0])), victim).frame(field.own, field.victim);
    cases.push(dropped("malformed", "half an answer", cut[..32].to_vec()));
    cases
}

fn questions(field: &Field) -> Vec<Case> {
    let own = (field.own, v4(ATTACKER[0]));
    let ask = |sender, target| Arp::request(sender, v4(target)).frame(field.own, EVERYBODY);
    let probe = (field.own, Ipv4Addr::UNSPECIFIED);
    vec![
        answered("who is the victim", ask(own, VICTIM[0])),
        answered("who is the victim, without an address", ask(probe, VICTIM[0])),
        dropped("no-such-neighbour", "who is nobody", ask(own, NOBODY[0])),
        dropped("no-such-neighbour", "who is the stranger", ask(own, STRANGER[0])),
        dropped(
            "no-such-neighbour",
            "who is the other gateway",
            ask(own, OTHER_GATEWAY[0]),
        ),
        heard(&[Victim], "an answer that nobody asked for, with its own address", {
            Arp::reply(own, (field.victim, v4(VICTIM[0]))).frame(field.own, field.victim)
        }),
        heard(
            &[Victim, Host],
            "an announcement of its own address",
            ask(own, ATTACKER[0]),
        ),
    ]
}

fn advertisements(field: &Field) -> Vec<Case> {
    let own = v6(ATTACKER[1]);
    let link_local = Ipv6Addr::from(field.victim.link_local());
    let mut cases = Vec::new();
    for (whose, target) in [
        ("the victim's", v6(VICTIM[1])),
        ("the victim's link-local", link_local),
        ("the gateway's", v6(GATEWAY[1])),
        ("the gateway's link-local", "fe80::1".parse().unwrap()),
        ("nobody's", v6(NOBODY[1])),
        ("a stranger's", v6(STRANGER[1])),
        ("its IPv4, mapped,", v4(ATTACKER[0]).to_ipv6_mapped()),
    ] {
        let mut drop =
            |what: &str, frame| cases.push(dropped("spoofed-neighbour", format!("{whose} address {what}"), frame));
        drop("solicited", field.to_victim(1).advertise(0x40, target, Some(field.own)));
        drop(
            "with override",
            field.to_victim(1).advertise(0x60, target, Some(field.own)),
        );
        drop("to everybody", field.to_all(1).advertise(0x20, target, Some(field.own)));
        drop("as a router", field.to_all(1).advertise(0xa0, target, Some(field.own)));
        drop("without MAC", field.to_victim(1).advertise(0x60, target, None));
        drop(
            "to the host",
            field.to_gateway(1, GATEWAY[1]).advertise(0x60, target, Some(field.own)),
        );
    }
    for (whose, mac) in [
        ("the victim's", field.victim),
        ("the gateway's", field.gateway),
        ("nobody's", STRANGE),
    ] {
        let frame = field.to_victim(1).advertise(0x60, own, Some(mac));
        cases.push(dropped(
            "spoofed-neighbour",
            format!("its own address at {whose} MAC"),
            frame,
        ));
    }
    let gateway = v6(GATEWAY[1]);
    for (what, packet) in [
        (
            "hop-by-hop options",
            field.to_victim(1).extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0]),
        ),
        (
            "destination options",
            field.to_victim(1).extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]),
        ),
        (
            "a routing header",
            field.to_victim(1).extension(ROUTING, &[4, 0, 0, 0, 0, 0]),
        ),
        ("an atomic fragment", field.to_victim(1).fragment(0, false)),
    ] {
        let frame = packet.advertise(0x60, gateway, Some(field.own));
        cases.push(dropped(
            "spoofed-neighbour",
            format!("the gateway's address behind {what}"),
            frame,
        ));
    }
    cases.extend(options(field));
    cases
}

/// What an advertisement of the own address says behind it.
fn options(field: &Field) -> Vec<Case> {
    let target = v6(ATTACKER[1]).octets();
    let says = |packet: Ip, options: &[u8]| {
        packet
            .hops(255)
            .icmp(136, 0, &[&[0x60, 0, 0, 0][..], &target, options].concat())
    };
    let option = |kind, mac: Mac| [&[kind, 1][..], &mac.0].concat();
    let nonce = option(14, STRANGE);
    let spoofed = option(2, field.gateway);
    let drop = |reason, what: &str, frame| dropped(reason, format!("an advertisement with {what}"), frame);
    vec![
        drop(
            "spoofed-neighbour",
            "two MACs",
            says(field.to_victim(1), &[option(2, field.own), spoofed.clone()].concat()),
        ),
        drop(
            "spoofed-neighbour",
            "a MAC behind seven options",
            says(field.to_victim(1), &[nonce.repeat(7), spoofed.clone()].concat()),
        ),
        drop(
            "malformed",
            "a MAC behind eight options",
            says(field.to_victim(1), &[nonce.repeat(8), spoofed].concat()),
        ),
        drop(
            "malformed",
            "an option of no length",
            says(field.to_victim(1), &[2, 0, 0, 0, 0, 0, 0, 0]),
        ),
        drop(
            "malformed",
            "half an option",
            says(field.to_victim(1), &[2, 1, 2, 0x42]),
        ),
        drop(
            "malformed",
            "a long option cut short",
            says(field.to_victim(1), &[14, 9, 0, 0, 0, 0, 0, 0]),
        ),
        drop(
            "malformed",
            "its options in another fragment",
            says(field.to_victim(1).fragment(0, true), &[]),
        ),
        drop(
            "malformed",
            "half a target",
            field.to_victim(1).hops(255).icmp(136, 0, &[0; 12]),
        ),
        heard(
            &[Victim],
            "an advertisement of itself",
            says(field.to_victim(1), &option(2, field.own)),
        ),
    ]
}

fn solicitations(field: &Field) -> Vec<Case> {
    let ask = |source: &str, target: Ipv6Addr| {
        let group = solicited_node(target);
        field.packet(multicast_mac(group), source, &group.to_string())
    };
    let [victim, gateway, nobody, stranger] = [VICTIM, GATEWAY, NOBODY, STRANGER].map(|pair| v6(pair[1]));
    let own = ATTACKER[1];
    let mut cases = Vec::new();
    let mut drop = |reason, what: &str, frame| cases.push(dropped(reason, what, frame));
    for (whose, mac) in [
        ("the victim's", field.victim),
        ("the gateway's", field.gateway),
        ("nobody's", STRANGE),
    ] {
        let solicit = ask(own, gateway).solicit(gateway, Some(mac));
        drop("spoofed-neighbour", &format!("a question with {whose} MAC"), solicit);
        let solicit = field.packet(group(1), own, ALL_NODES[1]).hops(255);
        let solicit = solicit.icmp(133, 0, &[&[0, 0, 0, 0, 1, 1][..], &mac.0].concat());
        drop(
            "spoofed-neighbour",
            &format!("a router solicitation with {whose} MAC"),
            solicit,
        );
    }
    for (whose, target) in [
        ("the victim's", victim),
        ("the gateway's", gateway),
        ("the stranger's", stranger),
    ] {
        let reason = "spoofed-neighbour";
        drop(
            reason,
            &format!("testing {whose} address"),
            ask("::", target).solicit(target, None),
        );
    }
    drop(
        "spoofed-address",
        "a question as the victim",
        ask(VICTIM[1], gateway).solicit(gateway, Some(field.own)),
    );
    drop(
        "spoofed-address",
        "a question as the gateway",
        ask(GATEWAY[1], victim).solicit(victim, Some(field.own)),
    );
    drop(
        "malformed",
        "a question from afar",
        ask(own, victim).hops(254).solicit(victim, Some(field.own)),
    );
    drop(
        "malformed",
        "half a question",
        ask(own, victim).hops(255).icmp(135, 0, &[0; 12]),
    );
    drop(
        "malformed",
        "a question in a first fragment",
        ask(own, victim).fragment(0, true).solicit(victim, None),
    );
    drop(
        "no-such-neighbour",
        "who is nobody",
        ask(own, nobody).solicit(nobody, None),
    );
    drop(
        "no-such-neighbour",
        "who is the stranger",
        ask(own, stranger).solicit(stranger, None),
    );
    let mapped = v4(VICTIM[0]).to_ipv6_mapped();
    drop(
        "spoofed-neighbour",
        "who is an IPv4 address, mapped",
        ask(own, mapped).solicit(mapped, None),
    );
    cases.push(answered(
        "who is the victim",
        ask(own, victim).solicit(victim, Some(field.own)),
    ));
    cases
}
