//! A kernel in memory: refuses what the real one refuses (`tests/kernel` runs the same scenarios on
//! both), and fails on demand. Clones share the one kernel, so a test keeps one to look at.

pub mod tables;

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

pub use self::tables::{Device, Tables};
use super::{Error, Kernel, Link, Namespace, Result, Route, Veth, connected::Connected, sysctl};
use crate::action::Interface;
use crate::model::{ipsec::Policy, publish::Listener, routing::Rule};

#[derive(Clone, Debug)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    /// What this one calls the host.
    home: Namespace,
}

#[derive(Debug, Default)]
struct State {
    tables: Tables,
    /// Namespaces whose `lo` is up. Not part of the tables: taking a container's interface back leaves
    /// it up.
    loopbacks: BTreeSet<Namespace>,
    removed: BTreeSet<Namespace>,
    listeners: Vec<Listener>,
    calls: Vec<String>,
    fail_at: Option<usize>,
    fail_on: Option<String>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            home: Namespace::Host,
        }
    }

    /// Devices, addresses, neighbours, routes and settings, to compare with later or earlier ones.
    pub fn snapshot(&self) -> Tables {
        self.state().tables.clone()
    }

    /// Every call so far: its name and what it was about.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Lets the `n`-th call from now fail (the next one is the first), and that one only.
    pub fn fail_at(&self, n: usize) {
        self.state().fail_at = Some(n);
    }

    /// Lets every call of this name fail, until [`Self::heal`].
    pub fn fail_on(&self, call: &str) {
        self.state().fail_on = Some(call.to_owned());
    }

    pub fn heal(&self) {
        let mut state = self.state();
        state.fail_at = None;
        state.fail_on = None;
    }

    /// A device of someone else's on the host, up.
    pub fn add_device(&self, name: &str, kind: &str, addresses: &[IpNetwork]) {
        self.state().tables.add_device(&self.home, name, kind, addresses);
    }

    /// A socket of someone else's on the host.
    pub fn add_listener(&self, listener: Listener) {
        self.state().listeners.push(listener);
    }

    /// A namespace ends, and with it every pair that has an end in it.
    pub fn remove_namespace(&self, namespace: &Namespace) {
        let mut state = self.state();
        state.tables.remove_namespace(namespace);
        state.loopbacks.remove(namespace);
        state.removed.insert(namespace.clone());
    }

    /// The same kernel, seen by an agent that runs in that namespace.
    #[must_use]
    pub fn seen_from(&self, namespace: &Namespace) -> Self {
        Self {
            state: Arc::clone(&self.state),
            home: namespace.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, namespace: &Namespace) -> Namespace {
        match namespace {
            Namespace::Host => self.home.clone(),
            Namespace::Path(_) | Namespace::Process { .. } => namespace.clone(),
        }
    }

    /// Records a call, and fails it if it was asked to.
    fn call(&self, name: &str, about: &str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let call = format!("{name} {about}");
        state.calls.push(call.trim_end().to_owned());
        let due = match &mut state.fail_at {
            Some(left) => {
                *left -= 1;
                *left == 0
            }
            None => false,
        };
        if due {
            state.fail_at = None;
        }
        if due || state.fail_on.as_deref() == Some(name) {
            return Err(Error::system(call.trim_end(), io::Error::other("made to fail")));
        }
        Ok(state)
    }

    /// As [`Self::call`], into a namespace.
    fn call_in(&self, namespace: &Namespace, name: &str, about: &str) -> Result<MutexGuard<'_, State>> {
        let state = self.call(name, about)?;
        if state.removed.contains(namespace) {
            return Err(match namespace {
                Namespace::Process { pid, .. } => Error::NoNamespace(format!("process {pid} has ended")),
                Namespace::Host | Namespace::Path(_) => refused(format!("open namespace {namespace}"), libc::ENOENT),
            });
        }
        Ok(state)
    }
}

