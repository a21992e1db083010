//! SCTP as a socket sends it over a veth pair: its sum is 0 and left to the device (`CHECKSUM_PARTIAL`), and the receiver
//! trusts that mark. This kernel has no SCTP, so a packet socket stands for it.

use tests::packet::{Ip, PROTOCOL_SCTP, ip};
use tests::world::{HOST, LAN, Offloaded, Unfinished, World, send, send_offloaded};

use super::masquerade::mac;
use super::{address, dual};

const TAG: [u8; 4] = [0, 0, 0, 7];
const CHUNK: &[u8] = &[1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];

/// A packet whose sum is still 0.
fn unsummed(packet: &Ip, source: u16, destination: u16) -> Vec<u8> {
    let ports = [source, destination].map(u16::to_be_bytes).concat();
    packet.protocol(PROTOCOL_SCTP, &[&ports[..], &TAG, &[0; 4], CHUNK].concat())
}

#[test]
fn a_sum_that_is_left_to_the_device_arrives_as_it_was_left() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &["-o", "com.docker.network.bridge.name=br-dual"]);
    world.run("one", &["--net", "dual", "-p", "9000:90/sctp"]);
    let (one, lan) = (world.inside("one"), world.lan());
    let outward = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    let inward = (mac(lan, "eth0"), mac(&world.host, "up0"));
    let mut wrong = Vec::new();
    for (family, own) in ["10.66.0.2", "fd66::2"].into_iter().enumerate() {
        let at = if family == 0 { 34 } else { 54 };
        let left = Unfinished {
            start: u16::try_from(at).unwrap(),
            offset: 8,
        };
        let (inside, outside) = (Offloaded::start(&one, "eth0"), Offloaded::start(lan, "eth0"));
        let question = ip(inward, address(LAN[family]), address(HOST[family]));
        let answer = ip(outward, address(own), address(LAN[family]));
        let with_ports = |source: u16, destination: u16| {
            let ports = [source, destination].map(u16::to_be_bytes).concat();
            move |frame: &[u8]| frame.get(at..at + 4) == Some(&ports[..])
        };
        let mut check = |what: &str, (unfinished, frame): (Option<Unfinished>, Vec<u8>)| {
            if unfinished != Some(left) || frame[at + 8..at + 12] != [0; 4] {
                wrong.push(format!(
                    "{what} over IPv{}: the sum is {:02x?}, left to the device: {unfinished:?}",
                    if family == 0 { 4 } else { 6 },
                    &frame[at + 8..at + 12]
                ));
            }
        };
        send_offloaded(lan, "eth0", left.header(), &unsummed(&question, 4000, 9000));
        check(
            "the question",
            inside.expect("the question at the container's port", with_ports(4000, 90)),
        );
        send_offloaded(&one, "eth0", left.header(), &unsummed(&answer, 90, 4000));
        check(
            "the answer",
            outside.expect("the answer from the published port", with_ports(9000, 4000)),
        );
        // and beside it, one that is finished stays right
        send(lan, "eth0", &question.sctp(4000, 9000, 7, CHUNK));
        let (unfinished, frame) = inside.expect("a finished packet", |frame| {
            with_ports(4000, 90)(frame) && frame[at + 8..at + 12] != [0; 4]
        });
        assert_eq!(unfinished, None);
        assert!(
            tests::packet::read_sctp(&frame[at..]).is_some(),
            "a wrong sum: {frame:02x?}"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
