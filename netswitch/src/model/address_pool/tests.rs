//! Subnets as text, free addresses, automatic subnets and requests.

use std::collections::{BTreeMap, BTreeSet};

use super::{automatic::candidates, *};
use crate::model::testing::World;

fn pool(subnet: &str, ip_range: Option<&str>, gateway: &str) -> Pool {
    Pool {
        subnet: subnet.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        chosen: true,
        shows_gateway: true,
        ip_range: ip_range.map(|range| range.parse().unwrap()),
        auxiliary: BTreeMap::new(),
        last: None,
    }
}

#[test]
fn only_an_address_and_a_prefix_length_make_a_cidr() {
    for good in ["10.0.0.0/8", "10.1.2.3/16", "0.0.0.0/0", "::/0", "fd00::1/64"] {
        assert_eq!(parse_cidr(good).unwrap().to_string(), good);
    }
    for bad in [
        "",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/+8",
        "::/129",
        "x/8",
        "::ffff:10.0.0.0/112",
    ] {
        assert_eq!(parse_cidr(bad), None, "{bad}");
    }
    assert_eq!(subnet_of(parse_cidr("10.1.2.3/16").unwrap()).to_string(), "10.1.0.0/16");
}

#[test]
fn a_subnet_of_other_meaning_is_refused() {
    for good in [
        "10.0.0.0/8",
        "126.0.0.0/8",
        "169.254.0.0/16",
        "240.0.0.0/8",
        "fd00::/8",
        "2001:db8::/32",
    ] {
        assert_eq!(check_subnet(good.parse().unwrap()), Ok(()));
    }
    for (bad, name) in [
        ("0.0.0.0/0", "unspecified addresses 0.0.0.0/8"),
        ("0.1.0.0/16", "unspecified addresses 0.0.0.0/8"),
        ("127.0.0.0/8", "loopback addresses 127.0.0.0/8"),
        ("127.5.0.0/16", "loopback addresses 127.0.0.0/8"),
        ("64.0.0.0/2", "loopback addresses 127.0.0.0/8"),
        ("224.0.0.0/4", "multicast addresses 224.0.0.0/4"),
        ("239.1.0.0/16", "multicast addresses 224.0.0.0/4"),
        ("::/0", "unspecified and loopback addresses ::/127"),
        ("::1/128", "unspecified and loopback addresses ::/127"),
        ("::fffe:0:0/95", "IPv4-mapped addresses ::ffff:0.0.0.0/96"),
        ("fe80::/10", "link-local addresses fe80::/10"),
        ("fe80::/64", "link-local addresses fe80::/10"),
        ("ff00::/8", "multicast addresses ff00::/8"),
    ] {
        let subnet: IpNetwork = bad.parse().unwrap();
        assert_eq!(
            check_subnet(subnet).unwrap_err().message,
            format!("invalid subnet {subnet}: it overlaps the {name}")
        );
    }
}

#[test]
fn addresses_come_in_order_and_freed_ones_last() {
    let mut pool = pool("10.0.0.0/29", None, "10.0.0.1");
    pool.auxiliary.insert("router".into(), "10.0.0.4".parse().unwrap());
    let mut taken = BTreeSet::new();
    let take = |taken: &mut BTreeSet<IpAddr>, pool: &mut Pool| {
        let address = next(pool, |address| taken.contains(&address))?;
        assert!(taken.insert(address));
        pool.last = Some(address);
        Some(address.to_string())
    };
    assert_eq!(take(&mut taken, &mut pool).unwrap(), "10.0.0.2");
    assert_eq!(take(&mut taken, &mut pool).unwrap(), "10.0.0.3");
    taken.remove(&"10.0.0.2".parse().unwrap());
    assert_eq!(take(&mut taken, &mut pool).unwrap(), "10.0.0.5");
    assert_eq!(take(&mut taken, &mut pool).unwrap(), "10.0.0.6");
    assert_eq!(take(&mut taken, &mut pool).unwrap(), "10.0.0.2");
    assert_eq!(take(&mut taken, &mut pool), None);
}

