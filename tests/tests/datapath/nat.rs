//! Flows: what goes out to the world and comes in at published ports, packet by packet, every byte compared
//! with a packet built for its new addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netswitch::action::{Device, Entry};
use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    capacity,
    host::{Config, Uplink},
    publish::{Publication, PublishedKey, PublishedPorts, flags, protocol},
    verdict::DropReason,
};
use tests::fixture::{A, ALPHA, B, D, HOST_V4, HOST_V6, Port, UPLINK_INDEX, UPLINK_MAC, WORLD_V4, WORLD_V6};
use tests::loaded::{Loaded, in_the_world};
use tests::packet::{Ip, PROTOCOL_GRE, describe, ip};
use tests::switch::Counter;
use tests::world::eventually;

/// Of the world's router.
const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 9, 1]);
/// Verdicts of TC.
const SHOT: i32 = 2;
const REDIRECT: i32 = 7;
const NEXT: i32 = -1;

/// The fixed world with an uplink.
pub fn with_uplink(ports: (u16, u16), test: impl FnOnce(&mut Loaded) + Send + 'static) {
    in_the_world(move |loaded| {
        let uplink = Entry::Uplink {
            device: Device {
                name: "up0".into(),
                index: Some(UPLINK_INDEX),
            },
            value: Uplink {
                v4: IpAddr::from(HOST_V4).into(),
                v6: IpAddr::from(HOST_V6).into(),
                mtu: 1500,
                mac: UPLINK_MAC,
                ..Uplink::default()
            },
        };
        loaded.datapath.tables().write(&uplink).expect("an uplink");
        let config = Config {
            first_port: ports.0,
            port_count: ports.1,
            flow_quota: 64,
            ..Config::default()
        };
        loaded.datapath.tables().set_config(&config).expect("a configuration");
        test(loaded);
    });
}

/// A frame from a container to its gateway's MAC.
fn out(port: &Port) -> (Mac, Mac) {
    (port.mac(), port.network.host_port().mac())
}

/// A frame as it enters a container from its gateway.
pub fn into(port: &Port) -> (Mac, Mac) {
    (port.network.host_port().mac(), port.mac())
}

pub const FROM_WORLD: (Mac, Mac) = (ROUTER_MAC, UPLINK_MAC);

fn send(loaded: &Loaded, port: &Port, frame: &[u8]) -> (i32, Vec<u8>) {
    let ran = loaded
        .datapath
        .run(Hook::Endpoint, port.index(), frame, 1)
        .expect("it runs");
    (ran.verdict, ran.frame)
}

pub fn receive(loaded: &Loaded, frame: &[u8]) -> (i32, Vec<u8>) {
    let ran = loaded
        .datapath
        .run(Hook::Uplink, UPLINK_INDEX, frame, 1)
        .expect("it runs");
    (ran.verdict, ran.frame)
}

/// Compares all but the MACs: those of a packet to the world are the neighbour table's.
#[track_caller]
fn same_packet(found: &(i32, Vec<u8>), expected: &[u8]) {
    assert_eq!(found.0, REDIRECT, "{}", describe(&found.1));
    assert!(
        found.1[14..] == expected[14..],
        "{}\ninstead of\n{}",
        describe(&found.1),
        describe(expected)
    );
}

#[track_caller]
fn same_frame(found: &(i32, Vec<u8>), expected: &[u8]) {
    same_packet(found, expected);
    assert_eq!(found.1[..14], expected[..14], "{}", describe(&found.1));
}

