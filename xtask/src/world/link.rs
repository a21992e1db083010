//! Veth pairs, and a kernel bridge to compare with.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::namespace::Namespace;

/// Largest packet of a BIG TCP link, in bytes: what netswitch sets with `netswitch.big_tcp`.
pub const BIG_TCP_SIZE: u32 = 192 * 1024;

/// A veth pair with one end in each namespace, both up.
pub fn veth(left: (&Namespace, &str), right: (&Namespace, &str)) -> Result<()> {
    left.0.ip(&format!(
        "link add {} type veth peer name {} netns {}",
        left.1,
        right.1,
        right.0.path().display()
    ))?;
    for (namespace, name) in [left, right] {
        namespace.ip(&format!("link set {name} up"))?;
    }
    Ok(())
}

pub fn add_address(namespace: &Namespace, device: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    namespace
        .ip(&format!("addr add {address}/{prefix} dev {device}"))
        .map(drop)
}

/// Namespaces joined by `device`, a kernel bridge in one of its own, which comes back.
pub fn bridge(device: &str, members: &[(&Namespace, Ipv4Addr)], filtered: bool) -> Result<Namespace> {
    let switch = Namespace::new()?;
    if Path::new("/proc/sys/net/bridge").exists() {
        switch.set("bridge/bridge-nf-call-iptables", if filtered { "1" } else { "0" })?;
        switch.set("bridge/bridge-nf-call-ip6tables", "0")?;
    }
    switch.ip(&format!("link add {device} type bridge"))?;
    switch.ip(&format!("link set {device} up"))?;
    for (index, (namespace, address)) in members.iter().enumerate() {
        let port = format!("veth{index}");
        veth((&switch, &port), (namespace, "eth0"))?;
        switch.ip(&format!("link set {port} master {device}"))?;
        add_address(namespace, "eth0", *address, 24)?;
    }
    Ok(switch)
}

/// Raises the four limits of BIG TCP. By netlink, because Debian 12's iproute2 cannot say
/// `gso_ipv4_max_size`, and `gso_max_size` alone leaves IPv4 at 64 KiB.
pub fn set_big_tcp(namespace: &Namespace, device: &str) -> Result<()> {
    let limits = [
        libc::IFLA_GSO_MAX_SIZE,
        libc::IFLA_GRO_MAX_SIZE,
        63, // IFLA_GSO_IPV4_MAX_SIZE, linux/if_link.h
        64, // IFLA_GRO_IPV4_MAX_SIZE
    ];
    let mut attributes = Vec::new();
    push_attribute(&mut attributes, libc::IFLA_IFNAME, &[device.as_bytes(), &[0]].concat());
    for limit in limits {
        push_attribute(&mut attributes, limit, &BIG_TCP_SIZE.to_ne_bytes());
    }
    set_link(namespace, &attributes).with_context(|| format!("set BIG TCP sizes of {device}"))
}

fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// One `RTM_NEWLINK` to an existing link, and its acknowledgement.
fn set_link(namespace: &Namespace, attributes: &[u8]) -> Result<()> {
    const HEADER: usize = 16; // nlmsghdr
    const LINK: usize = 16; // ifinfomsg, all zero: the link is found by its name
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK)?;
    let mut message = Vec::new();
    message.extend(u32::try_from(HEADER + LINK + attributes.len())?.to_ne_bytes());
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.resize(HEADER + LINK, 0);
    message.extend(attributes);

    let mut answer = [0; 4096];
    namespace.inside(|| {
        use std::os::fd::AsRawFd;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
        recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        Ok(())
    })?;
    let error = i32::from_ne_bytes(answer[HEADER..HEADER + 4].try_into()?);
    ensure!(error == 0, "{}", std::io::Error::from_raw_os_error(-error));
    Ok(())
}
