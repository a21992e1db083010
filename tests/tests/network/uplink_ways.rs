//! Ways of routing: every cell of docs/uplinks.md holds for what a rule or a route leads over a second uplink, and each
//! selector takes from containers what it takes from those behind a plain Linux router.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::site::{CELLS, CONTAINERS, FAMILIES, Gate, Kind, SUBNET, Site, Uplink};
use tests::world::{Dial, Namespace, Service, Transport, within};

use super::{address, at_once};

/// The second uplink's table.
const TABLE: &str = "77";
/// Behind both uplinks.
const ANYWHERE: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];

/// Lines for each family. FIRST and SECOND are the ways over the uplinks, ONE the container, SUBNET its network,
/// EVERYTHING the halves of the world.
struct Way {
    name: &'static str,
    lines: &'static [&'static str],
}

const WAYS: [Way; 9] = [
    way("default route", &["ip F route add default SECOND"]),
    way(
        "default routes by metric",
        &[
            "ip F route add default FIRST metric 2000",
            "ip F route add default SECOND metric 100",
        ],
    ),
    way(
        "halves of the world before the default",
        &[
            "ip F route add default FIRST",
            "ip F route add HALF SECOND",
            "ip F route add OTHER SECOND",
        ],
    ),
    way(
        "from the subnet",
        &[
            "ip F route add default FIRST",
            "ip F rule add pref 100 from SUBNET lookup 77",
        ],
    ),
    way(
        "from the container",
        &[
            "ip F route add default FIRST",
            "ip F rule add pref 100 from ONE lookup 77",
        ],
    ),
    way(
        "by the device",
        &[
            "ip F route add default FIRST",
            "ip F rule add pref 100 iif br-dual lookup 77",
        ],
    ),
    way(
        "by protocol",
        &[
            "ip F route add default FIRST",
            "ip F rule add pref 100 from SUBNET ipproto tcp lookup 77",
            "ip F rule add pref 100 from SUBNET ipproto udp lookup 77",
            "ip F rule add pref 100 from SUBNET ipproto ICMP lookup 77",
        ],
    ),
    way(
        "as wg-quick sets it up",
        &[
            "ip F route add default FIRST",
            "ip F rule add pref 101 not fwmark 51820 lookup 77",
            "ip F rule add pref 100 lookup main suppress_prefixlength 0",
        ],
    ),
    way(
        "a table that throws most",
        &[
            "ip F route add default SECOND",
            "ip F route add throw default table 78",
            "ip F rule add pref 100 from SUBNET lookup 78",
        ],
    ),
];

