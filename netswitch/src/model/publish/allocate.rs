//! From what was asked to ports of the host: those named, or free ones; conflicts are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{
    Binding, Listener, Protocol, Publication,
    table::{Table, meet},
};
use crate::{
    api::Error,
    model::{
        Facts, Id,
        changes::Draft,
        network::gateway::{Gateway, Mode},
    },
};

/// `(first, last)` where the host's own range cannot be told (RFC 6335).
const DYNAMIC_PORTS: (u16, u16) = (49_152, 65_535);

/// Where the ports of one family are to be published.
#[derive(Clone, Debug)]
pub struct Target {
    pub endpoint: Id,
    pub gateway: Gateway,
    /// The endpoint's own address of the family.
    pub address: Option<IpAddr>,
}

/// Who holds ports while a draft is made.
pub struct Allocator<'a> {
    listeners: BTreeMap<(Protocol, u16), Vec<&'a Listener>>,
    /// The host's.
    addresses: &'a [IpAddr],
    local_ports: (u16, u16),
    /// Numbers of publications that the draft has taken back.
    freed: BTreeSet<u16>,
    /// Publications that the draft has made.
    added: Table,
}

/// Why a port cannot be had.
enum Conflict {
    Published(u16),
    Listener(u16),
}

impl<'a> Allocator<'a> {
    pub fn new(draft: &Draft<'_>, facts: &'a Facts) -> Self {
        let mut listeners: BTreeMap<_, Vec<&Listener>> = BTreeMap::new();
        for listener in &facts.listeners {
            let at = (listener.protocol, listener.port);
            listeners.entry(at).or_default().push(listener);
        }
        let mut freed: BTreeSet<u16> = BTreeSet::new();
        for endpoint in draft.former_endpoints() {
            freed.extend(endpoint.publications.iter().map(|publication| publication.number));
        }
        let mut added = Table::default();
        for publication in draft.changed_endpoints().flat_map(|endpoint| &endpoint.publications) {
            added.add(publication);
        }
        let local_ports = match facts.local_port_range {
            (first, last) if first > 0 && first <= last => (first, last),
            _ => DYNAMIC_PORTS,
        };
        Self {
            listeners,
            addresses: &facts.addresses,
            local_ports,
            freed,
            added,
        }
    }

    /// The publications of one binding, each with the endpoint that is to have it. `v4` and `v6`: where
    /// that family goes; one that is not asked for is left out.
    pub fn publish(
        &mut self,
        draft: &mut Draft<'_>,
        binding: &Binding,
        v4: Option<&Target>,
        v6: Option<&Target>,
    ) -> Result<Vec<(Id, Publication)>, Error> {
        let hosts = match binding.host {
            Some(host) => vec![host],
            None => v4.or(v6).map_or_else(Vec::new, |target| target.gateway.default_hosts()),
        };
        let mut translated = Vec::new();
        let mut made = Vec::new();
        for host in hosts {
            self.check_address(binding, host)?;
            let Some(target) = (if host.is_ipv4() { v4 } else { v6 }) else {
                continue;
            };
            match (target.gateway.mode(host.is_ipv6()), target.address) {
                (Mode::Routed, Some(address)) => {
                    let first = binding.container_first;
                    let ports = (first, binding.container_last);
                    if self.conflict(draft, binding.protocol, address, ports).is_none() {
                        made.push(self.make(draft, binding, target, address, first)?);
                    }
                }
                (Mode::Isolated, _) => {
                    return Err(Error::bad_request(
                        "ports cannot be published in gateway mode 'isolated'",
                    ));
                }
                (Mode::Nat | Mode::Unprotected | Mode::Routed, _) => translated.push((host, target)),
            }
        }
        if !translated.is_empty() {
            let hosts: Vec<IpAddr> = translated.iter().map(|(host, _)| *host).collect();
            let first = self.choose(draft, binding, &hosts)?;
            for (host, target) in translated {
                made.push(self.make(draft, binding, target, host, first)?);
            }
        }
        Ok(made)
    }

