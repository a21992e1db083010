//! The host's `IPsec`, by `NETLINK_XFRM` (`linux/xfrm.h`, `net/xfrm/xfrm_user.c`): whether it is used, its policies, and
//! that they change.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::IpNetwork;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NlasIterator},
    sys::{self, protocols::NETLINK_XFRM},
};

use super::{
    Error, Result,
    raw_netlink::{self, bytes_at},
};
use crate::model::ipsec::{self, Policy, Ports, Side};

/// `XFRM_MSG_GETPOLICY`, `XFRM_MSG_GETSADINFO`, `XFRM_MSG_GETSPDINFO` (how many associations and policies there are) and
/// `XFRM_MSG_GETDEFAULT` (what becomes of packets that no policy covers; since 5.14).
const GET_POLICY: u16 = 0x15;
const GET_ASSOCIATION_COUNT: u16 = 0x23;
const GET_POLICY_COUNT: u16 = 0x25;
const GET_DEFAULT: u16 = 0x28;
/// What tells of changes: `XFRM_MSG_NEWPOLICY`, `DELPOLICY`, `UPDPOLICY`, `POLEXPIRE`, `FLUSHPOLICY`, `SETDEFAULT`.
const CHANGES: [u16; 6] = [0x13, 0x14, 0x19, 0x1b, 0x1d, 0x27];
/// `XFRMNLGRP_EXPIRE` and `XFRMNLGRP_POLICY`, as bits.
const GROUPS: u32 = 1 << 1 | 1 << 3;

/// Both counts come behind flags and an attribute's header: `XFRMA_SAD_CNT`; `XFRMA_SPD_INFO`, of which the first six
/// are policies by direction.
const COUNTS: usize = 4 + 4;
const COUNTS_MOST: usize = 6;

/// Places in `struct xfrm_userpolicy_info`, which starts with a `struct xfrm_selector`.
mod place {
    pub const TO: usize = 0;
    pub const FROM: usize = 16;
    pub const TO_PORT: usize = 32;
    pub const FROM_PORT: usize = 36;
    pub const FAMILY: usize = 40;
    pub const TO_LENGTH: usize = 42;
    pub const FROM_LENGTH: usize = 43;
    pub const PROTOCOL: usize = 44;
    pub const DEVICE: usize = 48;
    pub const PRIORITY: usize = 152;
    pub const INDEX: usize = 156;
    pub const DIRECTION: usize = 160;
    pub const ACTION: usize = 161;
    /// Attributes follow.
    pub const END: usize = 168;
}

/// `XFRM_POLICY_OUT` and `XFRM_POLICY_FWD`.
const OUT: u8 = 1;
const FORWARD: u8 = 2;
/// `XFRM_POLICY_BLOCK`.
const BLOCK: u8 = 1;
/// `XFRM_USERPOLICY_BLOCK`, of a `struct xfrm_userpolicy_default`: in, forward, out.
const DEFAULT_BLOCK: u8 = 1;
/// `AF_INET` and `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;

/// `XFRMA_TMPL`, a list of `struct xfrm_user_tmpl`; `XFRMA_MARK`; `XFRMA_IF_ID`.
const TEMPLATES: u16 = 5;
const MARK: u16 = 21;
const INTERFACE: u16 = 31;
const TEMPLATE_LENGTH: usize = 64;
const TEMPLATE_OPTIONAL: usize = 50;

/// Whether the calling thread's namespace has an `IPsec` association or policy.
pub fn is_used() -> Result<bool> {
    let used = || -> io::Result<bool> {
        let socket = raw_netlink::open(NETLINK_XFRM)?;
        Ok(count(&socket, GET_ASSOCIATION_COUNT)? != 0 || count(&socket, GET_POLICY_COUNT)? != 0)
    };
    where_there_is_ipsec(used(), || false)
}

/// The policies of the calling thread's namespace about what it sends and passes on.
pub fn policies() -> Result<Vec<Policy>> {
    let read = || -> io::Result<Vec<Policy>> {
        let socket = raw_netlink::open(NETLINK_XFRM)?;
        let request = raw_netlink::request(GET_POLICY, NLM_F_REQUEST | NLM_F_DUMP, &[]);
        let mut policies = Vec::new();
        raw_netlink::dump(&socket, &request, |message| policies.extend(policy(message)))?;
        policies.extend(defaults(&socket)?);
        Ok(policies)
    };
    where_there_is_ipsec(read(), Vec::new)
}