#[test]
fn every_pool_gives_each_usable_address_once() {
    for (subnet, range, gateway, expected) in [
        ("10.0.0.0/24", None, "10.0.0.1", 253),
        ("10.0.0.0/24", None, "10.0.0.254", 253),
        ("10.0.0.0/24", Some("10.0.0.0/26"), "10.0.0.200", 63),
        ("10.0.0.0/24", Some("10.0.0.192/26"), "10.0.0.1", 63),
        ("10.0.0.0/24", Some("10.0.0.64/26"), "10.0.0.64", 63),
        ("10.0.0.0/30", None, "10.0.0.1", 1),
        ("10.0.0.0/31", None, "10.0.0.1", 0),
        ("10.0.0.1/32", None, "10.0.0.1", 0),
        ("255.255.255.252/30", None, "255.255.255.253", 1),
        ("fd00::/120", None, "fd00::1", 254),
        ("fd00::/127", None, "fd00::1", 0),
        ("fd00::1/128", None, "fd00::1", 0),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120",
            None,
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff01",
            254,
        ),
    ] {
        let mut pool = pool(subnet, range, gateway);
        for last in [
            None,
            Some(pool.gateway),
            Some(pool.subnet.broadcast()),
            Some("1.2.3.4".parse().unwrap()),
        ] {
            pool.last = last;
            let mut taken = BTreeSet::new();
            while let Some(address) = next(&pool, |address| taken.contains(&address)) {
                assert!(
                    pool.subnet.contains(address) && address != pool.gateway,
                    "{subnet}: {address}"
                );
                assert!(
                    pool.ip_range.is_none_or(|range| range.contains(address)),
                    "{subnet}: {address}"
                );
                taken.insert(address);
                pool.last = Some(address);
            }
            assert_eq!(taken.len(), expected, "{subnet} {range:?} {last:?}");
        }
    }
}

#[test]
fn large_pools_do_not_overflow() {
    for (subnet, gateway, expected) in [
        ("fd00::/64", "fd00::1", "fd00::2"),
        ("::/0", "::1", "::2"),
        ("0.0.0.0/0", "0.0.0.1", "0.0.0.2"),
    ] {
        assert_eq!(
            next(&pool(subnet, None, gateway), |_| false).unwrap().to_string(),
            expected
        );
    }
    let mut last = pool("fd00::/64", None, "fd00::1");
    last.last = Some("fd00::ffff:ffff:ffff:ffff".parse().unwrap());
    assert_eq!(next(&last, |_| false).unwrap().to_string(), "fd00::2");
}

#[test]
fn a_requested_address_is_judged() {
    let pool = pool("10.0.0.0/24", Some("10.0.0.64/26"), "10.0.0.1");
    let judge = |address: &str, taken| check_requested(&pool, address.parse().unwrap(), taken);
    assert_eq!(judge("10.0.0.9", false), Ok(())); // outside the range is allowed
    for address in ["10.0.0.0", "10.0.0.1", "10.0.0.255"] {
        assert_eq!(judge(address, false), Err(Error::forbidden("Address already in use")));
    }
    assert_eq!(judge("10.0.0.9", true), Err(Error::forbidden("Address already in use")));
    let message = "Invalid address 10.0.1.9: It does not belong to any of this network's subnets";
    assert_eq!(judge("10.0.1.9", false), Err(Error::bad_request(message)));
}

#[test]
fn there_are_dockers_31_pools_and_many_more() {
    let all: Vec<String> = candidates().map(|subnet| subnet.to_string()).collect();
    assert_eq!(all.len(), 31 + 2048);
    assert_eq!((all[0].as_str(), all[14].as_str()), ("172.17.0.0/16", "172.31.0.0/16"));
    assert_eq!(
        (all[15].as_str(), all[30].as_str()),
        ("192.168.0.0/20", "192.168.240.0/20")
    );
    assert_eq!(
        (all[31].as_str(), all[2078].as_str()),
        ("10.200.0.0/24", "10.207.255.0/24")
    );
}

