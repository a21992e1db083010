//! The host's `IPsec` policies as the maps hold them ([`netswitch_common::ipsec`]).

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use netswitch_common::{
    capacity,
    ipsec::{PolicyList, SecurityPolicy, side},
};

/// A policy: what it covers, and whether that passes in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub side: Side,
    /// The lowest is asked first; of several the one that was there first, which has the lower index.
    pub priority: u32,
    pub index: u32,
    pub from: IpNetwork,
    pub to: IpNetwork,
    pub from_ports: Ports,
    pub to_ports: Ports,
    /// IP protocol number; 0: any.
    pub protocol: u8,
    /// Of the packet, and its mask.
    pub mark: (u32, u32),
    pub passes: bool,
}

/// Whether it is about what the host sends or about what it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Out,
    Forward,
}

impl Side {
    /// One of [`side`].
    pub fn number(self) -> u32 {
        match self {
            Self::Out => side::OUT,
            Self::Forward => side::FORWARD,
        }
    }
}

/// Those that are `value` under the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    pub value: u16,
    pub mask: u16,
}

/// What the maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Numbers from 0.
    pub policies: Vec<SecurityPolicy>,
    /// By the prefix that leads to them.
    pub lists: Vec<(Side, IpNetwork, PolicyList)>,
}

/// Policies that stop all packets which no other policy covers.
pub fn stop_all(side: Side) -> [Policy; 2] {
    const ALL: [IpNetwork; 2] = [
        IpNetwork::V4(Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0).unwrap()),
        IpNetwork::V6(Ipv6Network::new_checked(Ipv6Addr::UNSPECIFIED, 0).unwrap()),
    ];
    ALL.map(|all| Policy {
        side,
        priority: u32::MAX,
        index: u32::MAX,
        from: all,
        to: all,
        from_ports: Ports::default(),
        to_ports: Ports::default(),
        protocol: 0,
        mark: (0, 0),
        passes: false,
    })
}

/// Policies that stop all packets, for a host whose own are not known.
pub fn stop_everything() -> Vec<Policy> {
    [stop_all(Side::Out), stop_all(Side::Forward)].concat()
}

impl Policy {
    /// The addresses that lead to it.
    fn far(&self) -> IpNetwork {
        let far = match self.side {
            Side::Out => self.to,
            Side::Forward => self.from,
        };
        IpNetwork::new(far.network(), far.prefix()).unwrap_or(far)
    }

    fn is_led_to_by(&self, prefix: IpNetwork) -> bool {
        let far = self.far();
        far.is_ipv4() == prefix.is_ipv4() && far.prefix() <= prefix.prefix() && far.contains(prefix.network())
    }

    fn value(&self) -> SecurityPolicy {
        let under = |ports: Ports| ((ports.value & ports.mask).to_be(), ports.mask.to_be());
        let (from_port, from_port_mask) = under(self.from_ports);
        let (to_port, to_port_mask) = under(self.to_ports);
        SecurityPolicy {
            from: self.from.network().into(),
            from_mask: self.from.mask().into(),
            to: self.to.network().into(),
            to_mask: self.to.mask().into(),
            from_port,
            from_port_mask,
            to_port,
            to_port_mask,
            // the kernel does not mask it: a policy with other bits covers nothing
            mark: self.mark.0,
            mark_mask: self.mark.1,
            protocol: self.protocol,
            is_v4: self.from.is_ipv4().into(),
            passes: self.passes.into(),
            _pad: 0,
        }
    }
}