/// A socket that hears of changes, for [`is_change`]; `None` where the kernel has no `IPsec`.
pub fn listen() -> io::Result<Option<sys::Socket>> {
    let listening = || -> io::Result<sys::Socket> {
        let mut socket = sys::Socket::new(NETLINK_XFRM)?;
        socket.bind(&sys::SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        Ok(socket)
    };
    match listening() {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if has_none(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what there is to be read. Whether policies have changed, or may have.
pub fn is_change(socket: &sys::Socket) -> bool {
    let mut datagram = Vec::with_capacity(64 * 1024);
    let mut changed = false;
    loop {
        datagram.clear();
        match socket.recv(&mut datagram, 0) {
            Ok(_) => {
                let read = raw_netlink::messages(&datagram, |kind, _| changed |= CHANGES.contains(&kind));
                changed |= read.is_err();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return changed,
            // more was said than could be kept
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changed = true,
            Err(_) => return true,
        }
    }
}

fn where_there_is_ipsec<T>(answer: io::Result<T>, none: impl FnOnce() -> T) -> Result<T> {
    match answer {
        Err(error) if has_none(&error) => Ok(none()),
        answer => answer.map_err(|error| Error::system("ask for IPsec policies".to_owned(), error)),
    }
}

fn has_none(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT))
}

fn count(socket: &sys::Socket, ask: u16) -> io::Result<u32> {
    let answer = raw_netlink::ask(
        socket,
        &raw_netlink::request(ask, NLM_F_REQUEST, &u32::MAX.to_ne_bytes()),
    )?;
    // an attribute's length covers its header; what lies behind it are other attributes
    let length = usize::from(u16::from_ne_bytes(bytes_at(&answer, COUNTS - 4)));
    let counts = length.saturating_sub(4) / 4;
    Ok((0..counts.min(COUNTS_MOST))
        .map(|index| u32::from_ne_bytes(bytes_at(&answer, COUNTS + 4 * index)))
        .fold(0, u32::saturating_add))
}

/// What becomes of packets that no policy covers, as policies. An older kernel lets them pass.
fn defaults(socket: &sys::Socket) -> io::Result<Vec<Policy>> {
    let request = raw_netlink::request(GET_DEFAULT, NLM_F_REQUEST, &[0; 4]);
    let answer = match raw_netlink::ask(socket, &request) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(Vec::new()),
        answer => answer?,
    };
    let [_, forward, out] = bytes_at::<3>(&answer, 0);
    let mut blocked = Vec::new();
    for (side, action) in [(Side::Out, out), (Side::Forward, forward)] {
        if action == DEFAULT_BLOCK {
            blocked.extend(ipsec::stop_all(side));
        }
    }
    Ok(blocked)
}

/// A `struct xfrm_userpolicy_info` and its attributes. `None`: it does not concern what is passed on.
fn policy(message: &[u8]) -> Option<Policy> {
    let byte = |at: usize| bytes_at::<1>(message, at)[0];
    let word = |at: usize| u32::from_ne_bytes(bytes_at(message, at));
    let side = match byte(place::DIRECTION) {
        OUT => Side::Out,
        FORWARD => Side::Forward,
        _ => return None,
    };
    let family = u16::from_ne_bytes(bytes_at(message, place::FAMILY));
    let network = |address: usize, length: usize| {
        let address = match family {
            INET => IpAddr::from(Ipv4Addr::from(bytes_at::<4>(message, address))),
            INET6 => IpAddr::from(Ipv6Addr::from(bytes_at::<16>(message, address))),
            _ => return None,
        };
        IpNetwork::new(address, byte(length)).ok()
    };
    let ports = |at: usize| Ports {
        value: u16::from_be_bytes(bytes_at(message, at)),
        mask: u16::from_be_bytes(bytes_at(message, at + 2)),
    };
    let mut policy = Policy {
        side,
        priority: word(place::PRIORITY),
        index: word(place::INDEX),
        from: network(place::FROM, place::FROM_LENGTH)?,
        to: network(place::TO, place::TO_LENGTH)?,
        from_ports: ports(place::FROM_PORT),
        to_ports: ports(place::TO_PORT),
        protocol: byte(place::PROTOCOL),
        mark: (0, 0),
        passes: byte(place::ACTION) != BLOCK,
    };
    for attribute in NlasIterator::new(message.get(place::END..)?).filter_map(std::result::Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            TEMPLATES => policy.passes &= lets_pass(value, side),
            MARK => {
                policy.mark = (
                    u32::from_ne_bytes(bytes_at(value, 0)),
                    u32::from_ne_bytes(bytes_at(value, 4)),
                );
            }
            // of a device of kind xfrm, which asks for it itself
            INTERFACE if value.iter().any(|byte| *byte != 0) => return None,
            _ => {}
        }
    }
    // the way of a packet is not known where policies are asked: what stops, stops everywhere
    (word(place::DEVICE) == 0 || !policy.passes).then_some(policy)
}

/// Whether packets pass in the clear by a policy with these templates. One that is optional covers what it can where
/// packets leave, and asks for nothing where they arrive (`xfrm_policy_ok`).
fn lets_pass(templates: &[u8], side: Side) -> bool {
    let mut templates = templates.chunks_exact(TEMPLATE_LENGTH);
    side == Side::Forward && templates.all(|template| template[TEMPLATE_OPTIONAL] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn in_fresh_namespace<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let asked = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        Some(asked.join().unwrap())
    }

    #[test]
    fn a_fresh_namespace_uses_no_ipsec() {
        let found = in_fresh_namespace(|| (is_used().unwrap(), policies().unwrap()));
        assert!(found.is_none_or(|(is_used, policies)| !is_used && policies.is_empty()));
    }

    #[test]
    fn policies_are_read_as_ip_has_written_them() {
        let ip = |words: &str| Command::new("ip").args(words.split(' ')).status().unwrap().success();
        let tunnel = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel";
        let Some(policies) = in_fresh_namespace(move || {
            let events = listen().unwrap();
            assert!(events.as_ref().is_none_or(|events| !is_change(events)));
            let added = [
                format!("src 10.0.0.0/8 dst 192.0.2.0/24 proto udp sport 53 dport 7000 dir out priority 7 {tunnel}"),
                "src 2001:db8::/32 dst ::/0 dir fwd action block mark 5 mask 7".to_owned(),
                "src 10.0.0.0/8 dst 10.0.0.0/8 dir out".to_owned(),
                format!("src 10.1.0.0/16 dst 10.2.0.0/16 dir fwd {tunnel} level use"),
                format!("src 10.0.0.0/8 dst 10.9.0.0/16 dir in {tunnel}"),
                format!("src 10.0.0.0/8 dst 10.9.0.0/16 dir out if_id 7 {tunnel}"),
            ];
            for policy in &added {
                assert!(ip(&format!("xfrm policy add {policy}")), "{policy}");
            }
            assert!(events.as_ref().is_none_or(is_change));
            let mut policies = policies().unwrap();
            policies.sort_by_key(|policy| policy.index);
            policies
        }) else {
            return;
        };
        let shown: Vec<String> = policies
            .iter()
            .map(|policy| {
                let Ports { value, mask } = policy.to_ports;
                format!(
                    "{:?} {} {} {} {value}/{mask:x} {} {:?} {} {}",
                    policy.side,
                    policy.from,
                    policy.to,
                    policy.from_ports.value,
                    policy.protocol,
                    policy.mark,
                    policy.priority,
                    policy.passes
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "Out 10.0.0.0/8 192.0.2.0/24 53 7000/ffff 17 (0, 0) 7 false",
                "Forward 2001:db8::/32 ::/0 0 0/0 0 (5, 7) 0 false",
                "Out 10.0.0.0/8 10.0.0.0/8 0 0/0 0 (0, 0) 0 true",
                "Forward 10.1.0.0/16 10.2.0.0/16 0 0/0 0 (0, 0) 0 true",
            ]
        );
    }
}
