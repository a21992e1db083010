//! A name server, as `resolv.conf` names it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address, and of a link-local one the device that leads there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameServer {
    pub address: IpAddr,
    /// The device's name or index, as it stands behind the `%`.
    pub zone: Option<String>,
}

impl NameServer {
    /// Whether the way to it is the same from everywhere: neither the host's own nor one link's.
    pub fn is_routable(&self) -> bool {
        let is_one_links = |v6: &Ipv6Addr| v6.is_unicast_link_local() || v6.is_multicast();
        self.zone.is_none()
            && !self.address.is_loopback()
            && !self.address.is_unspecified()
            && match &self.address {
                IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_multicast() && !v4.is_broadcast(),
                IpAddr::V6(v6) => !is_one_links(v6) && v6.to_ipv4_mapped().is_none(),
            }
    }
}

impl From<IpAddr> for NameServer {
    fn from(address: IpAddr) -> Self {
        Self { address, zone: None }
    }
}

impl FromStr for NameServer {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('%') {
            Some((address, zone)) => Ok(Self {
                address: address.parse::<Ipv6Addr>()?.into(),
                zone: Some(zone.to_owned()),
            }),
            None => text.parse().map(IpAddr::into),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(out, "{}%{zone}", self.address),
            None => self.address.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_kept_and_belongs_to_ipv6() {
        for text in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "fe80::1%2"] {
            assert_eq!(text.parse::<NameServer>().unwrap().to_string(), text);
        }
        for text in ["", "nonsense", "192.0.2.1%eth0", "%eth0", "::1::2"] {
            assert!(text.parse::<NameServer>().is_err(), "{text}");
        }
    }

    #[test]
    fn routable_is_what_everybody_reaches() {
        for (text, is_routable) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.53", false),
            ("::1", false),
            ("169.254.1.1", false),
            ("fe80::1%eth0", false),
            ("fe80::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.251", false),
            ("ff02::fb", false),
        ] {
            assert_eq!(text.parse::<NameServer>().unwrap().is_routable(), is_routable, "{text}");
        }
    }
}
