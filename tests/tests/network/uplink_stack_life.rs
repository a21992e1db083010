//! What `--uplink-mode stack` changes of the host, and that it is put back; that traffic goes on meanwhile.

use std::collections::BTreeSet;

use tests::packet::{ip, multicast_mac};
use tests::world::{Dial, LAN, SECOND_HOST, SECOND_LAN, Service, Stream, Transport, World, eventually, send};

use super::address;
use super::masquerade::mac;
use super::uplink_stack::{STACK, Setup};

/// `forwarding` and what goes with it, of every device that is not the switch's own.
fn settings(world: &World) -> BTreeSet<String> {
    let said = world
        .host
        .sh("cd /proc/sys/net && for device in all default lo up0; do \
             grep -H . ipv*/conf/$device/forwarding ipv4/conf/$device/rp_filter ipv6/conf/$device/force_forwarding \
             ipv6/conf/$device/accept_ra; done")
        .ok();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn traffic_goes_on_without_the_agent_and_a_purge_puts_everything_back() {
    let mut world = World::without_agent();
    world.add_lan();
    let before = settings(&world);
    world.start_agent(&STACK);
    let setup = Setup::of(world);
    let world = &setup.world;
    let during = settings(world);
    let changed: Vec<_> = during.difference(&before).collect();
    assert_eq!(
        changed,
        ["ipv4/conf/up0/forwarding:1", "ipv6/conf/up0/force_forwarding:1"],
        "an uplink that is no router still takes its address from advertisements"
    );
    let stream = Stream::start(&setup.one, world.lan(), address(LAN[0]));
    world.kill_agent();
    setup.reaches_and_is_reached();
    world.start_agent(&STACK);
    setup.reaches_and_is_reached();
    world.stop_agent();
    stream.stop();
    assert_eq!(settings(world), during);
    world.purge().ok();
    assert_eq!(settings(world), before);
    assert!(!world.bpffs.exists());
}

#[test]
fn router_advertisements_are_still_heard() {
    let setup = Setup::new();
    let (world, lan) = (&setup.world, setup.world.lan());
    // for half an hour: a prefix to take an address from (RFC 4861, 4.2 and 4.6.2)
    let lifetime = 1800_u32.to_be_bytes();
    let prefix = [
        &[3, 4, 64, 0xc0][..],
        &lifetime,
        &lifetime,
        &[0; 4],
        &[0x20, 1, 0xd, 0xb8, 0, 0x77],
        &[0; 10],
    ]
    .concat();
    let advertisement = [&[64, 0][..], &lifetime[2..], &[0; 8], &prefix].concat();
    let all_nodes = address("ff02::1");
    let macs = (mac(lan, "eth0"), multicast_mac(all_nodes));
    let frame = ip(macs, address("fe80::1"), all_nodes)
        .hops(255)
        .icmp(134, 0, &advertisement);
    eventually("an address from the advertised prefix", || {
        send(lan, "eth0", &frame);
        let addresses = world.host.sh("ip -6 addr show dev up0 && ip -6 route").ok();
        let is_heard = addresses.contains("2001:db8:77:") && addresses.contains("default via fe80::1");
        is_heard.then_some(()).ok_or(addresses)
    });
    setup.reaches_and_is_reached();
}

#[test]
fn the_mode_is_changed_by_a_restart_and_connections_live_on() {
    let mut world = World::without_agent();
    world.add_lan();
    let before = settings(&world);
    world.start_agent(&[]);
    let setup = Setup::of(world);
    let world = &setup.world;
    let streams = LAN.map(|to| Stream::start(&setup.one, world.lan(), address(to)));
    for round in 0..2 {
        world.stop_agent();
        world.start_agent(&STACK);
        assert_ne!(settings(world), before, "round {round}");
        setup.reaches_and_is_reached();
        world.stop_agent();
        world.start_agent(&[]);
        assert_eq!(settings(world), before, "round {round}");
        assert!(!world.bpffs.join("egress").read_dir().unwrap().any(|_| true));
        setup.reaches_and_is_reached();
    }
    for stream in streams {
        stream.stop();
    }
}

#[test]
fn an_uplink_that_goes_is_put_back() {
    let world = World::with_lan_and(&STACK);
    let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
    let setup = Setup::of(world);
    let world = &setup.world;
    let forwarding = || world.host.sh("cat /proc/sys/net/ipv4/conf/up1/forwarding").ok();
    let _second = Service::start(&second, Transport::Udp, 7, "second");
    eventually("the second uplink serves", || {
        match Dial::udp(SECOND_LAN[0], 7).ask_shortly(&setup.one) {
            Ok(answer) if answer.client.ip() == address(SECOND_HOST[0]) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(forwarding(), "1");
    world.host.sh("ip link set up1 down").ok();
    eventually("it is no uplink any more", || match forwarding().as_str() {
        "0" => Ok(()),
        other => Err(other.to_owned()),
    });
}
