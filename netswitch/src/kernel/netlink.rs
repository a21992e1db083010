//! The real kernel, over rtnetlink and `/proc/sys`.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::IpAddr,
};

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netswitch_common::address::Mac;

use super::{
    End, Error, Kernel, Link, Namespace, Result, Route, Traffic, Veth, address, announce,
    connected::{self, Connected},
    ethtool, ipsec, link, listeners,
    namespace::in_namespace,
    neighbour, route, rule,
    socket::Socket,
    sysctl,
};
use crate::action::Interface;
use crate::model::{ipsec::Policy, publish::Listener, routing::Rule};

/// The host is the namespace of the thread that opens it; use it from threads of that namespace.
pub struct Netlink {
    host: Socket,
}

impl Netlink {
    pub fn open() -> Result<Self> {
        Ok(Self { host: open()? })
    }

    /// Whether the namespace it was opened in has a default route: IPv4, IPv6.
    pub fn default_routes(&mut self) -> Result<(bool, bool)> {
        let mut has = |family| route::has_default(&mut self.host, family);
        Ok((has(AddressFamily::Inet)?, has(AddressFamily::Inet6)?))
    }

    /// Of a container's interface, by the host's device that it is paired with. A kernel before 6.8 without its fix
    /// does not count what `bpf_redirect_peer` hands to it.
    pub fn traffic(&mut self, device: &str) -> Result<Traffic> {
        link::traffic_of_peer(&mut self.host, device)
    }

    /// Hands `work` a socket of a namespace.
    fn at<T>(&mut self, namespace: &Namespace, work: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
        if *namespace == Namespace::Host {
            work(&mut self.host)
        } else {
            work(&mut in_namespace(namespace, open)??)
        }
    }

    fn settle(&mut self, end: &End) -> Result<()> {
        if !link::needs_settling(end) {
            return Ok(());
        }
        self.at(&end.namespace, |socket| link::settle(socket, end))?;
        let settings = sysctl::of_end(end);
        if settings.is_empty() {
            return Ok(());
        }
        in_namespace(&end.namespace, || sysctl::apply(&settings))?
    }
}

fn open() -> Result<Socket> {
    Socket::open().map_err(|error| Error::system("open a netlink socket", error))
}

