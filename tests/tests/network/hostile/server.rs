//! DHCP servers, and where they hide their port.

use tests::packet::{DESTINATION_OPTIONS, HOP_BY_HOP, ROUTING};

use super::*;

/// Servers' and clients' ports of each family.
const PORTS: [(u16, u16); 2] = [(67, 68), (547, 546)];

#[test]
fn case_26_dhcp_servers() {
    let field = Field::new();
    for family in FAMILIES {
        field.holds(&offers(&field, family));
    }
    field.holds(&hidden_v4(&field));
}

fn offers(field: &Field, family: usize) -> Vec<Case> {
    let (server, client) = PORTS[family];
    let drop = |what: &str, packet: &Ip| dropped("dhcp-server", named(family, what), packet.udp(server, client, MARK));
    let to_victim = field.to_victim(family);
    let mut cases = vec![
        drop("an offer", &to_victim),
        drop("an offer to everybody", &field.to_all(family)),
        drop("an offer to the host", &field.to_gateway(family, GATEWAY[family])),
        drop("an offer in a first fragment", &to_victim.clone().fragment(0, true)),
        drop("an offer in an atomic fragment", &to_victim.clone().fragment(0, false)),
        dropped(
            "dhcp-server",
            named(family, "an offer from another port"),
            to_victim.udp(4000, client, MARK),
        ),
        dropped(
            "dhcp-server",
            named(family, "an offer to another port"),
            to_victim.udp(server, 4000, MARK),
        ),
        heard(&[Victim], named(family, "a later fragment that looks like an offer"), {
            let ports = [server, client].map(u16::to_be_bytes).concat();
            to_victim
                .clone()
                .fragment(64, false)
                .protocol(17, &[&ports[..], &[0; 4], MARK].concat())
        }),
        heard(
            &[Victim],
            named(family, "the same ports in TCP"),
            to_victim.tcp(server, client, MARK),
        ),
    ];
    if family == 1 {
        let options = [1, 4, 0, 0, 0, 0];
        for (what, kind) in [("hop-by-hop", HOP_BY_HOP), ("destination", DESTINATION_OPTIONS)] {
            cases.push(drop(
                &format!("an offer behind {what} options"),
                &to_victim.clone().extension(kind, &options),
            ));
        }
        let routing = to_victim.clone().extension(ROUTING, &[4, 0, 0, 0, 0, 0]);
        cases.push(drop("an offer behind a routing header", &routing));
        let six = (0..6).fold(to_victim.clone(), |packet, _| {
            packet.extension(DESTINATION_OPTIONS, &options)
        });
        cases.push(drop("an offer behind six headers", &six));
        let seven = six.extension(DESTINATION_OPTIONS, &options);
        let frame = seven.udp(server, client, MARK);
        cases.push(dropped("malformed", "an offer behind seven headers (IPv6)", frame));
    }
    cases
}

fn hidden_v4(field: &Field) -> Vec<Case> {
    let to_victim = field.to_victim(0);
    let drop = |what: &str, packet: Ip| dropped("dhcp-server", what, packet.udp(67, 68, MARK));
    vec![
        drop("an offer behind an option", to_victim.clone().options(&[1; 4])),
        drop(
            "an offer behind forty bytes of options",
            to_victim.clone().options(&[1; 40]),
        ),
        drop(
            "an offer behind a source route",
            to_victim.clone().options(&[131, 7, 4, 10, 70, 0, 3, 0]),
        ),
        drop(
            "an offer behind options in a first fragment",
            to_victim.clone().options(&[1; 40]).fragment(0, true),
        ),
    ]
}