/// The source port of a UDP or TCP packet over plain IP.
fn source_port(frame: &[u8]) -> u16 {
    let at = if frame[12..14] == [0x86, 0xdd] { 54 } else { 34 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

pub fn drops(loaded: &mut Loaded, port: &Port, reason: DropReason) -> u64 {
    let counters = loaded.counters();
    counters
        .get(&Counter::Drop(port.id, reason))
        .map_or(0, |count| count.packets)
}

/// Publishes `first..=last` of the host on a container's ports from `container` on.
pub fn publish(loaded: &mut Loaded, host: IpAddr, ports: (u16, u16), port: &Port, container: u16, flags: u32) {
    let number = ports.0;
    let value = Publication {
        endpoint: port.id,
        generation: 1,
        network: port.network.number.into(),
        flags,
        host_first: ports.0,
        container_first: container,
        mtu: 1500,
        mac: port.mac(),
        v4: u32::from_ne_bytes(port.v4().octets()),
        v6: IpAddr::from(port.v6()).into(),
    };
    let mut entries = vec![Entry::Publication { number, value }];
    for number_of in [protocol::TCP, protocol::UDP, protocol::SCTP] {
        let mut chunk = PublishedPorts::NONE;
        for host_port in ports.0..=ports.1 {
            chunk.0[usize::from(host_port & 0xff)] = number;
        }
        entries.push(Entry::Published {
            key: PublishedKey::new(host.into(), number_of, ports.0),
            value: Box::new(chunk),
        });
    }
    for entry in entries {
        loaded.datapath.tables().write(&entry).expect("an entry");
    }
}

pub const RANGE: (u16, u16) = capacity::MASQUERADE_PORTS;

#[test]
fn udp_goes_out_with_the_hosts_address_and_comes_back() {
    with_uplink(RANGE, |loaded| {
        for (from, host, world) in [
            (IpAddr::from(A.v4()), IpAddr::from(HOST_V4), IpAddr::from(WORLD_V4)),
            (A.v6().into(), HOST_V6.into(), WORLD_V6.into()),
        ] {
            let sent = send(loaded, &A, &ip(out(&A), from, world).udp(4000, 53, b"question"));
            let port = source_port(&sent.1);
            assert!((RANGE.0..RANGE.0 + RANGE.1).contains(&port), "{port}");
            same_packet(&sent, &ip(out(&A), host, world).hops(63).udp(port, 53, b"question"));

            let answer = receive(loaded, &ip(FROM_WORLD, world, host).udp(53, port, b"the answer"));
            same_frame(
                &answer,
                &ip(into(&A), world, from).hops(63).udp(53, 4000, b"the answer"),
            );
            // the same flow keeps its port
            let again = send(loaded, &A, &ip(out(&A), from, world).udp(4000, 53, b"more"));
            assert_eq!(source_port(&again.1), port);
            // to somebody else the port means nothing
            let stranger = receive(loaded, &ip(FROM_WORLD, world, host).udp(54, port, b"forged"));
            assert_eq!(stranger.0, NEXT);
        }
    });
}

#[test]
fn tcp_and_options_and_empty_checksums_are_translated() {
    with_uplink(RANGE, |loaded| {
        let sent = send(
            loaded,
            &A,
            &ip(out(&A), A.v4(), WORLD_V4).options(&[1; 8]).tcp(4000, 80, b"odd"),
        );
        let port = u16::from_be_bytes([sent.1[42], sent.1[43]]);
        same_packet(
            &sent,
            &ip(out(&A), HOST_V4, WORLD_V4)
                .hops(63)
                .options(&[1; 8])
                .tcp(port, 80, b"odd"),
        );
        let mut frame = ip(out(&A), A.v4(), WORLD_V4).udp(4001, 53, b"no checksum");
        frame[40..42].fill(0);
        let sent = send(loaded, &A, &frame);
        assert_eq!(sent.1[40..42], [0, 0]);
    });
}

#[test]
fn echo_requests_get_another_identifier() {
    with_uplink(RANGE, |loaded| {
        for (from, host, world, kinds) in [
            (
                IpAddr::from(A.v4()),
                IpAddr::from(HOST_V4),
                IpAddr::from(WORLD_V4),
                (8, 0),
            ),
            (A.v6().into(), HOST_V6.into(), WORLD_V6.into(), (128, 129)),
        ] {
            let sent = send(
                loaded,
                &A,
                &ip(out(&A), from, world).icmp(kinds.0, 0, b"\x12\x34\x00\x01x"),
            );
            let at = if host.is_ipv4() { 38 } else { 58 };
            let rest = [&sent.1[at..at + 2], b"\x00\x01x"].concat();
            assert_ne!(rest[..2], [0x12, 0x34]);
            same_packet(&sent, &ip(out(&A), host, world).hops(63).icmp(kinds.0, 0, &rest));
            let answer = receive(loaded, &ip(FROM_WORLD, world, host).icmp(kinds.1, 0, &rest));
            same_frame(
                &answer,
                &ip(into(&A), world, from)
                    .hops(63)
                    .icmp(kinds.1, 0, b"\x12\x34\x00\x01x"),
            );
        }
    });
}

#[test]
fn errors_from_routers_find_their_flow() {
    with_uplink(RANGE, |loaded| {
        let router = Ipv4Addr::new(203, 0, 113, 1);
        let original = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"question");
        let sent = send(loaded, &A, &original);
        // the router quotes what it got, and says how long it may be
        let quote = |packet: &[u8], hops: u8| {
            let mut quoted = packet[14..42].to_vec();
            quoted[8] = hops;
            quoted[10..12].fill(0);
            let sum = netswitch_common::checksum::fold(netswitch_common::checksum::sum(&quoted[..20], 0));
            quoted[10..12].copy_from_slice(&sum.to_ne_bytes());
            [&[0, 0, 0x05, 0x14][..], &quoted].concat()
        };
        let found = receive(loaded, &ip(FROM_WORLD, router, HOST_V4).icmp(3, 4, &quote(&sent.1, 60)));
        let mut expected = quote(&original, 60);
        // the quoted transport checksum stays as it was on the wire
        expected[30..32].copy_from_slice(&sent.1[40..42]);
        same_frame(&found, &ip(into(&A), router, A.v4()).hops(63).icmp(3, 4, &expected));
        // about what is none of ours the host's stack knows
        let other = ip(out(&A), HOST_V4, WORLD_V4).udp(9, 9, b"question");
        assert_eq!(
            receive(loaded, &ip(FROM_WORLD, router, HOST_V4).icmp(3, 4, &quote(&other, 60))).0,
            NEXT
        );
    });
}

#[test]
fn errors_over_ipv6_find_their_flow() {
    with_uplink(RANGE, |loaded| {
        let router: Ipv6Addr = "2001:db8:aaaa::1".parse().expect("an address");
        let original = ip(out(&A), A.v6(), WORLD_V6).udp(4000, 53, b"question");
        let sent = send(loaded, &A, &original);
        let quote = |packet: &[u8]| [&[0, 0, 0x05, 0x14][..], &packet[14..]].concat();
        let found = receive(loaded, &ip(FROM_WORLD, router, HOST_V6).icmp(2, 0, &quote(&sent.1)));
        let mut expected = original.clone();
        expected[21] = 63; // its hop limit when it was quoted
        expected[60..62].copy_from_slice(&sent.1[60..62]);
        same_frame(
            &found,
            &ip(into(&A), router, A.v6()).hops(63).icmp(2, 0, &quote(&expected)),
        );
    });
}

#[test]
fn case_10_two_containers_with_one_port_get_two() {
    with_uplink(RANGE, |loaded| {
        let one = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"a"));
        let two = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(4000, 53, b"b"));
        assert_ne!(source_port(&one.1), source_port(&two.1));
    });
}

