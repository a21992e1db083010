//! Router advertisements and redirects, and the extension headers that they hide behind (RFC 7113).

use std::net::Ipv6Addr;

use tests::packet::{AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, PROTOCOL_ICMPV6, ROUTING};

use super::*;

const OPTIONS: [u8; 6] = [1, 4, 0, 0, 0, 0];
/// A router for 1800 s.
const ADVERTISEMENT: [u8; 12] = [64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn case_26_case_30_routers_and_where_they_hide() {
    let field = Field::new();
    field.holds(&plain(&field));
    field.holds(&hidden(&field));
    field.holds(&split(&field));
    // and the victim has no other router than before
    let routes = field
        .world
        .exec("victim", &["ip", "-6", "route", "show", "default"])
        .ok();
    assert_eq!(routes.lines().count(), 1, "{routes}");
    assert!(routes.contains("fd70::1"), "{routes}");
}

fn to_all(field: &Field) -> Ip {
    let link_local = Ipv6Addr::from(field.own.link_local()).to_string();
    field.packet(group(1), &link_local, ALL_NODES[1]).hops(255)
}

fn advertise(packet: &Ip) -> Vec<u8> {
    packet.icmp(134, 0, &[&ADVERTISEMENT[..], MARK].concat())
}

fn plain(field: &Field) -> Vec<Case> {
    let drop = |what: &str, frame| dropped("router-advertisement", what, frame);
    let redirect = |packet: Ip| packet.hops(255).icmp(137, 0, &[&[0; 36], MARK].concat());
    vec![
        drop("an advertisement", advertise(&to_all(field))),
        drop(
            "an advertisement to the victim",
            advertise(&field.to_victim(1).hops(255)),
        ),
        drop(
            "an advertisement to the host",
            advertise(&field.to_gateway(1, GATEWAY[1]).hops(255)),
        ),
        drop(
            "an advertisement as the gateway",
            advertise(&field.packet(field.victim, GATEWAY[1], VICTIM[1]).hops(255)),
        ),
        drop("an advertisement from afar", advertise(&to_all(field).hops(64))),
        drop("a redirect", redirect(field.to_victim(1))),
        drop("a redirect to the host", redirect(field.to_gateway(1, GATEWAY[1]))),
        drop(
            "a redirect behind destination options",
            redirect(field.to_victim(1).extension(DESTINATION_OPTIONS, &OPTIONS)),
        ),
    ]
}

fn hidden(field: &Field) -> Vec<Case> {
    let drop = |what: &str, packet: &Ip| {
        dropped(
            "router-advertisement",
            format!("an advertisement behind {what}"),
            advertise(packet),
        )
    };
    let behind = |kind, body: &[u8]| to_all(field).extension(kind, body);
    let many = |count| {
        (0..count).fold(to_all(field), |packet, _| {
            packet.extension(DESTINATION_OPTIONS, &OPTIONS)
        })
    };
    let malformed = |what: &str, packet: &Ip| {
        dropped(
            "malformed",
            format!("an advertisement behind {what}"),
            advertise(packet),
        )
    };
    vec![
        drop("hop-by-hop options", &behind(HOP_BY_HOP, &OPTIONS)),
        drop("destination options", &behind(DESTINATION_OPTIONS, &OPTIONS)),
        drop("long destination options", &behind(DESTINATION_OPTIONS, &[0; 254])),
        drop("a routing header", &behind(ROUTING, &[4, 0, 0, 0, 0, 0])),
        drop("an authentication header", &behind(AUTHENTICATION, &[0; 22])),
        drop("an atomic fragment", &to_all(field).fragment(0, false)),
        drop(
            "an atomic fragment behind options",
            &behind(DESTINATION_OPTIONS, &OPTIONS).fragment(0, false),
        ),
        drop("two atomic fragments", &behind(FRAGMENT, &[0; 6]).fragment(0, false)),
        drop("a mobility header", &behind(135, &OPTIONS)),
        drop("a host identity header", &behind(139, &OPTIONS)),
        drop("a shim6 header", &behind(140, &OPTIONS)),
        drop("six headers", &many(6)),
        malformed("seven headers", &many(7)),
        malformed("thirty headers", &many(30)),
        malformed("a routing header of type 0", &behind(ROUTING, &[0, 1, 0, 0, 0, 0])),
    ]
}

/// A first fragment that does not tell what the packet is, and what would complete it.
fn split(field: &Field) -> Vec<Case> {
    let message = advertise(&to_all(field))[54..].to_vec();
    let first = |packet: Ip| packet.identification(7).fragment(0, true);
    let options = [&[PROTOCOL_ICMPV6, 0], &OPTIONS[..]].concat();
    let mut lying = first(to_all(field)).protocol(
        DESTINATION_OPTIONS,
        &[&options[..], &[128, 0, 0, 0, 0, 0, 0, 0], MARK].concat(),
    );
    lying[19] = 16;
    vec![
        dropped("router-advertisement", "an advertisement in a first fragment", {
            first(to_all(field)).protocol(PROTOCOL_ICMPV6, &message)
        }),
        dropped("malformed", "a first fragment that ends before the message", {
            first(to_all(field)).protocol(DESTINATION_OPTIONS, &options)
        }),
        dropped("malformed", "a first fragment whose message lies behind its end", lying),
        dropped("malformed", "a first fragment that ends inside the message's header", {
            first(to_all(field)).protocol(PROTOCOL_ICMPV6, &message[..4])
        }),
        dropped("malformed", "a first fragment whose options never end", {
            first(to_all(field)).protocol(DESTINATION_OPTIONS, &[PROTOCOL_ICMPV6, 31, 1, 4, 0, 0, 0, 0])
        }),
        dropped("router-advertisement", "a fragment inside a fragment", {
            first(to_all(field)).protocol(
                FRAGMENT,
                &[&[PROTOCOL_ICMPV6, 0, 0, 1, 0, 0, 0, 8][..], &message].concat(),
            )
        }),
        // which nobody can put together without the first one
        heard(&[Victim, Host], "the rest of it", {
            to_all(field)
                .identification(7)
                .fragment(8, false)
                .protocol(DESTINATION_OPTIONS, &message)
        }),
    ]
}
