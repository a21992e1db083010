//! Where there is no way, the sender is told at once, as a router tells it (RFC 1812, 4.3.3.1; RFC 4443, 3.1).

use std::io;

use tests::world::{Dial, LAN, Namespace, World, eventually};

use super::{FAMILIES, drops_reach, dual};

const GOALS: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];

/// A host on a LAN, and the inside of a container `one` on its network `dual`.
fn one() -> (World, Namespace) {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let inside = world.inside("one");
    (world, inside)
}

/// Polls until a connection fails with one of these errors. A socket that is busy with `connect` when the answer comes
/// hears it at its next segment, a second later.
#[track_caller]
pub fn fails(client: &Namespace, to: &str, expected: &[i32]) {
    let dial = Dial::tcp(to, 80);
    eventually("it is told", || match dial.ask(client) {
        Err(error) if error.raw_os_error().is_some_and(|number| expected.contains(&number)) => Ok(()),
        other => Err(format!("{dial:?}: {other:?}")),
    });
}

#[test]
fn routes_that_refuse_say_so() {
    let (world, inside) = one();
    // the reason that is counted, and the errors by family: `icmp_err_convert` and `icmpv6_err_convert` in the kernel
    let kinds = [
        ("", "no-route", [libc::ENETUNREACH, libc::ENETUNREACH]),
        ("unreachable", "unreachable", [libc::EHOSTUNREACH, libc::ENETUNREACH]),
        ("prohibit", "prohibited", [libc::EHOSTUNREACH, libc::EACCES]),
    ];
    for (kind, reason, errors) in kinds {
        for (family, option) in FAMILIES.into_iter().enumerate() {
            let route = |what: &str| {
                if !kind.is_empty() {
                    let goal = GOALS[family];
                    world.host.sh(&format!("ip {option} route {what} {kind} {goal}")).ok();
                }
            };
            let before = world.drops("one", "dual", reason);
            route("add");
            fails(&inside, GOALS[family], &[errors[family]]);
            let said = world.exec("one", &["ping", "-c1", "-W5", GOALS[family]]).stdout;
            assert!(
                ["nreachable", "filtered", "prohibited"]
                    .iter()
                    .any(|word| said.contains(word)),
                "{said}"
            );
            drops_reach(&world, "one", "dual", reason, before + 2);
            route("del");
        }
    }
}

#[test]
fn a_blackhole_is_silent() {
    let (world, inside) = one();
    for (option, goal) in FAMILIES.into_iter().zip(GOALS) {
        world.host.sh(&format!("ip {option} route add blackhole {goal}")).ok();
        let before = world.drops("one", "dual", "blackhole");
        let kind = Dial::udp(goal, 80).connected().unanswered(&inside);
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        assert!(world.drops("one", "dual", "blackhole") > before);
    }
}

/// What is behind an uplink that goes down.
#[test]
fn an_uplink_that_is_down_is_told() {
    let (world, inside) = one();
    for lan in LAN {
        assert_eq!(Dial::tcp(lan, 80).unanswered(&inside), io::ErrorKind::ConnectionRefused);
    }
    world.host.sh("ip link set up0 down").ok();
    for lan in LAN {
        fails(&inside, lan, &[libc::ENETUNREACH, libc::EHOSTUNREACH]);
    }
}

/// The sender's neighbour table still has the MAC of a container that is gone.
#[test]
fn a_neighbour_that_is_gone_is_told() {
    let (world, inside) = one();
    world.run("two", &["--net", "dual"]);
    let two = [
        world.address("two", "dual").to_string(),
        world.field("two", "dual", "GlobalIPv6Address"),
    ];
    for to in &two {
        // nobody listens there, but its MAC is known now
        assert_eq!(Dial::tcp(to, 80).unanswered(&inside), io::ErrorKind::ConnectionRefused);
        let mac = world.mac("two", "dual");
        inside
            .sh(&format!("ip neigh replace {to} lladdr {mac} dev eth0 nud permanent"))
            .ok();
    }
    world.ok(&["rm", "-f", "two"]);
    for to in &two {
        fails(&inside, to, &[libc::EHOSTUNREACH]);
    }
}

/// Nobody on the LAN has the address: the kernel's neighbour table asks three times, a second apart.
#[test]
fn a_next_hop_that_does_not_answer_is_told() {
    let (_world, inside) = one();
    let clients = ["192.168.56.7", "2001:db8:56::7"].map(|nobody| {
        let inside = &inside;
        move || fails(inside, nobody, &[libc::EHOSTUNREACH])
    });
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(client);
        }
    });
}
