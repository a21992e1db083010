//! What the fake kernel keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

use super::refused;
use crate::kernel::{End, Error, Link, LinkHeader, Namespace, Result, Route, Veth, sysctl};

#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub devices: BTreeMap<(Namespace, String), Device>,
    /// Settings that are no device's.
    pub sysctls: BTreeMap<(Namespace, String), String>,
    /// By namespace and whether it is IPv6: device and gateway.
    pub default_routes: BTreeMap<(Namespace, bool), (String, IpAddr)>,
    made: u32,
}

impl PartialEq for Tables {
    /// How many devices there ever were does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.devices == other.devices && self.sysctls == other.sysctls && self.default_routes == other.default_routes
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub link: Link,
    /// How it was asked for; `None`: someone else's device.
    pub end: Option<End>,
    /// Where the other end of a pair is.
    pub peer: Option<(Namespace, String)>,
    pub addresses: BTreeSet<IpNetwork>,
    pub neighbours: BTreeMap<IpAddr, Mac>,
    /// By path below `/proc/sys`.
    pub sysctls: BTreeMap<String, String>,
}

impl Device {
    pub fn add_address(&mut self, address: IpNetwork) -> Result<()> {
        let path = format!("net/ipv6/conf/{}/disable_ipv6", self.link.name);
        if address.is_ipv6() && self.sysctls.get(&path).is_some_and(|value| value == "1") {
            return Err(refused(format!("add address {address}"), libc::EACCES));
        }
        self.addresses.insert(address);
        Ok(())
    }
}

impl Tables {
    pub fn devices_of(&self, namespace: &Namespace) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(move |((place, _), _)| place == namespace)
            .map(|(_, device)| device)
    }

    pub fn device(&self, namespace: &Namespace, name: &str) -> Result<&Device> {
        self.devices
            .get(&(namespace.clone(), name.to_owned()))
            .ok_or_else(|| Error::NoDevice(name.to_owned()))
    }

    pub fn device_mut(&mut self, namespace: &Namespace, name: &str) -> Result<&mut Device> {
        self.devices
            .get_mut(&(namespace.clone(), name.to_owned()))
            .ok_or_else(|| Error::NoDevice(name.to_owned()))
    }

    pub fn add_device(&mut self, namespace: &Namespace, name: &str, kind: &str, addresses: &[IpNetwork]) {
        let index = self.next_index();
        let device = Device {
            link: Link {
                index,
                name: name.to_owned(),
                alias: None,
                mac: None,
                mtu: 1500,
                up: true,
                peer: None,
                kind: kind.to_owned(),
                qdisc: String::new(),
                header: LinkHeader::Ethernet,
                controller: None,
            },
            end: None,
            peer: None,
            addresses: addresses.iter().copied().collect(),
            neighbours: BTreeMap::new(),
            sysctls: BTreeMap::new(),
        };
        self.devices.insert((namespace.clone(), name.to_owned()), device);
    }

    pub fn add_veth(&mut self, near: &Namespace, far: &Namespace, veth: &Veth) -> Result<()> {
        let near_place = (near.clone(), veth.near.name.clone());
        let far_place = (far.clone(), veth.far.name.clone());
        for place in [&near_place, &far_place] {
            if self.devices.contains_key(place) || place.1 == "lo" {
                return Err(Error::Exists(place.1.clone()));
            }
        }
        // the kernel makes the far one first
        let far_index = self.next_index();
        let near_index = self.next_index();
        let near_device = paired(&veth.near, near_index, far_index, far_place.clone());
        let far_device = paired(&veth.far, far_index, near_index, near_place.clone());
        self.devices.insert(near_place, near_device);
        self.devices.insert(far_place, far_device);
        Ok(())
    }

    pub fn delete_link(&mut self, namespace: &Namespace, name: &str) {
        let place = (namespace.clone(), name.to_owned());
        if let Some(device) = self.devices.remove(&place) {
            let places = [Some(place), device.peer];
            for place in places.into_iter().flatten() {
                self.devices.remove(&place);
                self.forget_routes(&place.0, &place.1);
            }
        }
    }

    pub fn remove_namespace(&mut self, namespace: &Namespace) {
        let names: Vec<String> = self
            .devices_of(namespace)
            .map(|device| device.link.name.clone())
            .collect();
        for name in names {
            self.delete_link(namespace, &name);
        }
        self.sysctls.retain(|(place, _), _| place != namespace);
    }

    /// Down takes along the neighbours, permanent ones too, the IPv6 addresses and the default routes.
    pub fn set_up(&mut self, namespace: &Namespace, name: &str, up: bool) -> Result<()> {
        let device = self.device_mut(namespace, name)?;
        device.link.up = up;
        if !up {
            device.neighbours.clear();
            device.addresses.retain(IpNetwork::is_ipv4);
            self.forget_routes(namespace, name);
        }
        Ok(())
    }

    pub fn set_default_route(&mut self, namespace: &Namespace, name: &str, gateway: IpAddr) -> Result<()> {
        let device = self.device(namespace, name)?;
        let what = format!("set default route via {gateway}");
        let reached = device.addresses.iter().any(|address| address.contains(gateway));
        if !(device.link.up && reached) {
            let errno = if gateway.is_ipv4() {
                libc::ENETUNREACH
            } else {
                libc::EHOSTUNREACH
            };
            return Err(refused(what, errno));
        }
        self.default_routes
            .insert((namespace.clone(), gateway.is_ipv6()), (name.to_owned(), gateway));
        Ok(())
    }

    pub fn delete_default_route(&mut self, namespace: &Namespace, name: &str, gateway: IpAddr) {
        let key = (namespace.clone(), gateway.is_ipv6());
        if self
            .default_routes
            .get(&key)
            .is_some_and(|(device, via)| device == name && *via == gateway)
        {
            self.default_routes.remove(&key);
        }
    }

    /// The networks of the addresses of devices that are up.
    pub fn routes(&self, namespace: &Namespace) -> Vec<Route> {
        let addresses = self
            .devices_of(namespace)
            .filter(|device| device.link.up)
            .flat_map(|device| &device.addresses);
        let networks: BTreeSet<IpNetwork> = addresses
            .filter(|address| match address {
                IpNetwork::V4(v4) => v4.prefix() < 32,
                IpNetwork::V6(v6) => !v6.ip().is_unicast_link_local(),
            })
            .filter_map(|address| IpNetwork::new(address.network(), address.prefix()).ok())
            .collect();
        let route = |destination| Route {
            destination,
            by_gateway: false,
        };
        networks.into_iter().map(route).collect()
    }

    pub fn set_sysctl(&mut self, namespace: &Namespace, path: &str, value: &str) -> Result<()> {
        match device_of(path) {
            Some(name) => {
                let missing = |_| refused(format!("set sysctl {path} to {value}"), libc::ENOENT);
                let device = self.device_mut(namespace, name).map_err(missing)?;
                device.sysctls.insert(path.to_owned(), value.to_owned());
                if path.ends_with("/disable_ipv6") && value == "1" {
                    device.addresses.retain(IpNetwork::is_ipv4);
                }
            }
            None => {
                self.sysctls
                    .insert((namespace.clone(), path.to_owned()), value.to_owned());
            }
        }
        Ok(())
    }

    pub fn sysctl(&self, namespace: &Namespace, path: &str) -> Result<String> {
        let set = match device_of(path) {
            Some(name) => {
                let missing = |_| refused(format!("read sysctl {path}"), libc::ENOENT);
                self.device(namespace, name).map_err(missing)?.sysctls.get(path)
            }
            None => self.sysctls.get(&(namespace.clone(), path.to_owned())),
        };
        Ok(set.map_or_else(|| default(path).to_owned(), Clone::clone))
    }

    fn forget_routes(&mut self, namespace: &Namespace, name: &str) {
        self.default_routes
            .retain(|(place, _), (device, _)| place != namespace || device != name);
    }

    fn next_index(&mut self) -> u32 {
        self.made += 1;
        self.made + 1 // `lo` is the first
    }
}

