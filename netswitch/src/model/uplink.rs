//! Uplinks: which of the host's devices lead to the world.

use std::{collections::BTreeSet, net::IpAddr};

use ipnetwork::IpNetwork;

use crate::kernel::{Link, LinkHeader};

/// `--uplink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every device that could be one.
    Auto,
    None,
    /// These, as they come and go.
    Named(Vec<String>),
}

impl Choice {
    /// From the values of the option; the last of `auto` and `none` wins over names.
    pub fn of(values: &[String]) -> Self {
        match values
            .iter()
            .rev()
            .find(|value| matches!(value.as_str(), "auto" | "none"))
        {
            Some(value) if value == "none" => Self::None,
            Some(_) => Self::Auto,
            None => Self::Named(values.to_vec()),
        }
    }
}

impl Choice {
    /// With devices that networks trust, beside those that were named; who wants none gets none.
    #[must_use]
    pub fn with(mut self, trusted: impl Iterator<Item = String>) -> Self {
        if let Self::Named(names) = &mut self {
            names.extend(trusted);
        }
        self
    }
}

/// A device towards the world, and the addresses that it shows there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub link: Link,
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
    /// Whether it was named or has an address. Another one gets packets for the host now and then: where two devices are on
    /// one link, either answers for the addresses of both (`arp_ignore` in `ip-sysctl.rst`).
    pub is_main: bool,
}

impl Uplink {
    /// Whether its packets have no Ethernet headers.
    pub fn is_bare(&self) -> bool {
        self.link.header == LinkHeader::None
    }
}

/// What uplinks are chosen from.
pub struct Host<'a> {
    pub links: &'a [Link],
    /// With the names of their devices.
    pub addresses: &'a [(String, IpNetwork)],
    /// Indexes of the switch's own devices.
    pub ours: BTreeSet<u32>,
    /// `--uplink-mode stack`: what reads packets at the egress of uplinks reads Ethernet headers.
    pub needs_ethernet: bool,
}

impl Host<'_> {
    /// A device that is up, no part of another one, and not the switch's.
    fn could_be(&self, link: &Link) -> bool {
        let has_header = match link.header {
            LinkHeader::Ethernet => link.mac.is_some_and(|mac| mac.0 != [0; 6]),
            LinkHeader::None => true,
            LinkHeader::Other => false,
        };
        link.up && has_header && link.name != "lo" && link.controller.is_none() && !self.is_a_switchs(link)
    }

    /// This agent's device, or another's: those carry its mark.
    fn is_a_switchs(&self, link: &Link) -> bool {
        let has_mark = |alias: &String| alias.starts_with("netswitch ");
        self.ours.contains(&link.index) || link.alias.as_ref().is_some_and(has_mark)
    }

    fn has_address(&self, link: &Link) -> bool {
        let mut own = self.addresses.iter().filter(|(device, _)| *device == link.name);
        own.any(|(_, address)| is_global(address.ip()))
    }
}

/// The uplinks among a host's devices.
pub fn choose(choice: &Choice, host: &Host) -> Vec<Uplink> {
    let is_chosen = |link: &&Link| match choice {
        Choice::None => false,
        Choice::Named(names) => names.contains(&link.name) && link.header != LinkHeader::Other,
        Choice::Auto => host.could_be(link),
    };
    let uplink = |link: &Link| Uplink {
        link: link.clone(),
        v4: shown(link, host.addresses, true),
        v6: shown(link, host.addresses, false),
        is_main: *choice != Choice::Auto || host.has_address(link),
    };
    let has_header = |link: &&Link| link.header == LinkHeader::Ethernet || !host.needs_ethernet;
    let links = host.links.iter().filter(is_chosen).filter(has_header);
    links.map(uplink).collect()
}

/// The uplinks as `doctor` tells of them, and the other devices that are up, with what keeps them from being one. `false`:
/// one that was named cannot be an uplink.
pub fn describe(choice: &Choice, host: &Host) -> (bool, String) {
    let uplinks = choose(choice, host);
    let is_uplink = |link: &Link| uplinks.iter().any(|uplink| uplink.link.index == link.index);
    let mut said: Vec<String> = uplinks
        .iter()
        .map(|uplink| {
            let header = if uplink.is_bare() {
                " (without Ethernet headers)"
            } else {
                ""
            };
            format!("{}{header}", uplink.link.name)
        })
        .collect();
    if said.is_empty() {
        said.push("none".to_owned());
    }
    let mut ok = true;
    for link in host.links.iter().filter(|link| !is_uplink(link)) {
        let is_named = matches!(choice, Choice::Named(names) if names.contains(&link.name));
        let Some(why) = obstacle(link, host, choice, is_named) else {
            continue;
        };
        ok &= !is_named;
        said.push(format!("not {}: {why}", link.name));
    }
    (ok, said.join("; "))
}

