//! The link layer: MACs, tags, groups that bridges keep to themselves, other ethertypes, and who a MAC leads to.

use netswitch_common::address::Mac;
use tests::packet::{Arp, ETHERTYPE_ARP, ETHERTYPE_QINQ, ETHERTYPE_V4, ETHERTYPE_V6, ETHERTYPE_VLAN, ethernet, tagged};
use tests::world::LAN;

use super::*;

#[test]
fn case_26_macs_and_where_they_lead() {
    let field = Field::new();
    field.holds(&sources(&field));
    field.holds(&destinations(&field));
}

#[test]
fn case_32_tags_control_frames_and_ethertypes() {
    let field = Field::new();
    field.holds(&tags(&field));
    field.holds(&control(&field));
    field.holds(&ethertypes(&field));
}

fn sources(field: &Field) -> Vec<Case> {
    let mut cases = Vec::new();
    for (whose, mac) in [
        ("a stranger's", STRANGE),
        ("the victim's", field.victim),
        ("the gateway's", field.gateway),
        ("a group's", Mac([3, 0, 0, 0, 0, 9])),
        ("no", Mac::default()),
        ("everybody's", EVERYBODY),
    ] {
        for family in FAMILIES {
            let packet = ip((mac, field.victim), address(ATTACKER[family]), address(VICTIM[family]));
            cases.push(dropped(
                "spoofed-mac",
                named(family, &format!("{whose} MAC")),
                packet.udp(1, 9, MARK),
            ));
        }
        cases.push(dropped(
            "spoofed-mac",
            format!("{whose} MAC on another ethertype"),
            ethernet(mac, field.victim, 0x88b5, MARK),
        ));
    }
    cases
}

fn destinations(field: &Field) -> Vec<Case> {
    let mut cases = Vec::new();
    for family in FAMILIES {
        let packet = |mac, to| field.packet(mac, ATTACKER[family], to).udp(1, 9, MARK);
        let mut drop = |reason, what: &str, frame| cases.push(dropped(reason, named(family, what), frame));
        drop(
            "no-such-neighbour",
            "a stranger's MAC",
            packet(field.stranger, STRANGER[family]),
        );
        drop("no-such-neighbour", "nobody's MAC", packet(STRANGE, VICTIM[family]));
        drop(
            "no-such-neighbour",
            "the MAC of zeros",
            packet(Mac::default(), VICTIM[family]),
        );
        drop(
            "other-network",
            "a stranger by the gateway",
            packet(field.gateway, STRANGER[family]),
        );
        drop(
            "not-routed",
            "a neighbour by the gateway",
            packet(field.gateway, VICTIM[family]),
        );
        drop(
            "other-network",
            "a stranger by a group",
            packet(group(family), STRANGER[family]),
        );
        drop(
            "other-network",
            "another gateway by a group",
            packet(group(family), OTHER_GATEWAY[family]),
        );
        drop("no-uplink", "the world by a group", packet(group(family), LAN[family]));
        // a switch does not mind where a member sends what it gets, which here is nowhere
        cases.push(heard(
            &[Victim],
            named(family, "a stranger by the victim"),
            packet(field.victim, STRANGER[family]),
        ));
        cases.push(heard(
            &[Victim],
            named(family, "all nodes by the victim"),
            packet(field.victim, ALL_NODES[family]),
        ));
        cases.push(heard(
            &[Victim, Host],
            named(family, "the victim by a group"),
            packet(group(family), VICTIM[family]),
        ));
    }
    let broadcast = field.packet(field.gateway, ATTACKER[0], "10.80.0.255");
    cases.push(dropped(
        "other-network",
        "another network's broadcast address",
        broadcast.udp(1, 9, MARK),
    ));
    cases
}