#[test]
fn case_12_ports_run_out_towards_one_destination_and_are_free_towards_another() {
    with_uplink((20_000, 8), |loaded| {
        for port in 4000..4008 {
            let sent = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(port, 53, b"x"));
            assert_eq!(sent.0, REDIRECT, "{port}");
        }
        assert_eq!(
            send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4008, 53, b"x")).0,
            SHOT
        );
        assert_eq!(drops(loaded, &A, DropReason::PortsExhausted), 1);
        let other = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4008, 54, b"x"));
        assert_eq!(other.0, REDIRECT);
    });
}

#[test]
fn case_14_a_flood_takes_only_its_own_unanswered_flows() {
    with_uplink(RANGE, |loaded| {
        let kept = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(3999, 53, b"x"));
        let others = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(3999, 53, b"x"));
        let answer = |port| ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, port, b"y");
        assert_eq!(receive(loaded, &answer(source_port(&kept.1))).0, REDIRECT);
        // the quota is 64
        for port in 4000..4640 {
            assert_eq!(
                send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(port, 53, b"x")).0,
                REDIRECT,
                "{port}"
            );
        }
        for port in [source_port(&kept.1), source_port(&others.1)] {
            assert_eq!(receive(loaded, &answer(port)).0, REDIRECT);
        }
        assert_eq!(drops(loaded, &A, DropReason::FlowQuota), 0);
    });
}

