//! ICMP errors of the switch's own: a flood that asks for them gets so many a second, each is right as it leaves, and a
//! path with a small MTU is learnt all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netswitch_common::checksum;
use tests::packet::ip;
use tests::world::{
    Capture, FAR, HOST, LAN, Offloaded, Unfinished, World, eventually, send_all, send_offloaded, transfer,
};

use super::masquerade::mac;
use super::{address, dual};

/// Answers that one sender gets in a second, and at once.
const ICMP_ANSWERS_PER_SECOND: u32 = 1_000;
const ICMP_ANSWERS_AT_ONCE: u32 = 50;
const FLOOD: u16 = 10_000;
const OWN: [&str; 2] = ["10.66.0.2", "fd66::2"];

fn scene() -> World {
    let world = World::with_lan();
    dual(&world, "dual", 66, &["-o", "com.docker.network.bridge.name=br-dual"]);
    world.run("one", &["--net", "dual", "-p", "8080:80/udp"]);
    world
}

/// Packets to the published port with their last hop, each from another address behind the LAN.
fn forged(world: &World, family: usize, count: u16) -> Vec<Vec<u8>> {
    let macs = (mac(world.lan(), "eth0"), mac(&world.host, "up0"));
    let frame = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let from: IpAddr = match family {
            0 => Ipv4Addr::new(198, 18, high, low).into(),
            _ => Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, number).into(),
        };
        ip(macs, from, address(HOST[family])).hops(1).udp(5000, 8080, b"x")
    };
    (0..count).map(frame).collect()
}

/// Whether a frame is an ICMP error about time or size.
fn is_error(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame[23] == 1 && matches!(frame.get(34), Some(3 | 11)),
        [0x86, 0xdd] => frame[20] == 58 && matches!(frame.get(54), Some(2 | 3)),
        _ => false,
    }
}

#[test]
fn ten_thousand_packets_are_answered_at_a_rate() {
    let world = scene();
    let (one, lan) = (world.inside("one"), world.lan());
    let outward = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    let mut wrong = Vec::new();
    for family in [0, 1] {
        let packet = ip(outward, address(OWN[family]), address(LAN[family])).hops(1);
        let own: Vec<_> = (0..FLOOD).map(|number| packet.udp(1000 + number, 9, b"x")).collect();
        for (name, sender, frames) in [
            ("a container", &one, own),
            ("a stranger", lan, forged(&world, family, FLOOD)),
        ] {
            let heard = Capture::start(sender, "eth0");
            let start = Instant::now();
            send_all(sender, "eth0", frames.iter().map(Vec::as_slice));
            let time = start.elapsed();
            let captured = heard.during(Duration::from_millis(300));
            let errors = captured
                .iter()
                .filter(|captured| !captured.is_outgoing && is_error(&captured.frame));
            let errors = u32::try_from(errors.count()).unwrap();
            let most = f64::from(ICMP_ANSWERS_PER_SECOND) * time.as_secs_f64() + f64::from(ICMP_ANSWERS_AT_ONCE);
            if errors == 0 || f64::from(errors) > most * 1.1 + 10.0 {
                wrong.push(format!(
                    "{name}, {}: {errors} answers in {time:?}, where {most:.0} are many",
                    LAN[family]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The uplink takes packets of 1,300 bytes from now on. The neighbour on the LAN sends no larger ones, but says that it
/// takes them.
fn shrink_uplink(world: &World) {
    world.host.sh("ip link set up0 mtu 1300").ok();
    for (to, advertised) in [(HOST[0], 1460), (HOST[1], 1440)] {
        let route = format!("ip route replace {to} dev eth0 mtu 1300 advmss {advertised}");
        world.lan().sh(&route).ok();
    }
}

/// While a stranger floods, a container learns the small MTU of the uplink, which the switch tells it, and of a path,
/// which a router does.
#[test]
fn a_black_hole_heals_during_a_flood() {
    let world = scene();
    let far = world.add_far(1400);
    let one = world.inside("one");
    let frames = [forged(&world, 0, 1000), forged(&world, 1, 1000)].concat();
    let stop = AtomicBool::new(false);
    let lan = world.lan();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                send_all(lan, "eth0", frames.iter().map(Vec::as_slice));
                thread::sleep(Duration::from_millis(20));
            }
        });
        let learnt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for to in FAR {
                transfer(&one, &far, address(to), 1 << 20);
            }
            shrink_uplink(&world);
            for to in LAN {
                transfer(&one, world.lan(), address(to), 1 << 20);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panicked) = learnt {
            std::panic::resume_unwind(panicked);
        }
    });
    for (to, mtu) in FAR
        .into_iter()
        .map(|to| (to, 1300..=1400))
        .chain(LAN.map(|to| (to, 1300..=1300)))
    {
        let said = one.sh(&format!("ip route get {to}")).ok();
        let known = said.split_whitespace().skip_while(|word| *word != "mtu").nth(1);
        let known = known.and_then(|known| known.parse::<u32>().ok());
        assert!(known.is_some_and(|known| mtu.contains(&known)), "{to}: {said}");
    }
}

/// After a flood of its own a container is told again.
#[test]
fn a_black_hole_heals_after_the_containers_own_flood() {
    let world = scene();
    let one = world.inside("one");
    let macs = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    shrink_uplink(&world);
    for (family, to) in LAN.into_iter().enumerate() {
        let packet = ip(macs, address(OWN[family]), address(to)).hops(1);
        let frames: Vec<_> = (0..FLOOD).map(|number| packet.udp(1000 + number, 9, b"x")).collect();
        send_all(&one, "eth0", frames.iter().map(Vec::as_slice));
        transfer(&one, world.lan(), address(to), 1 << 20);
        let said = one.sh(&format!("ip route get {to}")).ok();
        assert!(said.contains(" mtu 1300"), "{said}");
    }
}

/// The packet that an error is about may have left its sum to the device. The error has a sum of its own.
#[test]
fn an_error_about_an_unfinished_packet_is_finished() {
    let world = scene();
    let lan = world.lan();
    let macs = (mac(lan, "eth0"), mac(&world.host, "up0"));
    let mut wrong = Vec::new();
    for offload in ["on", "off"] {
        // without it, the kernel fills in what is left to the device as the frame goes out
        world.host.sh(&format!("ethtool -K up0 tx {offload}")).ok();
        for family in [0, 1] {
            let at = if family == 0 { 34 } else { 54 };
            let left = Unfinished {
                start: u16::try_from(at).unwrap(),
                offset: 6,
            };
            let frame = ip(macs, address(LAN[family]), address(HOST[family]))
                .hops(1)
                .udp(5000, 8080, &[7; 200]);
            let heard = Offloaded::start(lan, "eth0");
            // one of many may be one too many
            eventually("an answer", || {
                send_offloaded(lan, "eth0", left.header(), &frame);
                match world.path("answer-time-exceeded") {
                    0 => Err("none".to_owned()),
                    _ => Ok(()),
                }
            });
            let (unfinished, error) = heard.expect("the error", |frame| is_error(frame) && frame.len() > at + 8);
            let message = &error[at..];
            let start = if family == 0 {
                0
            } else {
                let length = u16::try_from(message.len()).unwrap().to_be_bytes();
                checksum::sum(&[&error[22..54], &[0, 58], &length].concat(), 0)
            };
            let sum = checksum::fold(checksum::sum(message, start));
            if unfinished.is_some() || sum != 0 {
                wrong.push(format!(
                    "offload {offload}, IPv{}: left to the device: {unfinished:?}, its own sum is off by {sum:#06x}",
                    if family == 0 { 4 } else { 6 }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
