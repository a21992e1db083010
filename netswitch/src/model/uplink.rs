//! Uplinks: which of the host's devices lead to the world.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::kernel::Link;

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
}

/// The uplinks among a host's devices. `is_ours` tells the switch's own devices.
pub fn choose(
    choice: &Choice,
    links: &[Link],
    addresses: &[(String, IpNetwork)],
    is_ours: impl Fn(&Link) -> bool,
) -> Vec<Uplink> {
    let uplinks = links.iter().filter(|link| match choice {
        Choice::None => false,
        Choice::Named(names) => names.contains(&link.name),
        Choice::Auto => could_be(link) && !is_ours(link),
    });
    let uplinks = uplinks.map(|link| {
        let own = |v4: bool| {
            let mut own = addresses.iter().filter(|(device, _)| *device == link.name);
            own.find_map(|(_, address)| Some(address.ip()).filter(|ip| ip.is_ipv4() == v4 && is_global(*ip)))
        };
        Uplink {
            link: link.clone(),
            v4: own(true),
            v6: own(false),
        }
    });
    uplinks
        .filter(|uplink| *choice != Choice::Auto || uplink.v4.or(uplink.v6).is_some())
        .collect()
}

/// An Ethernet device that is up. Another agent's devices carry its mark.
fn could_be(link: &Link) -> bool {
    link.up
        && link.name != "lo"
        && link.mac.is_some_and(|mac| mac.0 != [0; 6])
        && !link.alias.as_ref().is_some_and(|alias| alias.starts_with("netswitch "))
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
        }
    }

    fn names(choice: &[&str]) -> Vec<String> {
        let mut links = vec![
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "eth2", false),
            link(5, "docker0", true),
        ];
        links[4].alias = Some("netswitch /var/lib/netswitch 0".into());
        let on = |device: &str, address: &str| (device.to_owned(), address.parse().unwrap());
        let addresses = [
            on("lo", "127.0.0.1/8"),
            on("eth0", "fe80::1/64"),
            on("eth0", "192.0.2.1/24"),
            on("eth0", "192.0.2.9/24"),
            on("eth1", "fe80::2/64"),
            on("eth2", "198.51.100.1/24"),
            on("docker0", "172.17.0.1/16"),
        ];
        let choice: Vec<String> = choice.iter().map(|value| (*value).to_owned()).collect();
        choose(&Choice::of(&choice), &links, &addresses, |_| false)
            .iter()
            .map(|uplink| format!("{} {:?}", uplink.link.name, uplink.v4))
            .collect()
    }

    #[test]
    fn devices_with_an_address_are_uplinks_unless_others_are_named() {
        assert_eq!(names(&["auto"]), ["eth0 Some(192.0.2.1)"]);
        assert_eq!(names(&["none"]), [""; 0]);
        assert_eq!(names(&["eth1", "eth9"]), ["eth1 None"]);
        assert_eq!(names(&["eth1", "auto"]), ["eth0 Some(192.0.2.1)"]);
    }
}
