//! The real kernel alone: what is on the wire, and what `ip` would show.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use ipnetwork::IpNetwork;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use netswitch::kernel::{Error, Namespace, namespace::in_namespace, socket::Socket};
use netswitch_common::address::Mac;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket},
};

use crate::world::{GATEWAY_MAC, MAC, Real, World, endpoint, interface, ip, net, network};

/// How long silence is listened to: unasked, a new interface speaks within a second.
const SILENCE: Duration = Duration::from_millis(1500);

/// Hears every frame of a namespace, in and out.
fn listen(namespace: &Namespace) -> OwnedFd {
    let open = || {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK,
            SockProtocol::EthAll,
        )
    };
    in_namespace(namespace, open).unwrap().unwrap()
}

/// The frames that come until `enough` or until the time is over.
fn frames(listener: &OwnedFd, time: Duration, enough: usize) -> Vec<Vec<u8>> {
    let end = Instant::now() + time;
    let mut frames = Vec::new();
    while frames.len() < enough {
        let mut frame = vec![0; 2048];
        match recv(listener.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => frames.push(frame[..length].to_vec()),
            Err(Errno::EAGAIN) => {
                let Some(left) = end.checked_duration_since(Instant::now()) else {
                    break;
                };
                let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                poll(&mut ready, PollTimeout::try_from(left).unwrap()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    frames
}

/// What iproute2 says inside a namespace.
fn ip_command(namespace: &Namespace, arguments: &str) -> String {
    let run = || {
        std::process::Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .unwrap()
    };
    let output = in_namespace(namespace, run).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All that the kernel tells of a link.
fn attributes(namespace: &Namespace, name: &str) -> Vec<LinkAttribute> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut socket = in_namespace(namespace, Socket::open).unwrap().unwrap();
    let answers = socket.request(RouteNetlinkMessage::GetLink(message), 0).unwrap();
    let [RouteNetlinkMessage::NewLink(link)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    link.attributes.clone()
}

fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "{what} did not happen in 5 s");
        std::thread::yield_now();
    }
}

#[test]
fn a_network_and_a_v4_container_say_nothing_unasked() {
    Real::run(|world| {
        let container = world.container();
        let host = listen(&Namespace::Host);
        let inside = listen(&container);
        let kernel = world.kernel();
        kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
        kernel
            .add_address(&Namespace::Host, "nsw0", net("10.9.0.1/16"))
            .unwrap();
        kernel.add_veth(&endpoint("veth1", &container)).unwrap();
        for device in ["sw-1", "nsw0", "veth1"] {
            kernel.set_up(device, true).unwrap();
        }
        kernel
            .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
            .unwrap();
        // a host end that routes IPv6 reports its groups (MLD), with its own MAC: the switch end's hook
        // drops them, their source is no address
        let heard = frames(&host, SILENCE, usize::MAX);
        let others: Vec<_> = heard.iter().filter(|frame| frame[6..12] != GATEWAY_MAC.0).collect();
        assert_eq!(others, Vec::<&Vec<u8>>::new());
        assert_eq!(frames(&inside, Duration::ZERO, usize::MAX), Vec::<Vec<u8>>::new());
    });
}

#[test]
fn a_v4_interface_looks_as_docker_makes_it() {
    Real::run(|world| {
        let container = world.container();
        let kernel = world.kernel();
        kernel.add_veth(&endpoint("veth1", &container)).unwrap();
        kernel.set_up("veth1", true).unwrap();
        kernel
            .configure_interface(&interface(&container, &["172.17.0.2/16"], false))
            .unwrap();
        kernel.set_default_route(&container, "eth0", ip("172.17.0.1")).unwrap();
        let shown = ip_command(&container, "addr show eth0");
        assert!(
            shown.contains("inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0"),
            "{shown}"
        );
        assert!(shown.contains("link-netnsid 0"), "{shown}");
        assert!(shown.contains("mtu 1500 qdisc noqueue state UP"), "{shown}");
        assert!(!shown.contains("inet6"), "{shown}");
        assert_eq!(
            ip_command(&container, "route show")
                .lines()
                .map(str::trim)
                .collect::<Vec<_>>(),
            [
                "default via 172.17.0.1 dev eth0",
                "172.17.0.0/16 dev eth0 proto kernel scope link src 172.17.0.2"
            ]
        );
        let near = ip_command(&Namespace::Host, "link show veth1");
        assert!(
            near.contains("NOARP") && near.contains("alias netswitch /test veth1"),
            "{near}"
        );
    });
}

#[test]
fn a_dual_stack_interface_is_ready_at_once() {
    Real::run(|world| {
        let container = world.container();
        let kernel = world.kernel();
        kernel.set_up_loopback(&container).unwrap();
        kernel.add_veth(&endpoint("veth1", &container)).unwrap();
        kernel.set_up("veth1", true).unwrap();
        kernel
            .configure_interface(&interface(&container, &["10.9.0.2/16", "fd00::2/64"], true))
            .unwrap();
        kernel.set_default_route(&container, "eth0", ip("fd00::1")).unwrap();
        let link_local = IpNetwork::new(MAC.link_local().into(), 64).unwrap();
        let mut inside = world.seen_from(&container);
        wait_for("the link-local address", || {
            inside
                .addresses()
                .unwrap()
                .contains(&("eth0".to_owned(), link_local))
                .then_some(())
        });
        let shown = ip_command(&container, "-6 addr show eth0");
        assert!(!shown.contains("tentative"), "{shown}");
        let routes = ip_command(&container, "-6 route show default");
        assert!(routes.starts_with("default via fd00::1 dev eth0"), "{routes}");
    });
}

#[test]
fn there_is_one_default_route_wherever_it_moves() {
    Real::run(|world| {
        let container = world.container();
        let kernel = world.kernel();
        let subnets = [("eth0", "10.9.0.", "fd00::"), ("eth1", "10.8.0.", "fd01::")];
        for (name, v4, v6) in subnets {
            let mut veth = endpoint(&format!("veth-{name}"), &container);
            name.clone_into(&mut veth.far.name);
            veth.far.mac = None;
            kernel.add_veth(&veth).unwrap();
            let addresses = [format!("{v4}2/24"), format!("{v6}2/64")];
            let mut eth = interface(&container, &addresses.each_ref().map(String::as_str), true);
            name.clone_into(&mut eth.name);
            kernel.configure_interface(&eth).unwrap();
        }
        for (name, v4, v6) in [subnets[0], subnets[1], subnets[0]] {
            for (family, gateway) in [("-4", format!("{v4}1")), ("-6", format!("{v6}1"))] {
                kernel.set_default_route(&container, name, ip(&gateway)).unwrap();
                let shown = ip_command(&container, &format!("{family} route show default"));
                assert_eq!(shown.lines().count(), 1, "{shown}");
                assert!(
                    shown.starts_with(&format!("default via {gateway} dev {name}")),
                    "{shown}"
                );
            }
        }
    });
}

#[test]
fn big_tcp_sizes_are_on_both_ends() {
    Real::run(|world| {
        let container = world.container();
        let mut veth = endpoint("veth1", &container);
        veth.near.big_tcp = Some(192 * 1024);
        veth.far.big_tcp = Some(192 * 1024);
        world.kernel().add_veth(&veth).unwrap();
        for (namespace, name) in [(&Namespace::Host, "veth1"), (&container, "eth0")] {
            let attributes = attributes(namespace, name);
            for size in [
                LinkAttribute::GsoMaxSize(196_608),
                LinkAttribute::GroMaxSize(196_608),
                LinkAttribute::GsoIpv4MaxSize(196_608),
                LinkAttribute::GroIpv4MaxSize(196_608),
            ] {
                assert!(attributes.contains(&size), "{name} lacks {size:?}");
            }
        }
    });
}

#[test]
fn an_end_that_cannot_be_settled_takes_the_pair_along() {
    Real::run(|world| {
        let container = world.container();
        let mut veth = endpoint("veth1", &container);
        veth.far.alias = Some("x".repeat(300)); // IFALIASZ is 256
        let refused = world.kernel().add_veth(&veth).unwrap_err();
        assert!(refused.to_string().starts_with("set device eth0"), "{refused}");
        assert_eq!(world.kernel().links().unwrap().len(), 1);
        assert_eq!(world.seen_from(&container).links().unwrap().len(), 1);
    });
}

#[test]
fn small_mtu_means_no_ipv6_and_is_no_error() {
    Real::run(|world| {
        let container = world.container();
        let mut network = network("nsw0", "sw-1");
        let mut veth = endpoint("veth1", &container);
        for end in [&mut network.near, &mut network.far, &mut veth.near, &mut veth.far] {
            end.mtu = 1000;
        }
        world.kernel().add_veth(&network).unwrap();
        world.kernel().add_veth(&veth).unwrap();
        world
            .kernel()
            .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
            .unwrap();
        assert_eq!(world.kernel().link("nsw0").unwrap().unwrap().mtu, 1000);
    });
}

#[test]
fn the_kernels_reason_is_passed_on() {
    Real::run(|world| {
        let container = world.container();
        let mut veth = endpoint("veth1", &container);
        veth.near.big_tcp = Some(1 << 30);
        let refused = world.kernel().add_veth(&veth).unwrap_err();
        let Error::System { what, source } = refused else {
            panic!("{refused}");
        };
        assert_eq!(what, "make pair veth1 and eth0 (too big gso_max_size)");
        assert_eq!(source.raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn an_announcement_is_one_frame_for_each_address() {
    Real::run(|world| {
        let container = world.container();
        let host = listen(&Namespace::Host);
        let kernel = world.kernel();
        kernel.add_veth(&endpoint("veth1", &container)).unwrap();
        kernel.set_up("veth1", true).unwrap();
        kernel
            .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
            .unwrap();
        kernel
            .announce(&container, "eth0", MAC, &[ip("10.9.0.2"), ip("fd00::2")])
            .unwrap();
        let heard = frames(&host, Duration::from_secs(5), 2);
        let kinds: Vec<_> = heard.iter().map(|frame| (&frame[..6], &frame[12..14])).collect();
        assert_eq!(
            kinds,
            [
                (&Mac::BROADCAST.0[..], &[0x08, 0x06][..]),
                (&[0x33, 0x33, 0, 0, 0, 1][..], &[0x86, 0xdd][..]),
            ]
        );
        assert_eq!(frames(&host, Duration::ZERO, 1), Vec::<Vec<u8>>::new());
    });
}

#[test]
fn no_socket_keeps_a_container_alive() {
    Real::run(|world| {
        let container = world.container();
        let kernel = world.kernel();
        kernel.add_veth(&endpoint("veth1", &container)).unwrap();
        kernel
            .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
            .unwrap();
        world.end_last_container();
        wait_for("the end of the pair", || {
            world.kernel().link("veth1").unwrap().is_none().then_some(())
        });
    });
}
