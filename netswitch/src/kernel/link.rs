//! Links: veth pairs made in one request, looked up by name without a dump.

use std::fmt::Display;
use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask,
        LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    },
};
use netswitch_common::address::Mac;
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::{End, Error, Link, LinkHeader, Result, Traffic, Veth, namespace, socket::Socket};

/// Device group of what is about to be deleted ("nswd"); everything in it goes.
const DOOMED: u32 = 0x6e73_7764;

pub fn all(socket: &mut Socket) -> Result<Vec<Link>> {
    let mut message = LinkMessage::default();
    message.attributes.push(no_statistics());
    let answers = socket
        .dump(&RouteNetlinkMessage::GetLink(message))
        .map_err(|refusal| refusal.of("list devices"))?;
    Ok(answers.iter().filter_map(of_message).collect())
}

/// `None`: no such device.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    look_up(socket, named(name), name)
}

/// As [`by_name`].
pub fn by_index(socket: &mut Socket, index: u32) -> Result<Option<Link>> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    look_up(socket, message, index)
}

fn look_up(socket: &mut Socket, mut message: LinkMessage, device: impl Display) -> Result<Option<Link>> {
    message.attributes.push(no_statistics());
    match socket.request(RouteNetlinkMessage::GetLink(message), 0) {
        Ok(answers) => Ok(answers.iter().find_map(of_message)),
        Err(refusal) if refusal.is(Errno::ENODEV) => Ok(None),
        Err(refusal) => Err(refusal.of(format_args!("look up device {device}"))),
    }
}

/// What the other end of a pair has received and sent, in whatever namespace that is: the kernel has a number for each
/// that an end of ours leads to, and answers about it from here.
pub fn traffic_of_peer(socket: &mut Socket, name: &str) -> Result<Traffic> {
    let mut message = named(name);
    message.attributes.push(no_statistics());
    let near = attributes(socket, message, name)?;
    let mut message = LinkMessage::default();
    for attribute in near {
        match attribute {
            LinkAttribute::Link(index) => message.header.index = index,
            LinkAttribute::LinkNetNsId(number) => message.attributes.push(LinkAttribute::IfNetnsId(number)),
            _ => {}
        }
    }
    let far = attributes(socket, message, name)?;
    let mut counts = far.iter().filter_map(|attribute| match attribute {
        LinkAttribute::Stats64(counts) => Some(counts),
        _ => None,
    });
    let counts = counts.next().ok_or_else(|| Error::NoDevice(name.to_owned()))?;
    Ok(Traffic {
        received_packets: counts.rx_packets,
        received_bytes: counts.rx_bytes,
        received_errors: counts.rx_errors,
        received_dropped: counts.rx_dropped,
        sent_packets: counts.tx_packets,
        sent_bytes: counts.tx_bytes,
        sent_errors: counts.tx_errors,
        sent_dropped: counts.tx_dropped,
    })
}

/// Of the device asked for.
fn attributes(socket: &mut Socket, message: LinkMessage, name: &str) -> Result<Vec<LinkAttribute>> {
    let answers = match socket.request(RouteNetlinkMessage::GetLink(message), 0) {
        Err(refusal) if refusal.is(Errno::ENODEV) => return Err(Error::NoDevice(name.to_owned())),
        result => result.map_err(|refusal| refusal.of(format_args!("look up device {name}")))?,
    };
    let attributes = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(message.attributes),
        _ => None,
    });
    Ok(attributes.flatten().collect())
}

pub fn index(socket: &mut Socket, name: &str) -> Result<u32> {
    match by_name(socket, name)? {
        Some(link) => Ok(link.index),
        None => Err(Error::NoDevice(name.to_owned())),
    }
}

/// Makes the pair with all that creation takes; the rest is [`settle`]'s.
pub fn add_veth(socket: &mut Socket, veth: &Veth) -> Result<()> {
    let target = namespace::open(&veth.far.namespace)?;
    let mut far = at_creation(&veth.far);
    if let Some(target) = &target.file {
        let descriptor: RawFd = target.as_raw_fd();
        far.attributes.push(LinkAttribute::NetNsFd(descriptor));
    }
    let mut near = at_creation(&veth.near);
    near.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
    ]));
    match socket.request(RouteNetlinkMessage::NewLink(near), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::EEXIST) => {
            let taken = if by_name(socket, &veth.near.name)?.is_some() {
                &veth.near
            } else {
                &veth.far
            };
            Err(Error::Exists(taken.name.clone()))
        }
        Err(refusal) => Err(refusal.of(format_args!("make pair {} and {}", veth.near.name, veth.far.name))),
    }
}

/// Whether an end needs more than its creation gave it.
pub fn needs_settling(end: &End) -> bool {
    end.alias.is_some() || end.silent || end.gateway
}

