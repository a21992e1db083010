//! Which ports the host's own sockets hold.

use std::net::{TcpListener, UdpSocket};

use netswitch::{
    kernel::Namespace,
    model::publish::{Listener, Protocol},
};

use crate::world::{Real, World, ip};

#[test]
fn sockets_that_hold_ports_are_found() {
    Real::run(|world| {
        world.kernel().set_up_loopback(&Namespace::Host).unwrap();
        world
            .kernel()
            .set_sysctl(&Namespace::Host, "net/ipv6/conf/lo/disable_ipv6", "0")
            .unwrap();
        assert_eq!(world.kernel().listeners().unwrap(), []);
        let _tcp = TcpListener::bind("127.0.0.1:8080").unwrap();
        let _dual = TcpListener::bind("[::]:443").unwrap();
        let _udp = UdpSocket::bind("0.0.0.0:53").unwrap();
        world
            .kernel()
            .set_sysctl(&Namespace::Host, "net/ipv6/bindv6only", "1")
            .unwrap();
        let _v6_only = TcpListener::bind("[::]:80").unwrap();
        // a client's port is nobody's to listen on
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect("127.0.0.1:53").unwrap();

        let mut found = world.kernel().listeners().unwrap();
        found.sort_by_key(|listener| listener.port);
        let held = |protocol, address: &str, port, v6_only| Listener {
            protocol,
            address: ip(address),
            port,
            v6_only,
        };
        assert_eq!(
            found,
            [
                held(Protocol::Udp, "0.0.0.0", 53, false),
                held(Protocol::Tcp, "::", 80, true),
                held(Protocol::Tcp, "::", 443, false),
                held(Protocol::Tcp, "127.0.0.1", 8080, false),
            ]
        );
        assert_eq!(world.kernel().local_port_range().unwrap(), (32768, 60999));
    });
}
