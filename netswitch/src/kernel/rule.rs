//! Rules that choose between routing tables (`RTM_GETRULE`, `net/core/fib_rules.c`).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};

use super::{Result, socket::Socket};
use crate::model::routing::{Action, Rule};

/// IPv6's, in the order in which the kernel asks them.
pub fn all(socket: &mut Socket) -> Result<Vec<Rule>> {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet6;
    let answers = socket.dump(&RouteNetlinkMessage::GetRule(message));
    let answers = answers.map_err(|refusal| refusal.of("list rules"))?;
    Ok(answers.iter().filter_map(rule).collect())
}

fn rule(message: &RouteNetlinkMessage) -> Option<Rule> {
    let RouteNetlinkMessage::NewRule(message) = message else {
        return None;
    };
    let header = &message.header;
    let mut rule = Rule {
        service: header.tos,
        is_inverted: header.flags.contains(RuleFlags::Invert),
        ..Rule::default()
    };
    let mut table = u32::from(header.table);
    let mut target = 0;
    let network = |address: &IpAddr, length: u8| IpNetwork::new(*address, length).ok();
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(address) => rule.from = network(address, header.src_len),
            RuleAttribute::Destination(address) => rule.to = network(address, header.dst_len),
            RuleAttribute::Iifname(name) => rule.device = Some(name.clone()),
            RuleAttribute::FwMark(mark) => rule.mark.0 = *mark,
            RuleAttribute::FwMask(mask) => rule.mark.1 = *mask,
            RuleAttribute::Table(number) => table = *number, // wider than the header's
            RuleAttribute::Goto(priority) => target = *priority,
            RuleAttribute::SuppressPrefixLen(length) => rule.suppressed = length.cast_signed(),
            RuleAttribute::IpProtocol(protocol) => rule.protocol = (*protocol).into(),
            RuleAttribute::SourcePortRange(ports) => rule.from_ports = [ports.start, ports.end],
            RuleAttribute::DestinationPortRange(ports) => rule.to_ports = [ports.start, ports.end],
            // of what no packet has that is passed on: a device that a socket is bound to, a tunnel's key, a VRF. As user
            // the kernel takes root
            RuleAttribute::Oifname(_) | RuleAttribute::TunId(_) | RuleAttribute::L3MDev(true) => {
                rule.takes_none = true;
            }
            RuleAttribute::UidRange(range) => rule.takes_none |= range.start > 0,
            _ => {} // what no packet is told apart by, and what is not heeded: `suppress_ifgroup`
        }
    }
    rule.action = match header.action {
        RuleAction::ToTable => Action::Table(table),
        RuleAction::Goto => Action::GoOnAt(target),
        RuleAction::Unreachable => Action::Unreachable,
        RuleAction::Prohibit => Action::Prohibit,
        RuleAction::Blackhole => Action::Blackhole,
        _ => Action::None,
    };
    Some(rule)
}
