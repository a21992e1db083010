//! In at published ports: from the world, from neighbours and strangers, and from the container itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netswitch::action::Entry;
use netswitch_common::{endpoint, publish::flags, verdict::DropReason};
use tests::fixture::{
    A, ALPHA, B, D, HOST_V4, HOST_V6, WORLD_V4, WORLD_V6, entries,
    uplink::{FROM_WORLD, into, out},
};
use tests::packet::ip;

use super::{
    NEXT, RANGE, REDIRECT, SHOT, drops, publish, receive, same_frame, same_packet, send, source_port, with_uplink,
};

#[test]
fn a_published_port_leads_in_and_back_out() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8010), &B, 80, 0);
        publish(loaded, Ipv6Addr::UNSPECIFIED, (8100, 8110), &B, 80, 0);
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
            publish(loaded, Ipv4Addr::UNSPECIFIED, (host_port, host_port), &B, 80, 0);
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
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
        let published = endpoint::flags::PUBLISHES;
        let endpoint = entries::all().into_iter().find_map(|entry| match entry {
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
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
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
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, flags::SOURCES);
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
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
        let packet = |macs, from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), hops| {
            ip(macs, from, to)
                .hops(hops)
                .sctp(ports.0, ports.1, 7, b"a chunk that is no chunk")
        };
        let came = receive(loaded, &packet(FROM_WORLD, WORLD_V4, HOST_V4, (5000, 8000), 64));
        same_frame(&came, &packet(into(&B), WORLD_V4, B.v4(), (5000, 80), 63));
        let answer = send(loaded, &B, &packet(out(&B), B.v4(), WORLD_V4, (80, 5000), 64));
        same_packet(&answer, &packet(out(&B), HOST_V4, WORLD_V4, (8000, 5000), 63));
    });
}
