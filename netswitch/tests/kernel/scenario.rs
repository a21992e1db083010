//! The same story told to both kernels: what they answer must be the same.

use ipnetwork::IpNetwork;
use netswitch::kernel::{Error, Kernel, Namespace};

use crate::world::{GATEWAY_MAC, Imagined, MAC, Real, World, endpoint, interface, ip, net, network};

/// Runs each scenario on the real kernel and on the fake one.
macro_rules! on_both {
    ($($name:ident)*) => { $(
        mod $name {
            use super::{Imagined, Real};

            #[test]
            fn real() {
                Real::run(|world| super::$name(world));
            }

            #[test]
            fn fake() {
                Imagined::run(|world| super::$name(world));
            }
        }
    )* };
}

on_both! {
    a_pair_spans_two_namespaces
    a_taken_name_leaves_nothing
    a_missing_namespace_leaves_nothing
    a_number_that_is_another_processes_now_leads_nowhere
    deleting_what_is_gone_is_fine
    many_are_deleted_at_once
    asking_of_a_missing_device_is_refused
    down_flushes_neighbours
    an_interface_without_ipv6_takes_no_v6_address
    an_interface_with_both_families
    a_default_route_is_set_moved_and_removed
    a_default_route_needs_a_reachable_gateway
    a_gateway_end_is_routed_for_and_quiet
    settings_of_a_device_go_with_it
    dots_in_names
    an_address_is_added_once
    routes_are_the_networks_of_devices_that_are_up
    an_interface_that_is_down_announces_nothing
}

/// Names of the devices, and their addresses except generated link-local ones.
fn seen(kernel: &mut dyn Kernel) -> (Vec<String>, Vec<(String, IpNetwork)>) {
    let mut names: Vec<_> = kernel.links().unwrap().into_iter().map(|link| link.name).collect();
    names.sort();
    let mut addresses = kernel.addresses().unwrap();
    addresses.retain(|(_, address)| !matches!(address, IpNetwork::V6(v6) if v6.ip().is_unicast_link_local()));
    addresses.sort();
    (names, addresses)
}