fn refused(what: impl Into<String>, errno: i32) -> Error {
    Error::system(what, io::Error::from_raw_os_error(errno))
}

impl Kernel for Fake {
    fn links(&mut self) -> Result<Vec<Link>> {
        let state = self.call("links", "")?;
        let loopback = tables::loopback(state.loopbacks.contains(&self.home));
        let links = state.tables.devices_of(&self.home).map(|device| device.link.clone());
        Ok(std::iter::once(loopback).chain(links).collect())
    }

    fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let state = self.call("link", name)?;
        if name == "lo" {
            return Ok(Some(tables::loopback(state.loopbacks.contains(&self.home))));
        }
        Ok(state
            .tables
            .device(&self.home, name)
            .ok()
            .map(|device| device.link.clone()))
    }

    fn add_veth(&mut self, veth: &Veth) -> Result<()> {
        let far = self.place(&veth.far.namespace);
        let about = format!("{} {}", veth.near.name, veth.far.name);
        let mut state = self.call_in(&far, "add_veth", &about)?;
        state.tables.add_veth(&self.home, &far, veth)
    }

    fn delete_link(&mut self, name: &str) -> Result<()> {
        self.call("delete_link", name)?.tables.delete_link(&self.home, name);
        Ok(())
    }

    fn set_up(&mut self, name: &str, up: bool) -> Result<()> {
        let mut state = self.call("set_up", &format!("{name} {up}"))?;
        state.tables.set_up(&self.home, name, up)
    }

    fn set_up_loopback(&mut self, namespace: &Namespace) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call_in(&namespace, "set_up_loopback", "lo")?;
        for setting in sysctl::of_new_loopback() {
            state.tables.set_sysctl(&namespace, &setting.path, setting.value)?;
        }
        state.loopbacks.insert(namespace);
        Ok(())
    }

    fn add_address(&mut self, namespace: &Namespace, device: &str, address: IpNetwork) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call_in(&namespace, "add_address", &format!("{device} {address}"))?;
        let device = state.tables.device_mut(&namespace, device)?;
        if device.addresses.contains(&address) {
            return Err(refused(format!("add address {address}"), libc::EEXIST));
        }
        device.add_address(address)
    }

    fn delete_address(&mut self, device: &str, address: IpNetwork) -> Result<()> {
        let mut state = self.call("delete_address", &format!("{device} {address}"))?;
        if let Ok(device) = state.tables.device_mut(&self.home, device) {
            device.addresses.remove(&address);
        }
        Ok(())
    }

    fn addresses(&mut self) -> Result<Vec<(String, IpNetwork)>> {
        let state = self.call("addresses", "")?;
        let off = state.tables.sysctl(&self.home, "net/ipv6/conf/lo/disable_ipv6")?;
        let loopback = tables::loopback_addresses(state.loopbacks.contains(&self.home), off == "0");
        let others = state.tables.devices_of(&self.home).flat_map(|device| {
            let name = &device.link.name;
            device.addresses.iter().map(|address| (name.clone(), *address))
        });
        Ok(loopback.into_iter().chain(others).collect())
    }

    fn addresses_of(&mut self, device: &str) -> Result<Vec<IpNetwork>> {
        let state = self.call("addresses_of", device)?;
        let device = state.tables.device(&self.home, device);
        Ok(device.map_or_else(|_| Vec::new(), |device| device.addresses.iter().copied().collect()))
    }

    fn set_neighbour(&mut self, namespace: &Namespace, device: &str, address: IpAddr, mac: Mac) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call_in(&namespace, "set_neighbour", &format!("{device} {address} {mac}"))?;
        let device = state.tables.device_mut(&namespace, device)?;
        device.neighbours.insert(address, mac);
        Ok(())
    }

    fn delete_neighbour(&mut self, device: &str, address: IpAddr) -> Result<()> {
        let mut state = self.call("delete_neighbour", &format!("{device} {address}"))?;
        if let Ok(device) = state.tables.device_mut(&self.home, device) {
            device.neighbours.remove(&address);
        }
        Ok(())
    }

    fn neighbours(&mut self, device: &str) -> Result<Vec<(IpAddr, Mac)>> {
        let state = self.call("neighbours", device)?;
        let device = state.tables.device(&self.home, device)?;
        Ok(device
            .neighbours
            .iter()
            .map(|(address, mac)| (*address, *mac))
            .collect())
    }

    fn routes(&mut self) -> Result<Vec<Route>> {
        let state = self.call("routes", "")?;
        Ok(state.tables.routes(&self.home))
    }

    fn routing_rules(&mut self) -> Result<Vec<Rule>> {
        Ok(Vec::new())
    }

    fn prefixes(&mut self, _tables: &[u32]) -> Result<Vec<(u32, IpNetwork)>> {
        Ok(Vec::new())
    }

    fn set_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call_in(&namespace, "set_default_route", &format!("{device} {gateway}"))?;
        state.tables.set_default_route(&namespace, device, gateway)
    }

    fn delete_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call("delete_default_route", &format!("{device} {gateway}"))?;
        state.tables.delete_default_route(&namespace, device, gateway);
        Ok(())
    }

    fn set_sysctl(&mut self, namespace: &Namespace, path: &str, value: &str) -> Result<()> {
        let namespace = self.place(namespace);
        let mut state = self.call_in(&namespace, "set_sysctl", &format!("{path} {value}"))?;
        state.tables.set_sysctl(&namespace, path, value)
    }

    fn sysctl(&mut self, namespace: &Namespace, path: &str) -> Result<String> {
        let namespace = self.place(namespace);
        let state = self.call_in(&namespace, "sysctl", path)?;
        state.tables.sysctl(&namespace, path)
    }

    fn has_ipsec(&mut self) -> Result<bool> {
        self.call("has_ipsec", "").map(|_| false)
    }

    fn security_policies(&mut self) -> Result<Vec<Policy>> {
        self.call("security_policies", "").map(|_| Vec::new())
    }

    fn connected(&mut self) -> Result<Vec<Connected>> {
        self.call("connected", "").map(|_| Vec::new())
    }

    fn end_socket(&mut self, _: &Connected) -> Result<()> {
        self.call("end_socket", "").map(drop)
    }

    fn listeners(&mut self) -> Result<Vec<Listener>> {
        Ok(self.call("listeners", "")?.listeners.clone())
    }

    fn configure_interface(&mut self, interface: &Interface) -> Result<()> {
        let namespace = self.place(&interface.namespace);
        let mut state = self.call_in(&namespace, "configure_interface", &interface.name)?;
        let tables = &mut state.tables;
        tables.device(&namespace, &interface.name)?;
        for setting in sysctl::of_interface(interface) {
            tables.set_sysctl(&namespace, &setting.path, setting.value)?;
        }
        let device = tables.device_mut(&namespace, &interface.name)?;
        for address in &interface.addresses {
            device.add_address(*address)?;
        }
        device.neighbours.extend(interface.neighbours.iter().copied());
        tables.set_up(&namespace, &interface.name, true)?;
        Ok(())
    }

    fn receive_by_napi(&mut self, namespace: &Namespace, interface: &str) -> Result<()> {
        let namespace = self.place(namespace);
        let state = self.call_in(&namespace, "receive_by_napi", interface)?;
        state.tables.device(&namespace, interface).map(drop)
    }

    fn announce(&mut self, namespace: &Namespace, interface: &str, mac: Mac, addresses: &[IpAddr]) -> Result<()> {
        let namespace = self.place(namespace);
        let state = self.call_in(&namespace, "announce", &format!("{interface} {mac} {addresses:?}"))?;
        let device = state.tables.device(&namespace, interface)?;
        if !device.link.up {
            return Err(refused(format!("announce {mac} on {interface}"), libc::ENETDOWN));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
