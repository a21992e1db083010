//! What `cargo xtask fuzz packets` has found: each of these failed when it was written.

use std::net::Ipv4Addr;

use netswitch::action::Entry;
use netswitch_common::{endpoint, progress::FlowState};
use tests::fixture::{
    A, B, HOST_V4, WORLD_V4, entries,
    uplink::{self, FROM_WORLD, out},
};
use tests::loaded::Loaded;
use tests::packet::{Ip, PROTOCOL_GRE, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE, describe, ip};
use tests::records::Records;

use super::{NEXT, RANGE, REDIRECT, SHOT, publish, receive, send, source_port, with_uplink};

const RST: u8 = 4;
const SYN_ACK: u8 = 0x12;

fn outward() -> Ip {
    ip(out(&A), A.v4(), WORLD_V4)
}

fn inward() -> Ip {
    ip(FROM_WORLD, WORLD_V4, HOST_V4)
}

/// The same segment with other flags; nothing here looks at its checksum.
fn flagged(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
    frame[47] = flags;
    frame
}

/// The first bytes behind the IP header of a frame over plain IPv4, and no more.
fn cut(packet: &Ip, frame: &[u8], protocol: u8, length: usize) -> Vec<u8> {
    packet.protocol(protocol, &frame[34..34 + length])
}

fn states(loaded: &Loaded) -> Vec<FlowState> {
    let records = Records::open(&loaded.maps()).all();
    records
        .iter()
        .filter(|(_, flow)| flow.deadline != 0)
        .map(|(_, flow)| flow.state())
        .collect()
}

#[test]
fn a_flow_that_finds_no_port_takes_no_others_slot() {
    with_uplink(RANGE, |loaded| {
        let config = uplink::config(RANGE, 2);
        loaded.datapath.tables().set_config(&config).expect("a configuration");
        // GRE has no ports: B alone can speak it with this peer
        let taken = ip(out(&B), B.v4(), WORLD_V4).protocol(PROTOCOL_GRE, b"tunnelled");
        assert_eq!(send(loaded, &B, &taken).0, REDIRECT);
        let ports = [4000, 4001].map(|port| source_port(&send(loaded, &A, &outward().udp(port, 53, b"x")).1));
        assert_eq!(
            send(loaded, &A, &outward().protocol(PROTOCOL_GRE, b"tunnelled")).0,
            SHOT
        );
        for port in ports {
            let answer = receive(loaded, &inward().udp(53, port, b"y"));
            assert_eq!(answer.0, REDIRECT, "the flow at {port} is gone");
        }
    });
}

#[test]
fn a_segment_without_its_sum_moves_no_connection_on() {
    with_uplink(RANGE, |loaded| {
        let sent = send(loaded, &A, &outward().syn(4000, 80));
        let answer = flagged(inward().tcp(80, source_port(&sent.1), b""), SYN_ACK);
        assert_eq!(receive(loaded, &answer).0, REDIRECT);
        assert_eq!(states(loaded), [FlowState::Answered]);
        // up to the window: ports, numbers and flags, but neither sum nor the rest
        let short = cut(&outward(), &outward().tcp(4000, 80, b""), PROTOCOL_TCP, 16);
        assert_eq!(send(loaded, &A, &short).0, SHOT);
        assert_eq!(states(loaded), [FlowState::Answered]);
    });
}

#[test]
fn a_segment_without_its_sum_opens_nothing() {
    with_uplink(RANGE, |loaded| {
        let short = cut(&outward(), &outward().syn(4000, 80), PROTOCOL_TCP, 16);
        assert_eq!(send(loaded, &A, &short).0, SHOT);
        assert_eq!(states(loaded), []);
    });
}

#[test]
fn a_reset_without_its_sum_ends_nothing() {
    with_uplink(RANGE, |loaded| {
        let sent = send(loaded, &A, &outward().syn(4000, 80));
        let reset = flagged(inward().tcp(80, source_port(&sent.1), b""), RST);
        // the host's stack drops it
        assert_eq!(receive(loaded, &cut(&inward(), &reset, PROTOCOL_TCP, 16)).0, NEXT);
        assert_eq!(states(loaded), [FlowState::New]);
    });
}

