//! Addresses of IP packets: whom the attacker may be, and where nobody is.

use netswitch_common::address::Mac;

use super::*;

/// What no container of this network has; the last ones are of this family alone.
const SOURCES: [&[&str]; 2] = [
    &[
        "10.70.0.0",
        "10.70.0.255",
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.8.9.10",
        "169.254.1.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "8.8.8.8",
    ],
    &[
        "::",
        "::1",
        "::10.70.0.2",
        "::ffff:10.70.0.2",
        "::ffff:10.70.0.3",
        "::ffff:127.0.0.1",
        "64:ff9b::808:808",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff05::2",
        "2001:4860:4860::8888",
    ],
];
const NOWHERE: [&[&str]; 2] = [
    &["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.0.0.11", "127.0.0.53"],
    &["::", "::1", "::ffff:10.70.0.3", "::ffff:127.0.0.1"],
];

#[test]
fn case_26_sources_over_ipv4() {
    let field = Field::new();
    field.holds(&sources(&field, 0));
    field.holds(&own(&field, 0));
    field.holds(&martians(&field, 0));
}

#[test]
fn case_26_sources_over_ipv6() {
    let field = Field::new();
    field.holds(&sources(&field, 1));
    field.holds(&own(&field, 1));
    field.holds(&martians(&field, 1));
}

fn sources(field: &Field, family: usize) -> Vec<Case> {
    let victims_link_local = std::net::Ipv6Addr::from(field.victim.link_local()).to_string();
    let mut sources = SOURCES[family].to_vec();
    sources.extend([NOBODY, VICTIM, GATEWAY, STRANGER, OTHER_GATEWAY, HOST, LAN].map(|pair| pair[family]));
    if family == 1 {
        sources.push(&victims_link_local);
    }
    let mut cases = Vec::new();
    for source in sources {
        let mut drop = |what: &str, to: Mac, destination| {
            let frame = field.packet(to, source, destination).udp(1, 9, MARK);
            cases.push(dropped(
                "spoofed-address",
                named(family, &format!("{source} {what}")),
                frame,
            ));
        };
        if source == VICTIM[family] {
            drop("to the gateway", field.gateway, GATEWAY[family]);
        } else {
            drop("to the victim", field.victim, VICTIM[family]);
        }
        if source == VICTIM[family] || source == NOBODY[family] || source == GATEWAY[family] {
            drop("to everybody", group(family), ALL_NODES[family]);
            drop("to the world", field.gateway, LAN[family]);
            drop("to a stranger", field.gateway, STRANGER[family]);
        }
    }
    for (what, source) in [("the victim's", VICTIM[family]), ("the gateway's", GATEWAY[family])] {
        let packet = field.packet(field.gateway, source, HOST[family]);
        let syn = packet.tcp(1, 8080, MARK);
        cases.push(dropped(
            "spoofed-address",
            named(family, &format!("{what} to a published port")),
            syn,
        ));
        let packet = field.packet(field.victim, source, NOBODY[family]);
        let ping = packet.ping();
        cases.push(dropped(
            "spoofed-address",
            named(family, &format!("{what} in an echo")),
            ping,
        ));
        let fragment = packet.clone().fragment(64, false).protocol(17, MARK);
        cases.push(dropped(
            "spoofed-address",
            named(family, &format!("{what} in a later fragment")),
            fragment,
        ));
        let strange = packet.protocol(132, &[&[0; 12], MARK].concat());
        cases.push(dropped(
            "spoofed-address",
            named(family, &format!("{what} in SCTP")),
            strange,
        ));
    }
    cases
}

fn own(field: &Field, family: usize) -> Vec<Case> {
    let mut cases = vec![
        heard(
            &[Victim],
            named(family, "as itself"),
            field.to_victim(family).udp(1, 9, MARK),
        ),
        heard(
            &[Victim, Host],
            named(family, "as itself to everybody"),
            field.to_all(family).udp(1, 9, MARK),
        ),
        heard(&[Host], named(family, "as itself to the gateway"), {
            field.to_gateway(family, GATEWAY[family]).udp(1, 9, MARK)
        }),
        heard(&[Lan], named(family, "as itself to the world"), {
            field.to_gateway(family, LAN[family]).udp(1, 9, MARK)
        }),
        heard(&[Victim], named(family, "as itself to a published port"), {
            field.to_gateway(family, HOST[family]).udp(1, 8080, MARK)
        }),
    ];
    if family == 0 {
        let nobody = |to: Mac, destination| field.packet(to, "0.0.0.0", destination);
        cases.push(heard(
            &[Victim, Host],
            "asking for an address",
            nobody(EVERYBODY, ALL_NODES[0]).udp(68, 67, MARK),
        ));
        cases.push(dropped(
            "spoofed-address",
            "asking the victim alone",
            nobody(field.victim, VICTIM[0]).udp(68, 67, MARK),
        ));
        cases.push(dropped(
            "spoofed-address",
            "asking the gateway alone",
            nobody(field.gateway, LAN[0]).udp(68, 67, MARK),
        ));
    } else {
        let link_local = std::net::Ipv6Addr::from(field.own.link_local()).to_string();
        let packet = field.packet(field.victim, &link_local, VICTIM[1]);
        cases.push(heard(&[Victim], "its link-local address", packet.udp(1, 9, MARK)));
        let packet = field.packet(field.gateway, &link_local, LAN[1]);
        cases.push(dropped(
            "no-uplink",
            "its link-local address to the world",
            packet.udp(1, 9, MARK),
        ));
        let report = field.packet(field.victim, "::", VICTIM[1]).hops(1);
        cases.push(dropped(
            "spoofed-address",
            "a report of no address to one",
            report.icmp(143, 0, &[0; 4]),
        ));
    }
    cases
}

fn martians(field: &Field, family: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for to in NOWHERE[family] {
        for (by, mac) in [
            ("victim", field.victim),
            ("gateway", field.gateway),
            ("group", group(family)),
        ] {
            let frame = field.packet(mac, ATTACKER[family], to).udp(1, 9, MARK);
            cases.push(dropped(
                "martian",
                named(family, &format!("to {to} by the {by}")),
                frame,
            ));
        }
    }
    // LAND: from and to the same one
    for (who, address, mac) in [
        ("the victim", VICTIM, field.victim),
        ("the gateway", GATEWAY, field.gateway),
        ("itself", ATTACKER, field.victim),
        ("the host", HOST, field.gateway),
    ] {
        let frame = field.packet(mac, address[family], address[family]).tcp(80, 80, MARK);
        cases.push(dropped(
            "martian",
            named(family, &format!("from {who} to the same")),
            frame,
        ));
    }
    cases
}