    /// One that the host has not got cannot be published at.
    fn check_address(&self, binding: &Binding, host: IpAddr) -> Result<(), Error> {
        if host.is_unspecified() || host.is_loopback() || self.addresses.contains(&host) {
            return Ok(());
        }
        let version = if host.is_ipv4() { 4 } else { 6 };
        let port = binding.host_ports.map_or(0, |(first, _)| first);
        let socket = std::net::SocketAddr::new(host, port);
        Err(Error::internal(format!(
            "listen {}{version} {socket}: bind: cannot assign requested address",
            binding.protocol
        )))
    }

    fn make(
        &mut self,
        draft: &mut Draft<'_>,
        binding: &Binding,
        target: &Target,
        host: IpAddr,
        first: u16,
    ) -> Result<(Id, Publication), Error> {
        let publication = Publication {
            number: draft.publication_number()?,
            protocol: binding.protocol,
            host,
            first,
            last: first + binding.span(),
            container_first: binding.container_first,
            sources: binding.sources.clone(),
        };
        self.added.add(&publication);
        Ok((target.endpoint.clone(), publication))
    }

    /// The first of the host's ports, free at every one of `hosts`.
    fn choose(&self, draft: &mut Draft<'_>, binding: &Binding, hosts: &[IpAddr]) -> Result<u16, Error> {
        let span = binding.span();
        let at = |draft: &Draft<'_>, first: u16| {
            let last = first.checked_add(span)?;
            let conflict = |host: &IpAddr| {
                let conflict = self.conflict(draft, binding.protocol, *host, (first, last))?;
                Some((*host, conflict))
            };
            Some(hosts.iter().find_map(conflict))
        };
        match binding.host_ports {
            Some((first, last)) if last - first == span => match at(draft, first).flatten() {
                None => Ok(first),
                Some((host, conflict)) => Err(conflict.error(binding.protocol, host)),
            },
            Some((first, last)) => (first..=last)
                .find(|port| matches!(at(draft, *port), Some(None)))
                .ok_or_else(all_taken),
            None => {
                let (first, last) = self.local_ports;
                let next = draft.published_port().saturating_add(1).max(first);
                let mut candidates = (next..=last).chain(first..next.min(last));
                let port = candidates
                    .find(|port| last - port >= span && matches!(at(draft, *port), Some(None)))
                    .ok_or_else(all_taken)?;
                draft.set_published_port(port + span);
                Ok(port)
            }
        }
    }

    fn conflict(&self, draft: &Draft<'_>, protocol: Protocol, host: IpAddr, ports: (u16, u16)) -> Option<Conflict> {
        let published = draft.state().published();
        let stays = |number| !self.freed.contains(&number);
        if let Some(port) = published
            .taken(protocol, host, ports, stays)
            .or_else(|| self.added.taken(protocol, host, ports, |_| true))
        {
            return Some(Conflict::Published(port));
        }
        let listeners = self.listeners.range((protocol, ports.0)..=(protocol, ports.1));
        listeners
            .filter(|(_, listeners)| listeners.iter().any(|listener| listener.meets(host)))
            .map(|((_, port), _)| *port)
            // the agent's own listens where a publication was until now
            .find(|port| published.taken(protocol, host, (*port, *port), |_| true).is_none())
            .map(Conflict::Listener)
    }
}

impl Listener {
    /// Whether it would get what is sent to the address.
    fn meets(&self, host: IpAddr) -> bool {
        let address = self.address.to_canonical();
        let dual_stack = address.is_ipv6() && address.is_unspecified() && !self.v6_only;
        meet(address, host) || dual_stack && host.is_ipv4()
    }
}

impl Conflict {
    /// In the engine's words; for a socket of the host's, in those of an engine without a proxy.
    fn error(&self, protocol: Protocol, host: IpAddr) -> Error {
        Error::internal(match self {
            Self::Published(port) => format!("Bind for {host}:{port} failed: port is already allocated"),
            Self::Listener(port) => {
                let version = if host.is_ipv4() { 4 } else { 6 };
                let socket = std::net::SocketAddr::new(host, *port);
                format!("listen {protocol}{version} {socket}: bind: address already in use")
            }
        })
    }
}

fn all_taken() -> Error {
    Error::internal("all ports are allocated")
}