#[test]
fn other_protocols_change_their_address_alone() {
    with_uplink(RANGE, |loaded| {
        let sent = send(
            loaded,
            &A,
            &ip(out(&A), A.v4(), WORLD_V4).protocol(PROTOCOL_GRE, b"tunnelled"),
        );
        same_packet(
            &sent,
            &ip(out(&A), HOST_V4, WORLD_V4)
                .hops(63)
                .protocol(PROTOCOL_GRE, b"tunnelled"),
        );
        let answer = receive(
            loaded,
            &ip(FROM_WORLD, WORLD_V4, HOST_V4).protocol(PROTOCOL_GRE, b"back"),
        );
        same_frame(
            &answer,
            &ip(into(&A), WORLD_V4, A.v4()).hops(63).protocol(PROTOCOL_GRE, b"back"),
        );
    });
}

#[test]
fn a_published_port_leads_in_and_back_out() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8010), &B, 80, 0);
        publish(loaded, Ipv6Addr::UNSPECIFIED.into(), (8100, 8110), &B, 80, 0);
        for (world, host, container, base) in [
            (
                IpAddr::from(WORLD_V4),
                IpAddr::from(HOST_V4),
                IpAddr::from(B.v4()),
                8000,
            ),
            (WORLD_V6.into(), HOST_V6.into(), B.v6().into(), 8100),
        ] {
            let came = receive(loaded, &ip(FROM_WORLD, world, host).tcp(5000, base + 3, b"hello"));
            same_frame(&came, &ip(into(&B), world, container).hops(63).tcp(5000, 83, b"hello"));
            let answer = send(loaded, &B, &ip(out(&B), container, world).tcp(83, 5000, b"welcome"));
            same_packet(
                &answer,
                &ip(out(&B), host, world).hops(63).tcp(base + 3, 5000, b"welcome"),
            );
            assert_eq!(
                receive(loaded, &ip(FROM_WORLD, world, host).tcp(5000, base + 11, b"closed")).0,
                NEXT
            );
        }
    });
}

#[test]
fn two_ports_of_one_container_may_meet_one_client_port() {
    with_uplink(RANGE, |loaded| {
        for host_port in [8000, 8500] {
            publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (host_port, host_port), &B, 80, 0);
        }
        let first = receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5000, 8000, b"x"));
        same_frame(&first, &ip(into(&B), WORLD_V4, B.v4()).hops(63).udp(5000, 80, b"x"));
        let second = receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5000, 8500, b"x"));
        let port = source_port(&second.1);
        assert_ne!(port, 5000);
        let answer = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(80, port, b"y"));
        same_packet(&answer, &ip(out(&B), HOST_V4, WORLD_V4).hops(63).udp(8500, 5000, b"y"));
    });
}

#[test]
fn case_24_neighbours_strangers_and_the_container_itself_come_by_the_hosts_address() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8000), &B, 80, 0);
        let published = netswitch_common::endpoint::flags::PUBLISHES;
        let endpoint = tests::fixture::entries::all()
            .into_iter()
            .find_map(|entry| match entry {
                Entry::Endpoint { device, mut value } if value.id == B.id => {
                    value.flags |= published;
                    Some(Entry::Endpoint { device, value })
                }
                _ => None,
            });
        let endpoint = endpoint.expect("B is an endpoint");
        loaded.datapath.tables().write(&endpoint).expect("an entry");
        for client in [&A, &D] {
            let came = send(
                loaded,
                client,
                &ip(out(client), client.v4(), HOST_V4).tcp(5000, 8000, b"x"),
            );
            same_frame(&came, &ip(into(&B), client.v4(), B.v4()).hops(63).tcp(5000, 80, b"x"));
            // a neighbour is answered directly, a stranger by the gateway
            let way = if client.network.number == ALPHA.number {
                (B.mac(), client.mac())
            } else {
                out(&B)
            };
            let answer = send(loaded, &B, &ip(way, B.v4(), client.v4()).tcp(80, 5000, b"y"));
            same_frame(
                &answer,
                &ip(into(client), HOST_V4, client.v4()).hops(63).tcp(8000, 5000, b"y"),
            );
        }
        let own = send(loaded, &B, &ip(out(&B), B.v4(), HOST_V4).tcp(5000, 8000, b"x"));
        let port = source_port(&own.1);
        let gateway = ALPHA.host_port().v4();
        same_frame(&own, &ip(into(&B), gateway, B.v4()).hops(63).tcp(port, 80, b"x"));
        let answer = send(loaded, &B, &ip(out(&B), B.v4(), gateway).tcp(80, port, b"y"));
        same_frame(&answer, &ip(into(&B), HOST_V4, B.v4()).hops(63).tcp(8000, 5000, b"y"));
    });
}