pub fn loopback(up: bool) -> Link {
    Link {
        index: 1,
        name: "lo".to_owned(),
        alias: None,
        mac: Some(Mac([0; 6])),
        mtu: 65536,
        up,
        peer: None,
        kind: String::new(),
        qdisc: String::new(),
        header: LinkHeader::Ethernet,
        controller: None,
    }
}

pub fn loopback_addresses(up: bool, v6: bool) -> Vec<(String, IpNetwork)> {
    let addresses = [("127.0.0.1/8", up), ("::1/128", up && v6)];
    let there = addresses.iter().filter(|(_, there)| *there);
    there
        .filter_map(|(address, _)| Some(("lo".to_owned(), address.parse().ok()?)))
        .collect()
}

fn paired(end: &End, index: u32, other: u32, peer: (Namespace, String)) -> Device {
    let settings = sysctl::of_end(end);
    Device {
        link: Link {
            index,
            name: end.name.clone(),
            alias: end.alias.clone(),
            // the kernel makes up one that is local and no group's
            mac: end.mac.or_else(|| {
                let [a, b, c, d] = index.to_be_bytes();
                Some(Mac([0x02, 0, a, b, c, d]))
            }),
            mtu: end.mtu,
            up: false,
            peer: Some(other),
            kind: "veth".to_owned(),
            qdisc: String::new(),
            header: LinkHeader::Ethernet,
            controller: None,
        },
        end: Some(end.clone()),
        peer: Some(peer),
        addresses: BTreeSet::new(),
        neighbours: BTreeMap::new(),
        sysctls: settings
            .into_iter()
            .map(|setting| (setting.path, setting.value.to_owned()))
            .collect(),
    }
}

/// The device a setting is of: `net/ipv4/conf/NAME/forwarding`.
fn device_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    let (_net, _family, table, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (matches!(table, "conf" | "neigh") && !matches!(name, "all" | "default" | "lo")).then_some(name)
}

/// What the kernel starts with, where it is not 0.
fn default(path: &str) -> &'static str {
    match path.rsplit('/').next() {
        Some("accept_ra" | "accept_dad" | "dad_transmits") => "1",
        Some("router_solicitations") => "-1",
        Some("ip_local_port_range") => "32768\t60999",
        Some("ip_local_reserved_ports") => "",
        _ => "0",
    }
}