fn errno(result: Result<(), Error>) -> i32 {
    match result {
        Err(Error::System { source, .. }) => source.raw_os_error().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn a_pair_spans_two_namespaces(world: &mut dyn World) {
    let container = world.container();
    world.kernel().add_veth(&endpoint("veth1", &container)).unwrap();
    let near = world.kernel().link("veth1").unwrap().unwrap();
    let far = world.seen_from(&container).link("eth0").unwrap().unwrap();
    assert_eq!(near.alias.as_deref(), Some("netswitch /test veth1"));
    assert_eq!(far.alias, None);
    assert_eq!((near.peer, far.peer), (Some(far.index), Some(near.index)));
    assert_eq!((near.kind.as_str(), near.mtu, near.up), ("veth", 1500, false));
    assert_eq!(far.mac, Some(MAC));
    assert!(!near.mac.unwrap().is_group());
    assert_eq!(seen(world.kernel()).0, ["lo", "veth1"]);
    world.kernel().delete_link("veth1").unwrap();
    assert_eq!(seen(world.kernel()).0, ["lo"]);
    assert_eq!(seen(&mut *world.seen_from(&container)).0, ["lo"]);
}

fn a_taken_name_leaves_nothing(world: &mut dyn World) {
    let container = world.container();
    world.kernel().add_veth(&endpoint("veth1", &container)).unwrap();
    let taken = |result| match result {
        Err(Error::Exists(name)) => name,
        other => panic!("{other:?}"),
    };
    let other = world.container();
    assert_eq!(taken(world.kernel().add_veth(&endpoint("veth1", &other))), "veth1");
    assert_eq!(taken(world.kernel().add_veth(&endpoint("veth2", &container))), "eth0");
    assert_eq!(seen(world.kernel()).0, ["lo", "veth1"]);
    assert_eq!(seen(&mut *world.seen_from(&other)).0, ["lo"]);
}

fn a_missing_namespace_leaves_nothing(world: &mut dyn World) {
    let gone = Namespace::Path("/nowhere/ns/net".into());
    if world.kernel().add_veth(&endpoint("veth1", &gone)).is_ok() {
        // the fake believes in every namespace that was not removed
        world.kernel().delete_link("veth1").unwrap();
    }
    assert_eq!(seen(world.kernel()).0, ["lo"]);
}

fn a_number_that_is_another_processes_now_leads_nowhere(world: &mut dyn World) {
    let (successor, former) = world.successor();
    let Namespace::Process { pid, .. } = former else {
        panic!("{former:?}");
    };
    world.kernel().add_veth(&endpoint("veth1", &successor)).unwrap();
    let forwarding = "net/ipv4/conf/eth0/forwarding";
    let state = |world: &mut dyn World| {
        let mut inside = world.seen_from(&successor);
        let setting = world.kernel().sysctl(&successor, forwarding).unwrap();
        (seen(&mut *inside), inside.link("eth0").unwrap(), setting)
    };
    let before = state(world);
    let kernel = world.kernel();
    for (call, result) in [
        ("add_veth", kernel.add_veth(&endpoint("veth2", &former))),
        ("set_up_loopback", kernel.set_up_loopback(&former)),
        ("add_address", kernel.add_address(&former, "eth0", net("10.9.0.2/16"))),
        (
            "set_neighbour",
            kernel.set_neighbour(&former, "eth0", ip("10.9.0.1"), GATEWAY_MAC),
        ),
        (
            "set_default_route",
            kernel.set_default_route(&former, "eth0", ip("10.9.0.1")),
        ),
        ("set_sysctl", kernel.set_sysctl(&former, forwarding, "1")),
        ("sysctl", kernel.sysctl(&former, forwarding).map(drop)),
        (
            "configure_interface",
            kernel.configure_interface(&interface(&former, &["10.9.0.2/16"], false)),
        ),
        ("receive_by_napi", kernel.receive_by_napi(&former, "eth0")),
        ("announce", kernel.announce(&former, "eth0", MAC, &[ip("10.9.0.2")])),
    ] {
        let expected = format!("no network namespace: process {pid} has ended");
        assert_eq!(result.unwrap_err().to_string(), expected, "{call}");
    }
    kernel.delete_default_route(&former, "eth0", ip("10.9.0.1")).unwrap();
    assert_eq!(seen(world.kernel()).0, ["lo", "veth1"]);
    assert_eq!(state(world), before);
}

fn deleting_what_is_gone_is_fine(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    kernel.delete_link("veth1").unwrap();
    kernel.delete_address("veth1", net("10.9.0.1/16")).unwrap();
    kernel.delete_neighbour("veth1", ip("10.9.0.2")).unwrap();
    kernel.delete_default_route(&container, "eth0", ip("10.9.0.1")).unwrap();
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    kernel.delete_address("nsw0", net("10.9.0.1/16")).unwrap();
    kernel.delete_address("nsw0", net("fd00::1/64")).unwrap();
    kernel.delete_neighbour("nsw0", ip("10.9.0.2")).unwrap();
    kernel.delete_neighbour("nsw0", ip("fd00::2")).unwrap();
    kernel
        .delete_default_route(&Namespace::Host, "nsw0", ip("10.9.0.9"))
        .unwrap();
    kernel
        .delete_default_route(&Namespace::Host, "nsw0", ip("fd00::9"))
        .unwrap();
}

fn many_are_deleted_at_once(world: &mut dyn World) {
    let kernel = world.kernel();
    for number in 1..4 {
        let veth = network(&format!("nsw{number}"), &format!("sw-{number}"));
        kernel.add_veth(&veth).unwrap();
    }
    let names = ["nsw1", "sw-1", "gone", "sw-3"].map(str::to_owned);
    kernel.delete_links(&names).unwrap();
    assert_eq!(seen(kernel).0, ["lo", "nsw2", "sw-2"]);
    kernel.delete_links(&names).unwrap();
    kernel.delete_links(&[]).unwrap();
    assert_eq!(seen(kernel).0, ["lo", "nsw2", "sw-2"]);
}

fn asking_of_a_missing_device_is_refused(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    assert_eq!(kernel.link("veth1").unwrap(), None);
    let results = [
        kernel.set_up("eth0", true),
        kernel.add_address(&Namespace::Host, "eth0", net("10.9.0.1/16")),
        kernel.add_address(&container, "eth0", net("10.9.0.1/16")),
        kernel.set_neighbour(&container, "eth0", ip("10.9.0.1"), MAC),
        kernel.neighbours("eth0").map(|_| ()),
        kernel.set_default_route(&container, "eth0", ip("10.9.0.1")),
        kernel.configure_interface(&interface(&container, &["10.9.0.2/16"], false)),
        kernel.announce(&container, "eth0", MAC, &[ip("10.9.0.2")]),
    ];
    for result in results {
        assert!(
            matches!(&result, Err(Error::NoDevice(name)) if name == "eth0"),
            "{result:?}"
        );
    }
    let path = "net/ipv4/conf/eth0/forwarding";
    assert_eq!(errno(kernel.set_sysctl(&container, path, "1")), libc::ENOENT);
    assert_eq!(errno(kernel.sysctl(&container, path).map(|_| ())), libc::ENOENT);
}

fn down_flushes_neighbours(world: &mut dyn World) {
    let kernel = world.kernel();
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    kernel
        .add_address(&Namespace::Host, "nsw0", net("10.9.0.1/16"))
        .unwrap();
    kernel.set_up("nsw0", true).unwrap();
    kernel.add_address(&Namespace::Host, "nsw0", net("fd00::1/64")).unwrap();
    let (v4, v6) = (ip("10.9.0.2"), ip("fd00::2"));
    for address in [v4, v6] {
        kernel
            .set_neighbour(&Namespace::Host, "nsw0", address, GATEWAY_MAC)
            .unwrap();
        kernel.set_neighbour(&Namespace::Host, "nsw0", address, MAC).unwrap();
    }
    let mut neighbours = kernel.neighbours("nsw0").unwrap();
    neighbours.sort();
    assert_eq!(neighbours, [(v4, MAC), (v6, MAC)]);
    assert_eq!(kernel.neighbours("sw-1").unwrap(), []);
    kernel.delete_neighbour("nsw0", v6).unwrap();
    assert_eq!(kernel.neighbours("nsw0").unwrap(), [(v4, MAC)]);
    kernel.set_up("nsw0", false).unwrap();
    assert_eq!(kernel.neighbours("nsw0").unwrap(), []);
    // IPv4 addresses stay
    assert_eq!(seen(kernel).1, [("nsw0".to_owned(), net("10.9.0.1/16"))]);
}

fn an_interface_without_ipv6_takes_no_v6_address(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    kernel.set_up_loopback(&container).unwrap();
    kernel.add_veth(&endpoint("veth1", &container)).unwrap();
    kernel
        .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
        .unwrap();
    assert_eq!(
        errno(kernel.add_address(&container, "eth0", net("fd00::2/64"))),
        libc::EACCES
    );
    let mut inside = world.seen_from(&container);
    assert!(inside.link("eth0").unwrap().unwrap().up);
    assert!(inside.link("lo").unwrap().unwrap().up);
    assert_eq!(inside.neighbours("eth0").unwrap(), [(ip("10.9.0.1"), GATEWAY_MAC)]);
    assert_eq!(
        seen(&mut *inside).1,
        [
            ("eth0".to_owned(), net("10.9.0.2/16")),
            ("lo".to_owned(), net("127.0.0.1/8")),
        ]
    );
}

fn an_interface_with_both_families(world: &mut dyn World) {
    let container = world.container();
    let mut wanted = interface(&container, &["10.9.0.2/16", "fd00::2/64"], true);
    wanted.neighbours.push((ip("fd00::1"), GATEWAY_MAC));
    world.kernel().set_up_loopback(&container).unwrap();
    world.kernel().add_veth(&endpoint("veth1", &container)).unwrap();
    world.kernel().configure_interface(&wanted).unwrap();
    // again, as after a restart
    world.kernel().configure_interface(&wanted).unwrap();
    let mut inside = world.seen_from(&container);
    let mut neighbours = inside.neighbours("eth0").unwrap();
    neighbours.sort();
    assert_eq!(
        neighbours,
        [(ip("10.9.0.1"), GATEWAY_MAC), (ip("fd00::1"), GATEWAY_MAC)]
    );
    assert_eq!(
        seen(&mut *inside).1,
        [
            ("eth0".to_owned(), net("10.9.0.2/16")),
            ("eth0".to_owned(), net("fd00::2/64")),
            ("lo".to_owned(), net("127.0.0.1/8")),
            ("lo".to_owned(), net("::1/128")),
        ]
    );
}

fn a_default_route_is_set_moved_and_removed(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    kernel.add_veth(&endpoint("veth1", &container)).unwrap();
    kernel
        .configure_interface(&interface(&container, &["10.9.0.2/16", "fd00::2/64"], true))
        .unwrap();
    for (first, second) in [("10.9.0.1", "10.9.0.3"), ("fd00::1", "fd00::3")] {
        kernel.set_default_route(&container, "eth0", ip(first)).unwrap();
        kernel.set_default_route(&container, "eth0", ip(second)).unwrap();
        // the first is gone already, the second is what there is
        kernel.delete_default_route(&container, "eth0", ip(first)).unwrap();
        kernel.delete_default_route(&container, "eth0", ip(second)).unwrap();
        kernel.delete_default_route(&container, "eth0", ip(second)).unwrap();
    }
}

fn a_default_route_needs_a_reachable_gateway(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    kernel.add_veth(&endpoint("veth1", &container)).unwrap();
    for (gateway, refusal) in [("10.9.0.1", libc::ENETUNREACH), ("fd00::1", libc::EHOSTUNREACH)] {
        assert_eq!(
            errno(kernel.set_default_route(&container, "eth0", ip(gateway))),
            refusal
        );
    }
    kernel
        .configure_interface(&interface(&container, &["10.9.0.2/16", "fd00::2/64"], true))
        .unwrap();
    assert_eq!(
        errno(kernel.set_default_route(&container, "eth0", ip("10.8.0.1"))),
        libc::ENETUNREACH
    );
    assert_eq!(
        errno(kernel.set_default_route(&container, "eth0", ip("fd01::1"))),
        libc::EHOSTUNREACH
    );
}

fn a_gateway_end_is_routed_for_and_quiet(world: &mut dyn World) {
    let kernel = world.kernel();
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    let mut value = |path: &str| kernel.sysctl(&Namespace::Host, path).unwrap();
    assert_eq!(value("net/ipv4/conf/nsw0/forwarding"), "1");
    assert_eq!(value("net/ipv4/conf/sw-1/forwarding"), "0");
    assert_eq!(value("net/ipv6/conf/nsw0/forwarding"), "1");
    for key in ["accept_ra", "accept_dad", "dad_transmits", "router_solicitations"] {
        assert_eq!(value(&format!("net/ipv6/conf/nsw0/{key}")), "0", "{key}");
    }
    for name in ["sw-1", "nsw0"] {
        kernel.set_up(name, true).unwrap();
    }
    // its link-local address is given, not generated
    assert_eq!(kernel.addresses().unwrap(), []);
    let link_local = IpNetwork::new(GATEWAY_MAC.link_local().into(), 64).unwrap();
    kernel.add_address(&Namespace::Host, "nsw0", link_local).unwrap();
    assert_eq!(kernel.addresses().unwrap(), [("nsw0".to_owned(), link_local)]);
}

fn settings_of_a_device_go_with_it(world: &mut dyn World) {
    let kernel = world.kernel();
    let path = "net/ipv4/conf/nsw0/forwarding";
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    kernel.set_sysctl(&Namespace::Host, path, "0").unwrap();
    assert_eq!(kernel.sysctl(&Namespace::Host, path).unwrap(), "0");
    kernel.delete_link("sw-1").unwrap();
    assert_eq!(errno(kernel.sysctl(&Namespace::Host, path).map(|_| ())), libc::ENOENT);
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    assert_eq!(kernel.sysctl(&Namespace::Host, path).unwrap(), "1");
}

fn dots_in_names(world: &mut dyn World) {
    let kernel = world.kernel();
    kernel.add_veth(&network("br-x.1", "sw-x.1")).unwrap();
    let path = "net/ipv4/conf/br-x.1/forwarding";
    assert_eq!(kernel.sysctl(&Namespace::Host, path).unwrap(), "1");
}

fn an_address_is_added_once(world: &mut dyn World) {
    let kernel = world.kernel();
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    for address in [net("10.9.0.1/16"), net("fd00::1/64")] {
        kernel.add_address(&Namespace::Host, "nsw0", address).unwrap();
        let again = kernel.add_address(&Namespace::Host, "nsw0", address);
        assert_eq!(errno(again), libc::EEXIST);
        kernel.delete_address("nsw0", address).unwrap();
        assert_eq!(kernel.addresses().unwrap(), []);
    }
}

fn routes_are_the_networks_of_devices_that_are_up(world: &mut dyn World) {
    let destinations = |kernel: &mut dyn Kernel| -> Vec<IpNetwork> {
        let routes = kernel.routes().unwrap();
        assert!(routes.iter().all(|route| !route.by_gateway), "{routes:?}");
        routes.iter().map(|route| route.destination).collect()
    };
    let kernel = world.kernel();
    kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
    kernel
        .add_address(&Namespace::Host, "nsw0", net("10.9.0.1/16"))
        .unwrap();
    assert_eq!(kernel.routes().unwrap(), []);
    kernel.set_up("sw-1", true).unwrap();
    kernel.set_up("nsw0", true).unwrap();
    kernel.add_address(&Namespace::Host, "nsw0", net("fd00::1/64")).unwrap();
    kernel.add_address(&Namespace::Host, "nsw0", net("fe80::1/64")).unwrap();
    kernel
        .set_default_route(&Namespace::Host, "nsw0", ip("10.9.0.9"))
        .unwrap();
    assert_eq!(destinations(kernel), [net("10.9.0.0/16"), net("fd00::/64")]);
}

fn an_interface_that_is_down_announces_nothing(world: &mut dyn World) {
    let container = world.container();
    let kernel = world.kernel();
    let addresses = [ip("10.9.0.2"), ip("fd00::2")];
    kernel.add_veth(&endpoint("veth1", &container)).unwrap();
    assert_eq!(
        errno(kernel.announce(&container, "eth0", MAC, &addresses)),
        libc::ENETDOWN
    );
    kernel
        .configure_interface(&interface(&container, &["10.9.0.2/16"], false))
        .unwrap();
    kernel.announce(&container, "eth0", MAC, &addresses).unwrap();
}