/// What the kernel takes only after creation and must have before the end comes up: alias, NOARP and no
/// generated IPv6 address (at creation it answers EAFNOSUPPORT).
pub fn settle(socket: &mut Socket, end: &End) -> Result<()> {
    let mut message = named(&end.name);
    if let Some(alias) = &end.alias {
        message.attributes.push(LinkAttribute::IfAlias(alias.clone()));
    }
    if end.silent {
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
    }
    let without_ipv6 = message.clone();
    if end.silent || end.gateway {
        message
            .attributes
            .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
                AfSpecInet6::AddrGenMode(In6AddrGenMode::None),
            ])]));
    }
    match set(socket, message, &end.name) {
        // the kernel or, below an MTU of 1280, the device has no IPv6: nothing to silence
        Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            set(socket, without_ipv6, &end.name)
        }
        result => result,
    }
}

pub fn set_up(socket: &mut Socket, name: &str, up: bool) -> Result<()> {
    let mut message = named(name);
    message.header.change_mask = LinkFlags::Up;
    if up {
        message.header.flags = LinkFlags::Up;
    }
    set(socket, message, name)
}

/// Gone already: no error.
pub fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    match socket.request(RouteNetlinkMessage::DelLink(named(name)), 0) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::ENODEV) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("delete device {name}"))),
    }
}

/// Deletes as one group: the kernel then waits for the packets under way once, not once per device
/// (about 20 ms each). Goes on past a device that refuses, and tells of the first.
pub fn delete_many(socket: &mut Socket, names: &[String]) -> Result<()> {
    let mut marked = false;
    let mut result = Ok(());
    for name in names {
        let mut message = named(name);
        message.attributes.push(LinkAttribute::Group(DOOMED));
        match set(socket, message, name) {
            Ok(()) => marked = true,
            Err(Error::NoDevice(_)) => {}
            Err(error) => result = result.and(Err(error)),
        }
    }
    if marked {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(DOOMED));
        match socket.request(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(_) => {}
            Err(refusal) if refusal.is(Errno::ENODEV) => {}
            Err(refusal) => result = result.and(Err(refusal.of("delete devices"))),
        }
    }
    result
}

/// A link as a message of the link family tells it.
#[expect(clippy::wildcard_enum_match_arm, reason = "most of what a link has is not ours")]
pub fn of_message(message: &RouteNetlinkMessage) -> Option<Link> {
    let (RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)) = message else {
        return None;
    };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        alias: None,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        peer: None,
        kind: String::new(),
        qdisc: String::new(),
        header: header(message.header.link_layer_type),
        controller: None,
    };
    let mut lower = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Address(address) => link.mac = address.as_slice().try_into().ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Qdisc(qdisc) => link.qdisc.clone_from(qdisc),
            LinkAttribute::Link(index) => lower = Some(*index),
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::LinkInfo(info) => {
                if let Some(kind) = info.iter().find_map(kind) {
                    link.kind = kind;
                }
            }
            _ => {}
        }
    }
    // for others than pairs it is the device below
    if link.kind == "veth" {
        link.peer = lower;
    }
    Some(link)
}

/// As the kernel distinguishes them for `bpf_redirect` (`dev_is_mac_header_xmit` in `linux/if_arp.h`).
#[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens of others")]
fn header(kind: LinkLayerType) -> LinkHeader {
    match kind {
        LinkLayerType::Ether | LinkLayerType::Loopback => LinkHeader::Ethernet,
        LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre
        | LinkLayerType::Ppp
        | LinkLayerType::Rawip
        | LinkLayerType::Void
        | LinkLayerType::None => LinkHeader::None,
        _ => LinkHeader::Other,
    }
}

fn kind(info: &LinkInfo) -> Option<String> {
    if let LinkInfo::Kind(kind) = info {
        Some(kind.to_string())
    } else {
        None
    }
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn no_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn at_creation(end: &End) -> LinkMessage {
    let mut message = named(&end.name);
    message.attributes.push(LinkAttribute::Mtu(end.mtu));
    if let Some(mac) = end.mac {
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    }
    if let Some(size) = end.big_tcp {
        message.attributes.extend([
            LinkAttribute::GsoMaxSize(size),
            LinkAttribute::GroMaxSize(size),
            LinkAttribute::GsoIpv4MaxSize(size),
            LinkAttribute::GroIpv4MaxSize(size),
        ]);
    }
    message
}

fn set(socket: &mut Socket, message: LinkMessage, name: &str) -> Result<()> {
    match socket.request(RouteNetlinkMessage::SetLink(message), 0) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::ENODEV) => Err(Error::NoDevice(name.to_owned())),
        Err(refusal) => Err(refusal.of(format_args!("set device {name}"))),
    }
}