#[test]
fn automatic_pools_keep_clear_of_routes_and_of_each_other() {
    let mut world = World::new();
    world.routes = ["172.18.0.0/15", "172.20.5.0/24", "172.16.0.0/32"]
        .map(|route| route.parse().unwrap())
        .into();
    for number in 0..60 {
        world.network6(&format!("net{number}"), &[]);
    }
    let pools: Vec<IpNetwork> = world
        .state
        .networks
        .values()
        .flat_map(|network| &network.pools)
        .map(|pool| pool.subnet)
        .collect();
    assert_eq!(pools.len(), 121);
    for (at, one) in pools.iter().enumerate() {
        assert!(!world.routes.iter().any(|route| overlap(*route, *one)), "{one}");
        assert!(!pools[..at].iter().any(|other| overlap(*other, *one)), "{one}");
    }
    let six = world.state.network("net7").unwrap();
    let pool = six.pool_v6().unwrap();
    assert_eq!(pool.subnet.prefix(), 64);
    assert!(pool.subnet.to_string().starts_with(&format!("fd{}", &six.id.0[..2])));
    assert_eq!(pool.gateway, next_of(pool.subnet.network()));
}

fn next_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) + 1).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) + 1).into(),
    }
}

#[test]
fn when_all_pools_are_taken_the_user_hears_of_it() {
    let mut world = World::new();
    world.routes = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8", "fd00::/8"]
        .map(|route| route.parse().unwrap())
        .into();
    let message = |error: Error| error.message;
    assert_eq!(
        world
            .make(&World::asked_network("four", &[]))
            .map_err(message)
            .unwrap_err(),
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    );
    let mut asked = World::asked_network("six", &["10.1.0.0/24"]);
    asked.enable_ipv6 = true;
    assert_eq!(
        world.make(&asked).map_err(message).unwrap_err(),
        "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the network"
    );
}

#[test]
fn routes_by_a_gateway_do_not_exhaust_the_pools() {
    let halves = ["0.0.0.0/1", "128.0.0.0/1"];
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let parts = ["::/3", "2000::/4", "3000::/4", "fc00::/7"];
    // what leads to a gateway, what is on a link, and the subnet that is picked
    let rows: [(&[&str], &[&str], &str); 13] = [
        (&[], &[], "172.17.0.0/16"),
        (&halves, &[], "172.17.0.0/16"),
        (&[], &halves, "172.17.0.0/16"),
        (&private, &[], "10.200.0.0/24"),
        (&halves, &["172.17.0.0/16"], "172.18.0.0/16"),
        (&["0.0.0.0/1", "128.0.0.0/1", "172.16.0.0/13"], &[], "172.24.0.0/16"),
        (&["172.17.0.0/16"], &[], "172.18.0.0/16"),
        (&["172.16.0.0/12"], &["192.168.0.0/16"], "10.200.0.0/24"),
        (&["172.16.0.0/12"], &["192.168.0.0/16", "10.0.0.0/8"], "172.17.0.0/16"),
        (
            &["172.16.0.0/12", "172.17.3.0/24"],
            &["192.168.0.0/16", "10.0.0.0/8"],
            "172.18.0.0/16",
        ),
        (&parts, &[], "fd"),
        (&[], &parts, "fd"),
        (&["::/1", "8000::/1"], &["2001:db8::/32"], "fd"),
    ];
    for (by_gateway, on_link, expected) in rows {
        let parse = |texts: &[&str]| -> Vec<IpNetwork> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let mut world = World::empty();
        world.routes_by_gateway = parse(by_gateway);
        world.routes = parse(on_link);
        let facts = world.facts();
        let picked = if expected == "fd" {
            let id = crate::model::Id("0123456789abcdef".repeat(4));
            automatic::pick_v6(&world.state, &facts, &id)
        } else {
            automatic::pick_v4(&world.state, &facts)
        };
        let picked = picked.map(|subnet| subnet.to_string()).unwrap_or_default();
        assert!(picked.starts_with(expected), "{by_gateway:?} {on_link:?}: {picked}");
    }
}