#[test]
fn case_21_containers_and_gateways_are_closed_to_the_world() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8000), &B, 80, 0);
        for to in [B.v4(), ALPHA.host_port().v4()] {
            let direct = receive(loaded, &ip(FROM_WORLD, WORLD_V4, to).tcp(5000, 80, b"x"));
            assert_eq!(direct.0, SHOT, "{to}");
        }
        assert_eq!(drops(loaded, &B, DropReason::NotPublished), 1);
        // nor does anybody out there have a container's address
        let forged = receive(loaded, &ip(FROM_WORLD, A.v4(), HOST_V4).tcp(5000, 8000, b"x"));
        assert_eq!(forged.0, SHOT);
        assert_eq!(drops(loaded, &B, DropReason::SpoofedAddress), 1);
        assert_eq!(
            receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).tcp(5000, 22, b"ssh")).0,
            NEXT
        );
    });
}

#[test]
fn a_publication_lets_in_whom_it_names() {
    with_uplink(RANGE, |loaded| {
        publish(
            loaded,
            Ipv4Addr::UNSPECIFIED.into(),
            (8000, 8000),
            &B,
            80,
            flags::SOURCES,
        );
        let allowed: IpNetwork = "198.51.100.0/24".parse().expect("a network");
        let source = Entry::Source {
            publication: 8000,
            network: allowed,
        };
        loaded.datapath.tables().write(&source).expect("an entry");
        let from = |address: Ipv4Addr| ip(FROM_WORLD, address, HOST_V4).tcp(5000, 8000, b"x");
        assert_eq!(receive(loaded, &from(WORLD_V4)).0, REDIRECT);
        assert_eq!(receive(loaded, &from(Ipv4Addr::new(203, 0, 113, 1))).0, SHOT);
        assert_eq!(drops(loaded, &B, DropReason::SourceDenied), 1);
    });
}

#[test]
fn sctp_is_published_with_another_port_and_a_right_checksum() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8000), &B, 80, 0);
        let packet = |macs, from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), hops| {
            let mut segment = [ports.0, ports.1].map(u16::to_be_bytes).concat();
            segment.extend([0, 0, 0, 7, 0, 0, 0, 0]);
            segment.extend(b"a chunk that is no chunk");
            let crc = crc32c(&segment).to_le_bytes();
            segment[8..12].copy_from_slice(&crc);
            ip(macs, from, to).hops(hops).protocol(protocol::SCTP, &segment)
        };
        let came = receive(loaded, &packet(FROM_WORLD, WORLD_V4, HOST_V4, (5000, 8000), 64));
        same_frame(&came, &packet(into(&B), WORLD_V4, B.v4(), (5000, 80), 63));
        let answer = send(loaded, &B, &packet(out(&B), B.v4(), WORLD_V4, (80, 5000), 64));
        same_packet(&answer, &packet(out(&B), HOST_V4, WORLD_V4, (8000, 5000), 63));
    });
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[test]
fn hops_end_here_with_word_to_the_sender() {
    with_uplink(RANGE, |loaded| {
        let original = ip(out(&A), A.v4(), WORLD_V4).hops(1).udp(4000, 33434, b"traceroute");
        let told = send(loaded, &A, &original);
        let gateway = ALPHA.host_port().v4();
        assert_eq!(told.0, REDIRECT);
        assert_eq!((told.1[34], told.1[35]), (11, 0), "{}", describe(&told.1));
        assert_eq!(told.1[26..34], [gateway.octets(), A.v4().octets()].concat());
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8000), &B, 80, 0);
        let told = receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).hops(1).udp(5000, 8000, b"x"));
        assert_eq!((told.0, told.1[34]), (REDIRECT, 11));
        assert_eq!(told.1[..12], [ROUTER_MAC.0, UPLINK_MAC.0].concat());
        assert_eq!(told.1[26..34], [HOST_V4.octets(), WORLD_V4.octets()].concat());
    });
}

