//! The source guard: what a container may not say, why it was dropped, and that nobody heard it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::address::Mac;
use tests::packet::{Arp, ETHERTYPE_QINQ, ETHERTYPE_VLAN, ethernet, ip, multicast_mac, solicited_node, tagged};
use tests::world::{Capture, Namespace, World, eventually, send};

use super::{address, ping};

/// A dual-stack network with an attacker (.2) and a victim (.3).
struct Attack {
    world: World,
    attacker: Namespace,
    macs: (Mac, Mac),
    heard: [Capture; 2],
}

const GATEWAY: Mac = Mac([0x02, 0x42, 10, 7, 0, 1]);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 3);
const ATTACKER_V6: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2);
const VICTIM_V6: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 3);
const EVERYBODY: Mac = Mac([0xff; 6]);

impl Attack {
    fn on(options: &[&str]) -> Self {
        let world = World::new();
        let create = [
            "network",
            "create",
            "--ipv6",
            "--subnet",
            "10.7.0.0/24",
            "--subnet",
            "fd07::/64",
        ];
        world.ok(&[&create, options, &["mynet"]].concat());
        world.run("attacker", &["--net", "mynet"]);
        world.run("victim", &["--net", "mynet"]);
        let host_end = format!("br-{}", &world.network("mynet")["Id"].as_str().unwrap()[..12]);
        Self {
            attacker: world.inside("attacker"),
            macs: (world.mac("attacker", "mynet"), world.mac("victim", "mynet")),
            heard: [
                Capture::start(&world.inside("victim"), "eth0"),
                Capture::start(&world.host, &host_end),
            ],
            world,
        }
    }

    /// Sends a frame that must be dropped for a reason and be heard by nobody.
    #[track_caller]
    fn is_dropped(&self, reason: &str, what: &str, frame: &[u8]) {
        let count = || self.world.drops("attacker", "mynet", reason);
        let before = count();
        send(&self.attacker, "eth0", frame);
        eventually(&format!("{what} is counted as {reason}"), || match count() {
            now if now == before + 1 => Ok(()),
            now => Err(format!(
                "{now} after {before}; {}",
                self.world.ok(&["stats", "--format", "json"])
            )),
        });
        for capture in &self.heard {
            let heard = capture.so_far();
            assert!(heard.iter().all(|captured| captured.frame != frame), "{what} was heard");
        }
    }

    #[track_caller]
    fn passes(&self, what: &str, frame: &[u8]) {
        send(&self.attacker, "eth0", frame);
        self.heard[0].expect(what, |captured| captured.frame == frame);
    }
}

#[test]
fn another_mac_or_address_is_dropped_and_counted() {
    let attack = Attack::on(&[]);
    let (own, victim) = attack.macs;
    let stranger = Mac([2, 0, 0, 0, 0, 9]);
    let from = |mac, source: IpAddr, target: IpAddr| ip((mac, victim), source, target).udp(1, 9, b"hello");
    attack.is_dropped(
        "spoofed-mac",
        "a stranger's MAC",
        &from(stranger, ATTACKER.into(), VICTIM.into()),
    );
    attack.is_dropped(
        "spoofed-mac",
        "the gateway's MAC",
        &from(GATEWAY, ATTACKER.into(), VICTIM.into()),
    );
    for source in ["10.7.0.9", "10.7.0.1", "10.7.0.3", "127.0.0.1", "8.8.8.8", "224.0.0.1"] {
        attack.is_dropped("spoofed-address", source, &from(own, address(source), VICTIM.into()));
    }
    for source in ["fd07::9", "fd07::1", "fe80::1", "::1", "::ffff:10.7.0.3"] {
        attack.is_dropped("spoofed-address", source, &from(own, address(source), VICTIM_V6.into()));
    }
    attack.passes("the attacker as itself", &from(own, ATTACKER.into(), VICTIM.into()));
    attack.passes(
        "the attacker as itself over IPv6",
        &from(own, ATTACKER_V6.into(), VICTIM_V6.into()),
    );
}

