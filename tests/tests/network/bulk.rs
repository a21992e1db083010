//! Much data, large datagrams, odd protocols, small MTUs.

use tests::packet::{PROTOCOL_ESP, PROTOCOL_GRE, PROTOCOL_SCTP, ethernet, ip};
use tests::world::{Capture, World, datagrams, send, transfer};

use super::{address, ping};

fn pair(options: &[&str]) -> World {
    let world = World::new();
    world.ok(&[&["network", "create", "--subnet", "10.2.0.0/24"], options, &["mynet"]].concat());
    world.run("one", &["--net", "mynet"]);
    world.run("two", &["--net", "mynet"]);
    world
}

#[test]
fn sixty_four_megabytes_arrive_as_they_were_sent() {
    let world = pair(&[]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    transfer(&one, &two, address("10.2.0.3"), 64 << 20);
    transfer(&world.host, &two, address("10.2.0.3"), 16 << 20);
    transfer(&two, &world.host, address("10.2.0.1"), 16 << 20);
}

#[test]
fn without_offloads_and_with_big_frames_too() {
    let world = pair(&["-o", "com.docker.network.driver.mtu=9000"]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    assert!(one.sh("ip link show eth0").ok().contains(" mtu 9000 "));
    transfer(&one, &two, address("10.2.0.3"), 16 << 20);
    for namespace in [&one, &two] {
        namespace.sh("ethtool -K eth0 tso off gso off gro off tx off").ok();
    }
    transfer(&one, &two, address("10.2.0.3"), 16 << 20);
    transfer(&world.host, &two, address("10.2.0.3"), 4 << 20);
}

#[test]
fn big_tcp_is_an_option() {
    let world = pair(&["-o", "netswitch.big_tcp=true"]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    let said = one.sh("ip -d link show eth0").ok();
    assert!(
        said.contains("gso_max_size 196608") && said.contains("gro_max_size 196608"),
        "{said}"
    );
    let heard = Capture::start(&two, "eth0");
    transfer(&one, &two, address("10.2.0.3"), 64 << 20);
    heard.expect("frame of more than 64 KiB", |captured| captured.frame.len() > 65_550);
}

#[test]
fn datagrams_in_fragments_arrive() {
    let world = pair(&[]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    datagrams(&one, &two, address("10.2.0.3"), 1400, 500);
    datagrams(&one, &two, address("10.2.0.3"), 8192, 500);
    datagrams(&world.host, &two, address("10.2.0.3"), 8192, 100);
    datagrams(&two, &world.host, address("10.2.0.1"), 60_000, 100);
}

#[test]
fn any_protocol_and_ethertype_passes_between_members() {
    let world = pair(&[]);
    let macs = (world.mac("one", "mynet"), world.mac("two", "mynet"));
    let (one, heard) = (world.inside("one"), Capture::start(&world.inside("two"), "eth0"));
    let packet = ip(macs, address("10.2.0.2"), address("10.2.0.3"));
    let frames = [
        packet.protocol(PROTOCOL_SCTP, &[7; 40]),
        packet.protocol(PROTOCOL_GRE, &[0, 0, 8, 0, 1, 2, 3, 4]),
        packet.protocol(PROTOCOL_ESP, &[5; 64]),
        packet.clone().options(&[1, 1, 1, 0]).protocol(253, b"with options"),
        ethernet(macs.0, macs.1, 0x88b5, &[9; 100]),
    ];
    for frame in frames {
        send(&one, "eth0", &frame);
        heard.expect("the frame as it was", |captured| captured.frame == frame);
    }
}

#[test]
fn what_is_too_big_is_answered() {
    let world = pair(&[
        "--ipv6",
        "--subnet",
        "fd02::/64",
        "-o",
        "com.docker.network.driver.mtu=1400",
    ]);
    let one = world.inside("one");
    assert!(one.sh("ip link show eth0").ok().contains(" mtu 1400 "));
    ping(&one, "10.2.0.3 -M do -s 1372", 64);
    // a container that thinks that its link takes more
    one.sh("ip link set eth0 mtu 1500").ok();
    let said = one.sh("ping -c 1 -W 5 -M do -s 1472 10.2.0.3");
    assert!(said.stdout.contains("Frag needed and DF set (mtu = 1400)"), "{said:?}");
    let said = one.sh("ping -c 1 -W 5 -M do -s 1452 fd02::3");
    assert!(said.stdout.contains("Packet too big: mtu=1400"), "{said:?}");
    // which is how the path is learnt
    assert!(one.sh("ip route get 10.2.0.3").ok().contains("mtu 1400"));
    transfer(&one, &world.inside("two"), address("10.2.0.3"), 1 << 20);
    assert!(world.path("answer-too-big") >= 2);
}