const fn way(name: &'static str, lines: &'static [&'static str]) -> Way {
    Way { name, lines }
}

/// Fills in what a line leaves open.
fn filled(line: &str, uplinks: &[Uplink], family: usize) -> String {
    let icmp = ["icmp", "ipv6-icmp"][family];
    let [half, other] = [["0.0.0.0/1", "128.0.0.0/1"], ["::/1", "8000::/1"]][family];
    line.replace(" F ", &format!(" {} ", FAMILIES[family]))
        .replace("FIRST", &uplinks[0].way(family))
        .replace("SECOND", &uplinks[1].way(family))
        .replace("SUBNET", SUBNET[family])
        .replace("ONE", CONTAINERS[0][family])
        .replace("ICMP", icmp)
        .replace("HALF", half)
        .replace("OTHER", other)
}

/// A host with two uplinks, the second of which has table 77.
fn site(gate: &Gate, lines: &[&str]) -> Site {
    let kinds = match gate {
        Gate::Switch(["--uplink-mode", "stack"]) => [Kind::Veth, Kind::Veth],
        _ => [Kind::Veth, Kind::Tun],
    };
    Site::new(gate, &kinds, |host, uplinks| {
        for family in [0, 1] {
            let table = format!("ip F route add default SECOND table {TABLE}");
            // what goes back to containers is nobody's rule's
            let back = "ip F rule add pref 10 to SUBNET lookup main";
            for line in [&[table.as_str(), back], lines].concat() {
                host.sh(&filled(line, uplinks, family)).ok();
            }
        }
    })
}

#[track_caller]
fn all_hold(gate: &Gate, ways: &[Way]) {
    let failures = ways.iter().flat_map(|way| {
        let site = site(gate, way.lines);
        let failures = site.failures(&site.uplinks[1], &CELLS).into_iter();
        failures
            .map(|failure| format!("{}: {failure}", way.name))
            .collect::<Vec<_>>()
    });
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The test's own world is right.
#[test]
fn a_plain_router_follows_every_way() {
    all_hold(&Gate::Router, &WAYS);
}

#[test]
fn every_way_is_followed() {
    all_hold(&Gate::Switch(&[]), &WAYS);
}

#[test]
fn every_way_is_followed_beside_xdp() {
    all_hold(&Gate::Switch(&["--uplink-mode", "xdp"]), &WAYS[3..6]);
}

#[test]
fn every_way_is_followed_by_the_stack() {
    all_hold(&Gate::Switch(&["--uplink-mode", "stack"]), &WAYS);
}

/// Selectors of rules, each of which takes a part of what the containers send.
const SELECTORS: [&str; 10] = [
    "from SUBNET",
    "from ONE",
    "from ONE to ANYWHERE",
    "iif br-dual",
    "ipproto udp",
    "from SUBNET ipproto tcp dport 8",
    "dport 7-7",
    "ipproto udp sport 4444",
    "from SUBNET tos 0x10",
    "iif br-dual ipproto tcp sport 4000-5000",
];

/// Who answers each question that the containers ask.
type Answers = BTreeMap<String, String>;

/// Asks by every combination of what selectors look at.
fn answers(site: &Site, family: usize, source: u16) -> Answers {
    let mut answers = Answers::new();
    for (name, container) in [("one", site.gateway.one()), ("two", site.gateway.two())] {
        for transport in Transport::BOTH {
            for (port, from, service) in [(7, 0, 0), (8, 0, 0), (7, source, 0), (7, 0, 0x10), (8, source, 0x10)] {
                let dial = Dial::new(transport, (address(ANYWHERE[family]), port).into()).of_service(service);
                let dial = match from {
                    0 => dial,
                    _ => dial.from(["0.0.0.0", "::"][family], from),
                };
                let said = ask(dial, container);
                let question = format!("IPv{} {name} {transport:?} {from}->{port} {service:#x}", [4, 6][family]);
                answers.insert(question, said);
            }
        }
    }
    answers
}

fn ask(dial: Dial, container: &Namespace) -> String {
    match dial.ask_shortly(container) {
        Ok(answer) => format!("{} sees {}", answer.name, answer.client.ip()),
        Err(error) => error.to_string(),
    }
}

/// `ANYWHERE` behind both uplinks.
fn everywhere(site: &Site) -> Vec<Service> {
    let mut services = Vec::new();
    for uplink in &site.uplinks {
        for (family, anywhere) in FAMILIES.into_iter().zip(ANYWHERE) {
            let nodad = if family == "-6" { "nodad" } else { "" };
            let line = format!("ip {family} addr add {anywhere} dev lo {nodad}");
            uplink.machine.sh(&line).ok();
            for transport in Transport::BOTH {
                for port in [7, 8] {
                    let at = (address(anywhere), port).into();
                    services.push(Service::at(&uplink.machine, transport, at, &uplink.device));
                }
            }
        }
    }
    services
}

/// What each selector takes behind a gate, both families.
fn by_selector(
    gate: &Gate,
    selectors: &[&str],
    expected: Option<&BTreeMap<String, Answers>>,
) -> BTreeMap<String, Answers> {
    let site = site(gate, &["ip F route add default FIRST"]);
    let _services = everywhere(&site);
    let mut all = BTreeMap::new();
    for (number, selector) in (6000..).zip(selectors) {
        // a flow of the rule before is none of this one's
        let source = match *selector {
            selector if selector.contains("sport 4444") => 4444,
            selector if selector.contains("sport") => 4500,
            _ => number,
        };
        for family in [0, 1] {
            let rule = |what: &str| {
                let line = format!("ip F rule {what} pref 100 {selector} lookup {TABLE}")
                    .replace("ANYWHERE", ANYWHERE[family]);
                site.host().sh(&filled(&line, &site.uplinks, family)).ok();
            };
            let name = format!("IPv{} {selector}", [4, 6][family]);
            rule("add");
            // a rule may take a moment to be heard of
            let wanted = expected.map(|expected| &expected[&name]);
            let mut seen = Answers::new();
            let _ = within(Duration::from_secs(10), || {
                seen = answers(&site, family, source);
                if wanted.is_none_or(|wanted| *wanted == seen) {
                    Ok(())
                } else {
                    Err(String::new())
                }
            });
            rule("del");
            all.insert(name, seen);
        }
    }
    all
}

#[track_caller]
fn selectors_take_the_same(selectors: &[&str], arguments: &[&str]) {
    let expected = by_selector(&Gate::Router, selectors, None);
    for (selector, answers) in &expected {
        let takes = answers.values().any(|answer| answer.starts_with("up1"));
        assert!(takes, "the test's own world is wrong: {selector}: {answers:#?}");
    }
    let seen = by_selector(&Gate::Switch(arguments), selectors, Some(&expected));
    let mut wrong = Vec::new();
    for (selector, answers) in &expected {
        for (question, answer) in answers {
            let instead = &seen[selector][question];
            if instead != answer {
                wrong.push(format!("rule {selector}: {question}: {instead}, not {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn selectors_take_what_a_router_takes() {
    selectors_take_the_same(&SELECTORS, &[]);
}

#[test]
fn selectors_take_what_a_router_takes_by_the_stack() {
    selectors_take_the_same(&SELECTORS[..5], &["--uplink-mode", "stack"]);
}

/// A datagram socket's flow goes where a rule leads it from now on, with the address that belongs there.
#[test]
fn an_open_flow_follows_a_rule_and_comes_back() {
    let mut wrong = Vec::new();
    for gate in [
        Gate::Router,
        Gate::Switch(&[]),
        Gate::Switch(&["--uplink-mode", "stack"]),
    ] {
        let site = site(&gate, &["ip F route add default FIRST"]);
        let _services = everywhere(&site);
        let name = match gate {
            Gate::Router => "router",
            Gate::Switch(arguments) => arguments.last().unwrap_or(&"tcx"),
        };
        for family in [0, 1] {
            let dial = Dial::new(Transport::Udp, (address(ANYWHERE[family]), 7).into());
            let dial = dial.from(["0.0.0.0", "::"][family], 4444);
            for (step, number) in [("", 0), ("add", 1), ("del", 0)] {
                if !step.is_empty() {
                    let rule = format!("ip F rule {step} pref 100 from SUBNET lookup {TABLE}");
                    site.host().sh(&filled(&rule, &site.uplinks, family)).ok();
                }
                let uplink = &site.uplinks[number];
                let wanted = format!("{} sees {}", uplink.device, uplink.host[family]);
                let moved = within(Duration::from_secs(10), || match ask(dial, site.gateway.one()) {
                    said if said == wanted => Ok(()),
                    said => Err(said),
                });
                if let Err(said) = moved {
                    wrong.push(format!(
                        "{name}, IPv{}, after {step:?}: {said}, not {wanted}",
                        [4, 6][family]
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A route's own source is what the world sees. (Linux's MASQUERADE does not look at it.)
#[test]
fn the_source_that_a_route_names_is_shown() {
    let elsewhere = ["198.51.100.77", "2001:db8:51::77"];
    let site = Site::new(&Gate::Switch(&[]), &[Kind::Unnumbered], |host, uplinks| {
        for (family, option) in FAMILIES.into_iter().enumerate() {
            let (uplink, source) = (&uplinks[0], elsewhere[family]);
            host.sh(&format!("ip {option} addr add {source} dev lo{}", at_once(option)))
                .ok();
            for prefix in uplink.beyond(family) {
                let way = uplink.way(family).replace(&uplink.host[family], source);
                host.sh(&format!("ip {option} route add {prefix} {way}")).ok();
            }
            let back = ["dev up0", "via fe80::99 dev up0"][family];
            let line = format!("ip {option} route add {source} {back}");
            uplink.machine.sh(&line).ok();
        }
    });
    for transport in Transport::BOTH {
        for (target, source) in site.uplinks[0].target.iter().zip(elsewhere) {
            let dial = Dial::new(transport, (address(target), 7).into());
            assert_eq!(
                dial.answered(site.gateway.one()).client.ip(),
                address(source),
                "{dial:?}"
            );
        }
    }
}

/// Marks come from the host's own firewall, which sees containers' packets in stack mode.
#[test]
fn marks_of_the_firewall_are_followed_by_the_stack() {
    for gate in [Gate::Router, Gate::Switch(&["--uplink-mode", "stack"])] {
        let site = site(
            &gate,
            &[
                "ip F route add default FIRST",
                "ip F rule add pref 100 fwmark 0x7 lookup 77",
            ],
        );
        let _services = everywhere(&site);
        let rules = "table inet theirs {
            chain before {
                type filter hook prerouting priority mangle; policy accept;
                ip saddr 10.66.0.0/24 udp dport 7 meta mark set 7
                ip6 saddr fd66::/64 udp dport 7 meta mark set 7
            }
        }";
        site.host().sh(&format!("nft -f - <<'RULES'\n{rules}\nRULES")).ok();
        for family in [0, 1] {
            for (transport, port, name) in [
                (Transport::Udp, 7, "up1"),
                (Transport::Udp, 8, "up0"),
                (Transport::Tcp, 7, "up0"),
            ] {
                let dial = Dial::new(transport, (address(ANYWHERE[family]), port).into());
                let answer = dial.answered(site.gateway.one());
                assert_eq!(answer.name, name, "{dial:?}");
            }
        }
    }
}