#[test]
fn a_connection_that_has_ended_does_not_speak_as_the_next_one() {
    with_uplink((20_000, 1), |loaded| {
        let other = ip(out(&B), B.v4(), WORLD_V4);
        assert_eq!(source_port(&send(loaded, &B, &other.syn(4000, 80)).1), 4000);
        assert_eq!(source_port(&send(loaded, &A, &outward().syn(4000, 80)).1), 20_000);
        assert_eq!(
            receive(loaded, &flagged(inward().tcp(80, 20_000, b""), RST)).0,
            REDIRECT
        );
        // its port is the only one that is not kept, and another container's now
        assert_eq!(source_port(&send(loaded, &A, &outward().syn(4001, 81)).1), 4001);
        let next = send(loaded, &B, &other.syn(4001, 80));
        assert_eq!((next.0, source_port(&next.1)), (REDIRECT, 20_000));
        for flags in [RST, 0x10] {
            let late = send(loaded, &A, &flagged(outward().tcp(4000, 80, b"late"), flags));
            assert_ne!(late.0, REDIRECT, "A speaks on B's connection: {}", describe(&late.1));
        }
    });
}

#[test]
fn sctp_in_fragments_is_refused_where_its_port_changes() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, HOST_V4, (8000, 8000), &B, 80, 0);
        let local = Entry::Local {
            address: HOST_V4.into(),
        };
        loaded
            .datapath
            .tables()
            .write(&local)
            .expect("an address of the host's");
        let whole = inward().sctp(5000, 8000, 7, &[9; 60]);
        let pieces = inward().identification(7).fragments(PROTOCOL_SCTP, &whole[34..], 40);
        // it goes round once, to a device that has no program here
        receive(loaded, &pieces[0]);
        // the sum would need the length of the whole packet
        assert_eq!(receive(loaded, &pieces[0]).0, SHOT);
        assert_eq!(states(loaded), []);
    });
}

#[test]
fn a_sum_of_udplite_that_comes_to_nothing_is_all_ones() {
    with_uplink((20_000, 1), |loaded| {
        // words of one's complement; the last one of the datagram makes its sum, as it leaves, all ones
        let words = |frame: &[u8]| {
            frame
                .chunks(2)
                .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
                .sum::<u32>()
        };
        let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
        let pseudo =
            |from: Ipv4Addr| words(&[from.octets(), WORLD_V4.octets()].concat()) + u32::from(PROTOCOL_UDPLITE) + 10;
        let head = |port: u16| [port, 53, 0].map(u16::to_be_bytes).concat();
        let last = 0xffff - fold(fold(pseudo(HOST_V4) + words(&head(4000))));
        let last = u16::try_from(last).expect("folded").to_be_bytes();
        let sum = !fold(fold(pseudo(A.v4()) + words(&head(4000)) + words(&last)));
        let sum = u16::try_from(sum & 0xffff).expect("masked").to_be_bytes();
        let datagram = [&head(4000)[..], &sum, &last].concat();
        let sent = send(loaded, &A, &outward().protocol(PROTOCOL_UDPLITE, &datagram));
        assert_eq!((sent.0, source_port(&sent.1)), (REDIRECT, 4000));
        assert_eq!(sent.1[40..42], [0xff, 0xff], "RFC 3828, 3.1: {}", describe(&sent.1));
    });
}

#[test]
fn a_later_fragment_of_an_answer_between_neighbours_waits_for_the_first() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
        for entry in entries::all() {
            if let Entry::Endpoint { device, mut value } = entry
                && value.id == B.id
            {
                value.flags |= endpoint::flags::PUBLISHES;
                let endpoint = Entry::Endpoint { device, value };
                loaded.datapath.tables().write(&endpoint).expect("an endpoint");
            }
        }
        let question = ip(out(&A), A.v4(), HOST_V4).udp(5000, 8000, b"x");
        assert_eq!(send(loaded, &A, &question).0, REDIRECT);
        let answer = ip((B.mac(), A.mac()), B.v4(), A.v4());
        let whole = answer.udp(80, 5000, &[7; 60]);
        let pieces = answer.identification(7).fragments(PROTOCOL_UDP, &whole[34..], 40);
        let late = send(loaded, &B, &pieces[1]);
        assert_ne!(late.0, REDIRECT, "A hears B, not the host: {}", describe(&late.1));
    });
}