/// A segment of an open connection, but for what it says with its flags.
fn segment(ip: &Ip, ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut frame = ip.tcp(ports.0, ports.1, b"");
    let was = u16::from_be_bytes([frame[46], frame[47]]);
    frame[47] = flags;
    let sum = u16::from_be_bytes([frame[50], frame[51]]);
    // RFC 1624, equation 3
    let mut sum = u32::from(!sum) + u32::from(!was) + u32::from(u16::from_be_bytes([frame[46], flags]));
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from(sum).expect("folded");
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn case_15_data_of_a_connection_whose_flow_expired_is_carried_again() {
    const RST: u8 = 0x04;
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED.into(), (8000, 8000), &B, 80, 0);
        let outward = ip(out(&A), A.v4(), WORLD_V4);
        let inward = ip(FROM_WORLD, WORLD_V4, HOST_V4);
        assert_eq!(send(loaded, &A, &outward.tcp(4000, 80, b"x")).0, REDIRECT);
        assert_eq!(receive(loaded, &inward.tcp(5000, 8000, b"x")).0, REDIRECT);
        // a reset brings the end of a flow near: no test waits two hours
        send(loaded, &A, &segment(&outward, (4000, 80), RST));
        receive(loaded, &segment(&inward, (5000, 8000), RST));
        eventually("the flows have expired", || {
            match loaded.datapath.tables().flows().expect("a list").0.len() {
                0 => Ok(()),
                count => Err(format!("{count} are alive")),
            }
        });
        assert_eq!(send(loaded, &A, &outward.tcp(4000, 80, b"more")).0, REDIRECT);
        let came = receive(loaded, &inward.tcp(5000, 8000, b"more"));
        same_frame(&came, &ip(into(&B), WORLD_V4, B.v4()).hops(63).tcp(5000, 80, b"more"));
        let answer = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).tcp(80, 5000, b"answer"));
        same_packet(
            &answer,
            &ip(out(&B), HOST_V4, WORLD_V4).hops(63).tcp(8000, 5000, b"answer"),
        );
    });
}

#[test]
fn case_18_a_flow_ends_with_its_endpoint() {
    with_uplink(RANGE, |loaded| {
        let sent = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x"));
        let port = source_port(&sent.1);
        // the id is another endpoint's now
        let reborn: Vec<Entry> = tests::fixture::entries::all()
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Slot { id, device, mut value } if id == A.id => {
                    value.generation = 2;
                    Some(Entry::Slot { id, device, value })
                }
                Entry::Endpoint { device, mut value } if value.id == A.id => {
                    value.generation = 2;
                    Some(Entry::Endpoint { device, value })
                }
                _ => None,
            })
            .collect();
        for entry in &reborn {
            loaded.datapath.tables().write(entry).expect("an entry");
        }
        assert_eq!(
            receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, port, b"late")).0,
            NEXT
        );
        // and may use the same port at once
        assert_eq!(
            send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x")).0,
            REDIRECT
        );
    });
}

#[test]
fn case_3_a_later_fragment_waits_for_the_first() {
    with_uplink(RANGE, |loaded| {
        let datagram = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, &[7; 72]);
        let part = |from: usize, more| {
            let offset = u16::try_from(from).expect("a small offset");
            ip(out(&A), A.v4(), WORLD_V4)
                .fragment(offset, more)
                .protocol(protocol::UDP, &datagram[34 + from..(34 + from + 40)])
        };
        assert_eq!(send(loaded, &A, &part(40, false)).0, SHOT);
        let parked = |loaded: &Loaded| tests::maps::dump_all(&loaded.maps())["PARKED"].len();
        assert_eq!(parked(loaded), 1);
        // all of it arrives once more, on a device that has no program here
        assert_eq!(send(loaded, &A, &part(0, true)).0, SHOT);
        assert_eq!(parked(loaded), 0);
        let first = send(loaded, &A, &part(0, true));
        assert_eq!(first.0, REDIRECT);
        assert_eq!(first.1[26..30], HOST_V4.octets());
        let second = send(loaded, &A, &part(40, false));
        let expected = ip(out(&A), HOST_V4, WORLD_V4)
            .hops(63)
            .fragment(40, false)
            .protocol(protocol::UDP, &[7; 40]);
        same_packet(&second, &expected);
    });
}

/// That explaining a packet leaves no flow behind.
#[test]
fn explaining_opens_nothing() {
    with_uplink(RANGE, |loaded| {
        let frame = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x");
        let decision = loaded
            .datapath
            .explain(Hook::Endpoint, A.index(), &frame)
            .expect("it runs");
        assert_eq!(decision.ifindex, UPLINK_INDEX);
        let records = tests::maps::dump_all(&loaded.maps());
        assert!(records["FLOWS"].is_empty() && records["RECORDS"].is_empty());
    });
}