/// Why a device that could carry packets is no uplink.
fn obstacle(link: &Link, host: &Host, choice: &Choice, is_named: bool) -> Option<&'static str> {
    if link.name == "lo" || !(link.up || is_named) || host.is_a_switchs(link) {
        None
    } else if link.header == LinkHeader::Other {
        Some("its link-layer header is not Ethernet's")
    } else if link.header == LinkHeader::None && host.needs_ethernet {
        Some("it has no Ethernet headers, which --uplink-mode stack reads")
    } else if *choice != Choice::Auto && host.could_be(link) {
        Some("it is not named by --uplink")
    } else {
        None // a part of a bridge or bond, which is looked at
    }
}

/// The address that packets out of a device show where no route says another: the device's own, else one of the loopback
/// device's (`inet_select_addr` in `net/ipv4/devinet.c`).
fn shown(link: &Link, addresses: &[(String, IpNetwork)], is_v4: bool) -> Option<IpAddr> {
    let on = |is_here: &dyn Fn(&str) -> bool| {
        let mut here = addresses.iter().filter(|(device, _)| is_here(device));
        here.find_map(|(_, address)| Some(address.ip()).filter(|ip| ip.is_ipv4() == is_v4 && is_global(*ip)))
    };
    on(&|device| device == link.name).or_else(|| on(&|device| device == "lo"))
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use netswitch_common::address::Mac;

    use super::*;

    fn link(index: u32, name: &str, up: bool) -> Link {
        Link {
            index,
            name: name.into(),
            alias: None,
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            mtu: 1500,
            up,
            peer: None,
            kind: String::new(),
            qdisc: String::new(),
            header: LinkHeader::Ethernet,
            controller: None,
        }
    }

    fn names(choice: &[&str]) -> Vec<String> {
        let mut links = vec![
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "eth2", false),
            link(5, "docker0", true),
            link(6, "eth3", true),
            link(7, "port", true),
            link(8, "tun0", true),
            link(9, "ib0", true),
        ];
        links[4].alias = Some("netswitch /var/lib/netswitch 0".into());
        links[6].controller = Some(5);
        (links[7].mac, links[7].header) = (None, LinkHeader::None);
        links[8].header = LinkHeader::Other;
        let on = |device: &str, address: &str| (device.to_owned(), address.parse().unwrap());
        let addresses = [
            on("lo", "127.0.0.1/8"),
            on("eth0", "fe80::1/64"),
            on("eth0", "192.0.2.1/24"),
            on("eth0", "192.0.2.9/24"),
            on("eth1", "fe80::2/64"),
            on("eth2", "198.51.100.1/24"),
            on("docker0", "172.17.0.1/16"),
            on("lo", "198.51.100.7/32"),
            on("tun0", "10.8.0.2/24"),
            on("ib0", "10.9.0.2/24"),
        ];
        let choice: Vec<String> = choice.iter().map(|value| (*value).to_owned()).collect();
        let host = Host {
            links: &links,
            addresses: &addresses,
            ours: BTreeSet::new(),
            needs_ethernet: false,
        };
        choose(&Choice::of(&choice), &host)
            .iter()
            .map(|uplink| format!("{} {:?} {}", uplink.link.name, uplink.v4, uplink.is_main))
            .collect()
    }

    #[test]
    fn what_is_no_uplink_is_named_with_the_reason() {
        let mut links = vec![
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "eth2", false),
            link(5, "tun0", true),
            link(6, "ib0", true),
        ];
        (links[4].mac, links[4].header) = (None, LinkHeader::None);
        links[5].header = LinkHeader::Other;
        let addresses = [("eth0".to_owned(), "192.0.2.1/24".parse().unwrap())];
        let mut host = Host {
            links: &links,
            addresses: &addresses,
            ours: BTreeSet::from([3]),
            needs_ethernet: false,
        };
        let said = |host: &Host, choice: &str| describe(&Choice::of(&[choice.to_owned()]), host);
        let ib0 = "not ib0: its link-layer header is not Ethernet's";
        assert_eq!(
            said(&host, "auto"),
            (true, format!("eth0; tun0 (without Ethernet headers); {ib0}"))
        );
        let tun0 = "not tun0: it is not named by --uplink";
        assert_eq!(said(&host, "eth0"), (true, format!("eth0; {tun0}; {ib0}")));
        let eth0 = "not eth0: it is not named by --uplink";
        assert_eq!(said(&host, "ib0"), (false, format!("none; {eth0}; {tun0}; {ib0}")));
        host.needs_ethernet = true;
        let tun0 = "not tun0: it has no Ethernet headers, which --uplink-mode stack reads";
        assert_eq!(said(&host, "auto"), (true, format!("eth0; {tun0}; {ib0}")));
    }

    #[test]
    fn devices_that_are_up_are_uplinks_unless_others_are_named() {
        let auto = [
            "eth0 Some(192.0.2.1) true",
            "eth1 Some(198.51.100.7) false",
            "eth3 Some(198.51.100.7) false",
            "tun0 Some(10.8.0.2) true",
        ];
        assert_eq!(names(&["auto"]), auto);
        assert_eq!(names(&["none"]), [""; 0]);
        assert_eq!(names(&["eth1", "eth9", "ib0"]), ["eth1 Some(198.51.100.7) true"]);
        assert_eq!(names(&["eth1", "auto"]), auto);
    }
}