/// Whether an address was refused because the device, or the whole kernel, has no IPv6.
fn without_ipv6(error: &Error) -> bool {
    let Error::System { source, .. } = error else {
        return false;
    };
    matches!(
        source.raw_os_error(),
        Some(libc::EACCES | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
    )
}

/// A missing device or namespace took everything on it along.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NoDevice(_) | Error::NoNamespace(_)) => Ok(()),
        Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl Kernel for Netlink {
    fn links(&mut self) -> Result<Vec<Link>> {
        link::all(&mut self.host)
    }

    fn link(&mut self, name: &str) -> Result<Option<Link>> {
        link::by_name(&mut self.host, name)
    }

    fn add_veth(&mut self, veth: &Veth) -> Result<()> {
        link::add_veth(&mut self.host, veth)?;
        let settled = self.settle(&veth.near).and_then(|()| self.settle(&veth.far));
        if settled.is_err()
            && let Err(error) = link::delete(&mut self.host, &veth.near.name)
        {
            tracing::warn!(%error, "half-made pair left behind");
        }
        settled
    }

    fn delete_link(&mut self, name: &str) -> Result<()> {
        link::delete(&mut self.host, name)
    }

    fn delete_links(&mut self, names: &[String]) -> Result<()> {
        link::delete_many(&mut self.host, names)
    }

    fn set_up(&mut self, name: &str, up: bool) -> Result<()> {
        link::set_up(&mut self.host, name, up)
    }

    fn set_up_loopback(&mut self, namespace: &Namespace) -> Result<()> {
        let mut socket = in_namespace(namespace, || {
            sysctl::apply(&sysctl::of_new_loopback())?;
            open()
        })??;
        link::set_up(&mut socket, "lo", true)
    }

    fn add_address(&mut self, namespace: &Namespace, device: &str, address: IpNetwork) -> Result<()> {
        self.at(namespace, |socket| {
            let index = link::index(socket, device)?;
            address::add(socket, index, address)
        })
        .or_else(|refused| match (namespace, without_ipv6(&refused), address) {
            // a device without other IPv6 addresses does well without this one
            (Namespace::Host, true, IpNetwork::V6(v6)) if v6.ip().is_unicast_link_local() => Ok(()),
            (Namespace::Host, true, IpNetwork::V6(_)) => {
                sysctl::apply(&[sysctl::with_ipv6(device)])?;
                let index = link::index(&mut self.host, device)?;
                address::add(&mut self.host, index, address)
            }
            _ => Err(refused),
        })
    }

    fn delete_address(&mut self, device: &str, address: IpNetwork) -> Result<()> {
        gone_is_fine(
            link::index(&mut self.host, device).and_then(|index| address::delete(&mut self.host, index, address)),
        )
    }

    fn addresses(&mut self) -> Result<Vec<(String, IpNetwork)>> {
        // few devices have addresses, however many endpoints there are
        let mut names = HashMap::new();
        let mut addresses = Vec::new();
        for (index, address) in address::all(&mut self.host)? {
            let name = match names.entry(index) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(link::by_index(&mut self.host, index)?.map(|link| link.name)),
            };
            addresses.extend(name.clone().map(|name| (name, address)));
        }
        Ok(addresses)
    }

    fn addresses_of(&mut self, device: &str) -> Result<Vec<IpNetwork>> {
        let Some(link) = link::by_name(&mut self.host, device)? else {
            return Ok(Vec::new());
        };
        let addresses = address::all(&mut self.host)?.into_iter();
        let own = addresses.filter(|(index, _)| *index == link.index);
        Ok(own.map(|(_, address)| address).collect())
    }

    fn set_neighbour(&mut self, namespace: &Namespace, device: &str, address: IpAddr, mac: Mac) -> Result<()> {
        self.at(namespace, |socket| {
            let index = link::index(socket, device)?;
            neighbour::set(socket, index, address, mac)
        })
    }

    fn delete_neighbour(&mut self, device: &str, address: IpAddr) -> Result<()> {
        gone_is_fine(
            link::index(&mut self.host, device).and_then(|index| neighbour::delete(&mut self.host, index, address)),
        )
    }

    fn neighbours(&mut self, device: &str) -> Result<Vec<(IpAddr, Mac)>> {
        let index = link::index(&mut self.host, device)?;
        neighbour::of_device(&mut self.host, index)
    }

    fn routes(&mut self) -> Result<Vec<Route>> {
        route::all(&mut self.host)
    }

    fn routing_rules(&mut self) -> Result<Vec<Rule>> {
        rule::all(&mut self.host)
    }

    fn prefixes(&mut self, tables: &[u32]) -> Result<Vec<(u32, IpNetwork)>> {
        route::prefixes(&mut self.host, tables)
    }

    fn set_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()> {
        self.at(namespace, |socket| {
            let index = link::index(socket, device)?;
            route::set_default(socket, index, gateway)
        })
    }

    fn delete_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()> {
        gone_is_fine(self.at(namespace, |socket| {
            let index = link::index(socket, device)?;
            route::delete_default(socket, index, gateway)
        }))
    }

    fn set_sysctl(&mut self, namespace: &Namespace, path: &str, value: &str) -> Result<()> {
        in_namespace(namespace, || sysctl::write(path, value))?
    }

    fn sysctl(&mut self, namespace: &Namespace, path: &str) -> Result<String> {
        in_namespace(namespace, || sysctl::read(path))?
    }

    fn listeners(&mut self) -> Result<Vec<Listener>> {
        listeners::all()
    }

    fn connected(&mut self) -> Result<Vec<Connected>> {
        connected::all()
    }

    fn end_socket(&mut self, socket: &Connected) -> Result<()> {
        connected::end(socket)
    }

    fn has_ipsec(&mut self) -> Result<bool> {
        ipsec::is_used()
    }

    fn security_policies(&mut self) -> Result<Vec<Policy>> {
        ipsec::policies()
    }

    fn configure_interface(&mut self, interface: &Interface) -> Result<()> {
        // one thread enters: it writes the settings and leaves a socket behind
        let (mut socket, index) = in_namespace(&interface.namespace, || {
            let mut socket = open()?;
            let index = link::index(&mut socket, &interface.name)?;
            sysctl::apply(&sysctl::of_interface(interface))?;
            Ok((socket, index))
        })??;
        let socket = &mut socket;
        for address in &interface.addresses {
            address::ensure(socket, index, *address)?;
        }
        link::set_up(socket, &interface.name, true)?;
        for (address, mac) in &interface.neighbours {
            neighbour::set(socket, index, *address, *mac)?;
        }
        Ok(())
    }

    fn receive_by_napi(&mut self, namespace: &Namespace, interface: &str) -> Result<()> {
        in_namespace(namespace, || ethtool::turn_on_gro(interface))?
            .map_err(|error| Error::system(format!("turn on GRO of {interface}"), error))
    }

    fn announce(&mut self, namespace: &Namespace, interface: &str, mac: Mac, addresses: &[IpAddr]) -> Result<()> {
        let failed = |error| Error::system(format!("announce {mac} on {interface}"), error);
        let (mut socket, sender) = in_namespace(namespace, || Ok((open()?, announce::open().map_err(failed)?)))??;
        let index = link::index(&mut socket, interface)?;
        announce::send(&sender, index, mac, addresses).map_err(failed)
    }
}
