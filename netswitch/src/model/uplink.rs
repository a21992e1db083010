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

/// A device towards the world, and the addresses that it shows there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub link: Link,
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
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
    /// Indexes of the devices that routes lead through; read only if [`has_unnumbered`] says so.
    pub routed: BTreeSet<u32>,
}

/// The uplinks among a host's devices. `is_ours` tells the switch's own devices.
pub fn choose(choice: &Choice, host: &Host, is_ours: impl Fn(&Link) -> bool) -> Vec<Uplink> {
    let is_chosen = |link: &&Link| match choice {
        Choice::None => false,
        Choice::Named(names) => names.contains(&link.name) && link.header != LinkHeader::Other,
        Choice::Auto => {
            could_be(link) && !is_ours(link) && (has_address(link, host.addresses) || host.routed.contains(&link.index))
        }
    };
    let uplink = |link: &Link| Uplink {
        link: link.clone(),
        v4: shown(link, host.addresses, true),
        v6: shown(link, host.addresses, false),
    };
    host.links.iter().filter(is_chosen).map(uplink).collect()
}

/// Whether routes decide which devices are uplinks: those without an address of their own are if a route leads
/// through them.
pub fn has_unnumbered(
    choice: &Choice,
    links: &[Link],
    addresses: &[(String, IpNetwork)],
    is_ours: impl Fn(&Link) -> bool,
) -> bool {
    let is_unnumbered = |link: &Link| could_be(link) && !is_ours(link) && !has_address(link, addresses);
    *choice == Choice::Auto && links.iter().any(is_unnumbered)
}

/// A device that is up and no part of another one. Another agent's devices carry its mark.
fn could_be(link: &Link) -> bool {
    let has_header = match link.header {
        LinkHeader::Ethernet => link.mac.is_some_and(|mac| mac.0 != [0; 6]),
        LinkHeader::None => true,
        LinkHeader::Other => false,
    };
    link.up
        && has_header
        && link.name != "lo"
        && link.controller.is_none()
        && !link.alias.as_ref().is_some_and(|alias| alias.starts_with("netswitch "))
}

fn has_address(link: &Link, addresses: &[(String, IpNetwork)]) -> bool {
    let mut own = addresses.iter().filter(|(device, _)| *device == link.name);
    own.any(|(_, address)| is_global(address.ip()))
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
            routed: BTreeSet::from([2, 6, 7]),
        };
        assert_eq!(
            has_unnumbered(&Choice::of(&choice), &links, &addresses, |_| false),
            choice.contains(&"auto".to_owned())
        );
        choose(&Choice::of(&choice), &host, |_| false)
            .iter()
            .map(|uplink| format!("{} {:?}", uplink.link.name, uplink.v4))
            .collect()
    }

    #[test]
    fn devices_with_an_address_or_a_route_are_uplinks_unless_others_are_named() {
        let auto = ["eth0 Some(192.0.2.1)", "eth3 Some(198.51.100.7)", "tun0 Some(10.8.0.2)"];
        assert_eq!(names(&["auto"]), auto);
        assert_eq!(names(&["none"]), [""; 0]);
        assert_eq!(names(&["eth1", "eth9", "ib0"]), ["eth1 Some(198.51.100.7)"]);
        assert_eq!(names(&["eth1", "auto"]), auto);
    }
}
