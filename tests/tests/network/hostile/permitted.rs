//! What a network permits on request, and how what is left of drops is shown.

use std::net::Ipv6Addr;

use netswitch_common::address::Mac;
use tests::packet::ethernet;

use super::*;

#[test]
fn a_network_may_opt_in() {
    let field = Field::on(&[
        "-o",
        "netswitch.allow_dhcp_server=true",
        "-o",
        "netswitch.allow_link_control=true",
    ]);
    let bpdu = ethernet(field.own, Mac([1, 0x80, 0xc2, 0, 0, 0]), 0x88cc, MARK);
    let link_local = Ipv6Addr::from(field.own.link_local()).to_string();
    let router = field.packet(field.victim, &link_local, VICTIM[1]).hops(255);
    field.holds(&[
        heard(&[Victim], "a DHCP offer", field.to_victim(0).udp(67, 68, MARK)),
        heard(
            &[Victim],
            "a DHCP offer from another port",
            field.to_victim(0).udp(4000, 68, MARK),
        ),
        heard(&[Victim], "a DHCPv6 reply", field.to_victim(1).udp(547, 546, MARK)),
        heard(&[Victim, Host], "a frame of the link layer", bpdu),
        // what it did not ask for stays closed
        dropped(
            "router-advertisement",
            "a router advertisement",
            router.icmp(134, 0, &[&[64; 12], MARK].concat()),
        ),
    ]);
}

#[test]
fn drops_are_named_by_container() {
    let field = Field::new();
    field.holds(&[dropped("spoofed-address", "another's address", {
        field.packet(field.victim, NOBODY[0], VICTIM[0]).udp(1, 9, MARK)
    })]);
    let table = field.world.ok(&["stats"]);
    // behind what it has sent and received
    let line = table.lines().rfind(|line| line.starts_with("attacker"));
    assert_eq!(
        crate::words(line.unwrap()),
        ["attacker", "mynet", "1", "spoofed-address"],
        "{table}"
    );
}