/// For every prefix that a policy names, the policies that could cover an address of which it is the longest prefix: its own
/// and those of shorter prefixes. More than the maps hold are not compiled: everything stops.
pub fn compile(policies: &[Policy]) -> Compiled {
    let most = capacity::SECURITY as usize / 2;
    let mut compiled = Compiled::default();
    for side in [Side::Out, Side::Forward] {
        let mut asked: Vec<&Policy> = policies.iter().filter(|policy| policy.side == side).collect();
        asked.sort_by_key(|policy| (policy.priority, policy.index));
        let prefixes: BTreeSet<IpNetwork> = asked.iter().map(|policy| policy.far()).collect();
        for prefix in prefixes {
            let mut list: Vec<&Policy> = asked
                .iter()
                .copied()
                .filter(|policy| policy.is_led_to_by(prefix))
                .collect();
            // what lets pass matters in front of what stops
            let end = list
                .iter()
                .rposition(|policy| !policy.passes)
                .map_or(0, |last| last + 1);
            list.truncate(end);
            if list.is_empty() {
                continue;
            }
            if compiled.policies.len() + list.len() > most {
                return compile(&stop_everything());
            }
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let found = PolicyList {
                first: number(compiled.policies.len()),
                count: number(list.len()),
            };
            compiled.lists.push((side, prefix, found));
            compiled.policies.extend(list.into_iter().map(Policy::value));
        }
    }
    compiled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn policy(side: Side, priority: u32, from: &str, to: &str, passes: bool) -> Policy {
        let [mut policy, _] = stop_all(side);
        (policy.priority, policy.index, policy.passes) = (priority, priority, passes);
        (policy.from, policy.to) = (from.parse().unwrap(), to.parse().unwrap());
        policy
    }

    /// Prefix: priorities are told by the last byte of the source here.
    fn lists(policies: &[Policy]) -> Vec<String> {
        let compiled = compile(policies);
        let shown = |(side, prefix, list): &(Side, IpNetwork, PolicyList)| {
            let range = list.first as usize..(list.first + list.count) as usize;
            let sources: Vec<String> = compiled.policies[range]
                .iter()
                .map(|policy| IpAddr::from(policy.from).to_string())
                .collect();
            format!("{side:?} {prefix}: {}", sources.join(" "))
        };
        compiled.lists.iter().map(shown).collect()
    }

    #[test]
    fn a_prefix_leads_to_its_policies_and_to_those_of_shorter_ones_in_their_order() {
        let out = |priority, from, to, passes| policy(Side::Out, priority, from, to, passes);
        let policies = [
            out(9, "0.0.0.9/32", "10.0.0.0/8", false),
            out(1, "0.0.0.1/32", "0.0.0.0/0", false),
            out(5, "0.0.0.5/32", "10.1.2.3/16", true),
            out(10, "0.0.0.10/32", "10.1.0.0/16", true),
            out(2, "0.0.0.2/32", "192.0.2.0/24", true),
            policy(Side::Forward, 1, "2001:db8::/32", "::/0", false),
        ];
        assert_eq!(
            lists(&policies),
            [
                "Out 0.0.0.0/0: 0.0.0.1",
                "Out 10.0.0.0/8: 0.0.0.1 0.0.0.9",
                "Out 10.1.0.0/16: 0.0.0.1 0.0.0.5 0.0.0.9",
                "Out 192.0.2.0/24: 0.0.0.1",
                "Forward 2001:db8::/32: 2001:db8::",
            ]
        );
    }

    #[test]
    fn policies_that_stop_nothing_are_none() {
        let policies = [
            policy(Side::Out, 1, "10.0.0.0/8", "10.0.0.0/8", true),
            policy(Side::Forward, 1, "10.0.0.0/8", "10.0.0.0/8", true),
        ];
        assert_eq!(compile(&policies), Compiled::default());
    }

    #[test]
    fn more_than_the_maps_hold_stop_everything() {
        let many: Vec<Policy> = (0..=capacity::SECURITY / 2)
            .map(|number| policy(Side::Out, number, "10.0.0.0/8", "192.0.2.0/24", false))
            .collect();
        let everything = lists(&many);
        assert_eq!(
            everything,
            [
                "Out 0.0.0.0/0: 0.0.0.0",
                "Out ::/0: ::",
                "Forward 0.0.0.0/0: 0.0.0.0",
                "Forward ::/0: ::"
            ]
        );
    }
}
