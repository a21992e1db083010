//! Where a published port leads, for what the agent passes on itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Protocol, Publication};
use crate::model::{changes::Changes, endpoint::Endpoint, state::State};

/// Every publication by where it starts, with its container's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    leads: BTreeMap<(Protocol, IpAddr, u16), Lead>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lead {
    last: u16,
    container_first: u16,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Resolver {
    pub fn new(state: &State) -> Self {
        let mut resolver = Self::default();
        for endpoint in state.endpoints.values() {
            resolver.add(endpoint);
        }
        resolver
    }

    /// Follows what has changed since `before`.
    pub fn apply(&mut self, before: &State, changes: &Changes) {
        let former = changes.endpoints.keys().filter_map(|id| before.endpoints.get(id));
        for publication in former.flat_map(|endpoint| &endpoint.publications) {
            self.leads.remove(&start(publication));
        }
        for endpoint in changes.endpoints.values().flatten() {
            self.add(endpoint);
        }
    }

    fn add(&mut self, endpoint: &Endpoint) {
        for publication in &endpoint.publications {
            let lead = Lead {
                last: publication.last,
                container_first: publication.container_first,
                v4: endpoint.v4.map(|address| address.ip()),
                v6: endpoint.v6.map(|address| address.ip()),
            };
            self.leads.insert(start(publication), lead);
        }
    }

    /// The container's address and port: a publication at the very address goes before one at every
    /// address; a container without IPv6 is reached over IPv4.
    pub fn resolve(&self, protocol: Protocol, dialled: SocketAddr) -> Option<SocketAddr> {
        let every: IpAddr = match dialled {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let (first, lead) = self
            .at(protocol, dialled.ip(), dialled.port())
            .or_else(|| self.at(protocol, every, dialled.port()))?;
        let address = match dialled {
            SocketAddr::V4(_) => lead.v4,
            SocketAddr::V6(_) => lead.v6.or(lead.v4),
        };
        Some((address?, lead.container_first + (dialled.port() - first)).into())
    }

    fn at(&self, protocol: Protocol, host: IpAddr, port: u16) -> Option<(u16, &Lead)> {
        let nearest = self
            .leads
            .range((protocol, host, 0)..=(protocol, host, port))
            .next_back();
        nearest
            .filter(|(_, lead)| port <= lead.last)
            .map(|((.., first), lead)| (*first, lead))
    }
}

const fn start(publication: &Publication) -> (Protocol, IpAddr, u16) {
    (publication.protocol, publication.host, publication.first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    fn endpoint(id: &str, v6: bool, publications: &[(&str, u16, u16, u16)]) -> Endpoint {
        let publication = |(host, first, last, container_first): &(&str, u16, u16, u16)| Publication {
            number: 1,
            protocol: Protocol::Tcp,
            host: host.parse().unwrap(),
            first: *first,
            last: *last,
            container_first: *container_first,
            sources: Vec::new(),
        };
        let id = Id(id.into());
        Endpoint {
            network: id.clone(),
            container: id.clone(),
            sandbox: id.clone(),
            id,
            number: 1,
            generation: 1,
            slot: 1,
            mac: netswitch_common::address::Mac([2; 6]),
            v4: "10.66.0.2/24".parse().ok(),
            v6: v6.then(|| "fd66::2/64".parse().unwrap()),
            host_device: "veth".into(),
            interface: "eth0".into(),
            mtu: 1500,
            default_route_v4: true,
            default_route_v6: v6,
            index: None,
            openings: crate::model::endpoint::openings::Openings::default(),
            leashes: crate::model::policy::Leashes::default(),
            publications: publications.iter().map(publication).collect(),
        }
    }

    fn changes(id: &str, after: Option<Endpoint>) -> Changes {
        Changes {
            endpoints: [(Id(id.into()), after)].into(),
            ..Changes::default()
        }
    }

    fn leads(resolver: &Resolver, dialled: &str) -> String {
        let target = resolver.resolve(Protocol::Tcp, dialled.parse().unwrap());
        target.map(|target| target.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_very_address_goes_before_every_address_and_ranges_go_in_step() {
        let mut resolver = Resolver::default();
        let publications = [
            ("0.0.0.0", 8000, 8009, 80),
            ("::", 8000, 8009, 80),
            ("127.0.0.1", 8005, 8005, 443),
        ];
        let web = endpoint("web", true, &publications);
        resolver.apply(&State::default(), &changes("web", Some(web)));
        for (dialled, target) in [
            ("192.0.2.1:8000", "10.66.0.2:80"),
            ("192.0.2.1:8009", "10.66.0.2:89"),
            ("192.0.2.1:8010", ""),
            ("192.0.2.1:7999", ""),
            ("127.0.0.1:8005", "10.66.0.2:443"),
            ("127.0.0.1:8006", "10.66.0.2:86"),
            ("[::1]:8005", "[fd66::2]:85"),
        ] {
            assert_eq!(leads(&resolver, dialled), target, "{dialled}");
        }
        let udp = resolver.resolve(Protocol::Udp, "192.0.2.1:8000".parse().unwrap());
        assert_eq!(udp, None);
    }

    #[test]
    fn a_container_without_ipv6_is_reached_over_ipv4() {
        let mut resolver = Resolver::default();
        let web = endpoint("web", false, &[("::", 8080, 8080, 80)]);
        resolver.apply(&State::default(), &changes("web", Some(web)));
        assert_eq!(leads(&resolver, "[2001:db8::1]:8080"), "10.66.0.2:80");
        assert_eq!(leads(&resolver, "192.0.2.1:8080"), "");
    }

    #[test]
    fn what_goes_is_forgotten_and_a_port_may_change_hands() {
        let mut state = State::default();
        let mut resolver = Resolver::default();
        let web = endpoint(
            "web",
            false,
            &[("0.0.0.0", 8080, 8080, 80), ("0.0.0.0", 9090, 9090, 90)],
        );
        let mut next = |resolver: &mut Resolver, changes: Changes| {
            resolver.apply(&state, &changes);
            state.apply(&changes);
            assert_eq!(*resolver, Resolver::new(&state));
        };
        next(&mut resolver, changes("web", Some(web)));
        let moved = Changes {
            endpoints: [
                (
                    Id("late".into()),
                    Some(endpoint("late", false, &[("0.0.0.0", 8080, 8080, 81)])),
                ),
                (Id("web".into()), Some(endpoint("web", false, &[]))),
            ]
            .into(),
            ..Changes::default()
        };
        next(&mut resolver, moved);
        assert_eq!(leads(&resolver, "192.0.2.1:8080"), "10.66.0.2:81");
        assert_eq!(leads(&resolver, "192.0.2.1:9090"), "");
        next(&mut resolver, changes("late", None));
        assert_eq!(resolver, Resolver::default());
    }
}