fn tags(field: &Field) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut drop = |name: String, frame| cases.push(dropped("vlan-tag", name, frame));
    for family in FAMILIES {
        let plain = field.to_victim(family).udp(1, 9, MARK);
        let inner = tagged(&plain, ETHERTYPE_VLAN);
        drop(named(family, "an 802.1Q tag"), inner.clone());
        drop(named(family, "an 802.1ad tag"), tagged(&plain, ETHERTYPE_QINQ));
        drop(named(family, "two 802.1Q tags"), tagged(&inner, ETHERTYPE_VLAN));
        drop(
            named(family, "an 802.1ad tag before an 802.1Q tag"),
            tagged(&inner, ETHERTYPE_QINQ),
        );
        let mut priority = inner.clone();
        priority[15] = 0;
        drop(named(family, "a tag of VLAN 0"), priority.clone());
        let mut twice = tagged(&priority, ETHERTYPE_VLAN);
        twice[15] = 0;
        drop(named(family, "two tags of VLAN 0"), twice);
        drop(
            named(family, "a tag to everybody"),
            tagged(&field.to_all(family).udp(1, 9, MARK), ETHERTYPE_VLAN),
        );
        let gateway = field.to_gateway(family, GATEWAY[family]).udp(1, 9, MARK);
        drop(named(family, "a tag to the host"), tagged(&gateway, ETHERTYPE_VLAN));
    }
    let claim = Arp::reply(
        (field.own, "10.70.0.1".parse().unwrap()),
        (field.victim, "10.70.0.3".parse().unwrap()),
    );
    let claim = claim.frame(field.own, field.victim);
    drop("an ARP answer behind a tag".into(), tagged(&claim, ETHERTYPE_VLAN));
    cases
}

fn control(field: &Field) -> Vec<Case> {
    let group = |last| Mac([1, 0x80, 0xc2, 0, 0, last]);
    let of = |name: &str, last, ethertype, body: &[u8]| {
        let frame = ethernet(field.own, group(last), ethertype, &[body, MARK].concat());
        dropped("link-control", name, frame)
    };
    vec![
        of("spanning tree", 0, 38, &[0x42, 0x42, 3, 0, 0]),
        of("pause", 1, 0x8808, &[0, 1, 0xff, 0xff]),
        of("link aggregation", 2, 0x8809, &[1, 1]),
        of("802.1X", 3, 0x888e, &[1, 1, 0, 0]),
        of("LLDP", 14, 0x88cc, &[2, 7, 4]),
        of(
            "an IP packet to the bridges",
            0,
            ETHERTYPE_V4,
            &field.to_victim(0).udp(1, 9, MARK)[14..],
        ),
    ]
}

fn ethertypes(field: &Field) -> Vec<Case> {
    let of = |to, ethertype, body: &[u8]| ethernet(field.own, to, ethertype, &[body, MARK].concat());
    let (v4, v6) = (field.to_victim(0).udp(1, 9, MARK), field.to_victim(1).udp(1, 9, MARK));
    vec![
        heard(&[Victim], "an unknown ethertype", of(field.victim, 0x88b5, &[])),
        heard(
            &[Victim, Host],
            "an unknown ethertype to everybody",
            of(EVERYBODY, 0x88b5, &[]),
        ),
        dropped(
            "no-such-neighbour",
            "an unknown ethertype to a stranger",
            of(field.stranger, 0x88b5, &[]),
        ),
        dropped(
            "no-such-neighbour",
            "LLDP to a stranger",
            of(field.stranger, 0x88cc, &[]),
        ),
        dropped(
            "malformed",
            "an IPv6 packet as IPv4",
            of(field.victim, ETHERTYPE_V4, &v6[14..]),
        ),
        dropped(
            "malformed",
            "an IPv4 packet as IPv6",
            of(field.victim, ETHERTYPE_V6, &v4[14..]),
        ),
        dropped(
            "spoofed-arp",
            "an IPv4 packet as ARP",
            of(field.victim, ETHERTYPE_ARP, &v4[14..]),
        ),
    ]
}