#[test]
fn nobody_answers_arp_or_nd_for_another() {
    let attack = Attack::on(&[]);
    let (own, victim) = attack.macs;
    let gateway = Ipv4Addr::new(10, 7, 0, 1);
    let reply = |sender| Arp::reply(sender, (victim, VICTIM)).frame(own, victim);
    attack.is_dropped("spoofed-arp", "an ARP reply for the gateway", &reply((own, gateway)));
    attack.is_dropped(
        "spoofed-arp",
        "an ARP reply with another's MAC",
        &reply((GATEWAY, ATTACKER)),
    );
    let announce = Arp::request((own, VICTIM), VICTIM).frame(own, EVERYBODY);
    attack.is_dropped("spoofed-arp", "a gratuitous ARP for the victim", &announce);
    let gateway_v6 = "fd07::1".parse().unwrap();
    let packet = |target: IpAddr| ip((own, victim), ATTACKER_V6, target);
    let advertise = packet(VICTIM_V6.into()).advertise(0x60, gateway_v6, Some(own));
    attack.is_dropped("spoofed-neighbour", "an advertisement for the gateway", &advertise);
    let advertise = packet(VICTIM_V6.into()).advertise(0x60, ATTACKER_V6, Some(GATEWAY));
    attack.is_dropped("spoofed-neighbour", "an advertisement with another's MAC", &advertise);
    let group = solicited_node(VICTIM_V6);
    let solicit = ip((own, multicast_mac(group)), ATTACKER_V6, group).solicit(VICTIM_V6, Some(GATEWAY));
    attack.is_dropped("spoofed-neighbour", "a solicitation with another's MAC", &solicit);
    // and the victim still finds everybody
    let inside = attack.world.inside("victim");
    ping(&inside, "10.7.0.1", 64);
    ping(&inside, "fd07::1", 64);
    ping(&inside, "10.7.0.2", 64);
}

#[test]
fn routers_dhcp_servers_tags_and_link_control_are_dropped() {
    let attack = Attack::on(&[]);
    let (own, victim) = attack.macs;
    let link_local = own.link_local();
    let all = "ff02::1".parse::<Ipv6Addr>().unwrap();
    let router = ip((own, multicast_mac(all)), Ipv6Addr::from(link_local), all).hops(255);
    let advertisement = router.icmp(134, 0, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    attack.is_dropped("router-advertisement", "a router advertisement", &advertisement);
    let redirect = router.icmp(137, 0, &[0; 36]);
    attack.is_dropped("router-advertisement", "a redirect", &redirect);
    let v4 = ip((own, victim), ATTACKER, VICTIM);
    attack.is_dropped("dhcp-server", "a DHCP offer", &v4.udp(67, 68, &[2; 240]));
    let v6 = ip((own, victim), ATTACKER_V6, VICTIM_V6);
    attack.is_dropped("dhcp-server", "a DHCPv6 advertisement", &v6.udp(547, 546, &[2; 8]));
    for ethertype in [ETHERTYPE_VLAN, ETHERTYPE_QINQ] {
        attack.is_dropped("vlan-tag", "a tag", &tagged(&v4.udp(1, 9, b"tagged"), ethertype));
    }
    let bpdu = ethernet(own, Mac([1, 0x80, 0xc2, 0, 0, 0]), 38, &[0x42, 0x42, 3, 0, 0]);
    attack.is_dropped("link-control", "a spanning tree frame", &bpdu);
    attack.is_dropped("malformed", "an IPv4 header of 16 bytes", &{
        let mut frame = v4.udp(1, 9, b"short header");
        frame[14] = 0x44;
        frame
    });
    let nobody = ip((own, Mac([2, 0, 0, 0, 0, 9])), ATTACKER, VICTIM).udp(1, 9, b"nobody");
    attack.is_dropped("no-such-neighbour", "a frame for nobody", &nobody);
}

#[test]
fn a_network_may_opt_in() {
    let attack = Attack::on(&[
        "-o",
        "netswitch.allow_dhcp_server=true",
        "-o",
        "netswitch.allow_link_control=true",
    ]);
    let (own, victim) = attack.macs;
    attack.passes(
        "a DHCP offer",
        &ip((own, victim), ATTACKER, VICTIM).udp(67, 68, &[2; 240]),
    );
    let bpdu = ethernet(own, Mac([1, 0x80, 0xc2, 0, 0, 0]), 0x88cc, &[0; 46]);
    attack.passes("a frame of the link layer", &bpdu);
}

#[test]
fn drops_are_named_by_container() {
    let attack = Attack::on(&[]);
    let (own, victim) = attack.macs;
    let frame = ip((own, victim), Ipv4Addr::new(10, 7, 0, 9), VICTIM).udp(1, 9, b"hello");
    attack.is_dropped("spoofed-address", "another's address", &frame);
    let table = attack.world.ok(&["stats"]);
    let line = table.lines().find(|line| line.starts_with("attacker"));
    assert_eq!(
        super::words(line.unwrap()),
        ["attacker", "mynet", "1", "spoofed-address"],
        "{table}"
    );
}
