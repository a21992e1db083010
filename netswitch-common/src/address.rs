//! Hardware and network addresses as the maps hold them: network byte order, one form for v4 and v6.

use crate::map_type;

/// An Ethernet address. Aligned to its words, so that eBPF compares it in three steps and not in six.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The same bytes as three words in network order.
    #[inline(always)]
    pub const fn words(self) -> [u16; 3] {
        let [a, b, c, d, e, f] = self.0;
        [
            u16::from_ne_bytes([a, b]),
            u16::from_ne_bytes([c, d]),
            u16::from_ne_bytes([e, f]),
        ]
    }

    /// The other way round.
    #[inline(always)]
    pub const fn from_words(words: [u16; 3]) -> Self {
        let [[a, b], [c, d], [e, f]] = [words[0].to_ne_bytes(), words[1].to_ne_bytes(), words[2].to_ne_bytes()];
        Self([a, b, c, d, e, f])
    }

    /// Whether the group bit is set: broadcast and multicast (IEEE 802.3, 3.2.3).
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The address Docker gives an interface with this IPv4 address: `02:42` and its four bytes.
    pub const fn of_v4(address: [u8; 4]) -> Self {
        let [a, b, c, d] = address;
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The link-local address the kernel derives from this one (RFC 4291, appendix A: EUI-64).
    pub const fn link_local(self) -> [u8; 16] {
        let [a, b, c, d, e, f] = self.0;
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]
    }
}

impl core::fmt::Display for Mac {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// An IP address: v6 as it is, v4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2). Words in network order.
///
/// All zero means "none".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address(pub [u32; 4]);
map_type!(Address, 16);

impl Address {
    pub const NONE: Self = Self([0; 4]);

    /// From the four bytes of an IPv4 address read as one word in network order.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self([0, 0, 0xffff_u32.to_be(), word])
    }

    /// The word in network order of an IPv4 address.
    #[inline(always)]
    pub const fn as_v4(self) -> Option<u32> {
        let [a, b, c, d] = self.0;
        if a == 0 && b == 0 && c == 0xffff_u32.to_be() {
            Some(d)
        } else {
            None
        }
    }

    #[inline(always)]
    pub const fn is_none(self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }

    /// `::` or `0.0.0.0`: the source of a host that has no address yet.
    #[inline(always)]
    pub const fn is_unspecified(self) -> bool {
        self.is_none() || matches!(self.as_v4(), Some(0))
    }

    /// As `==`, in all four words at once.
    #[inline(always)]
    #[must_use]
    pub const fn is(self, other: Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
    }

    /// Whether the bits that the mask names are those of `value`.
    #[inline(always)]
    #[must_use]
    pub const fn is_under(self, mask: Self, value: Self) -> bool {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (self.0, mask.0, value.0);
        ((a & e) ^ i) | ((b & f) ^ j) | ((c & g) ^ k) | ((d & h) ^ l) == 0
    }

    /// The unspecified address of the same family.
    #[inline(always)]
    #[must_use]
    pub const fn any(self) -> Self {
        match self.as_v4() {
            Some(_) => Self::v4(0),
            None => Self::NONE,
        }
    }

    /// `127.0.0.0/8` or `::1`.
    #[inline(always)]
    pub const fn is_loopback(self) -> bool {
        match self.as_v4() {
            Some(v4) => v4 & 0xff00_0000_u32.to_be() == 0x7f00_0000_u32.to_be(),
            None => matches!(self.0, [0, 0, 0, last] if last == 1_u32.to_be()),
        }
    }

    /// A group of hosts: `ff00::/8`, `224.0.0.0/4` or the limited broadcast address.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        match self.as_v4() {
            Some(v4) => v4 == u32::MAX || v4 & 0xf000_0000_u32.to_be() == 0xe000_0000_u32.to_be(),
            None => self.is_v6_multicast(),
        }
    }

    /// `ff00::/8`.
    #[inline(always)]
    pub const fn is_v6_multicast(self) -> bool {
        self.0[0] & 0xff00_0000_u32.to_be() == 0xff00_0000_u32.to_be()
    }

    /// `fe80::/10`.
    #[inline(always)]
    pub const fn is_v6_link_local(self) -> bool {
        self.0[0] & 0xffc0_0000_u32.to_be() == 0xfe80_0000_u32.to_be()
    }

    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
        ])
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::v4(u32::from_ne_bytes(v4.octets())),
            core::net::IpAddr::V6(v6) => Self::from_octets(v6.octets()),
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        if let Some(v4) = address.as_v4() {
            return Self::from(v4.to_ne_bytes());
        }
        let mut octets = [0; 16];
        for (place, word) in octets.chunks_exact_mut(4).zip(address.0) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Self::from(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn an_address_has_one_form_for_both_families() {
        let v4 = Address::from("10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(
            v4,
            Address::from_octets([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2])
        );
        assert_eq!(v4.as_v4(), Some(u32::from_ne_bytes([10, 0, 0, 2])));
        let v6 = Address::from("fe80::1".parse::<IpAddr>().unwrap());
        assert_eq!(v6.as_v4(), None);
        assert_eq!(
            [IpAddr::from(v4), IpAddr::from(v6)].map(|ip| ip.to_string()),
            ["10.0.0.2", "fe80::1"]
        );
        assert!(v6.is_v6_link_local() && !v6.is_v6_multicast() && !v6.is_none());
    }

    #[test]
    fn groups_and_nobody_are_told_from_hosts() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        for group in ["224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1"] {
            assert!(address(group).is_group(), "{group}");
        }
        for host in ["223.255.255.255", "240.0.0.1", "fe80::1", "0.0.0.0", "::"] {
            assert!(!address(host).is_group(), "{host}");
        }
        assert!(address("::").is_unspecified() && address("0.0.0.0").is_unspecified());
        assert!(!address("::1").is_unspecified() && !address("0.0.0.1").is_unspecified());
    }

    #[test]
    fn a_mac_follows_the_v4_address() {
        let mac = Mac::of_v4([172, 17, 0, 2]);
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!(Mac::from_words(mac.words()), mac);
        assert_eq!(
            core::net::Ipv6Addr::from(mac.link_local()).to_string(),
            "fe80::42:acff:fe11:2"
        );
    }
}
