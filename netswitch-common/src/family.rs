//! What a frame carries.

use crate::address::Address;

/// By the type in its Ethernet header.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Anything that is not below, tagged frames included: only its MACs count.
    Other = 0,
    Arp = 1,
    V4 = 2,
    V6 = 3,
}

impl Family {
    /// Whether an address of an IPv6 packet looks in the maps like an IPv4 one: `::ffff:a.b.c.d`, which
    /// nobody has on a wire.
    #[inline(always)]
    pub fn is_mapped(self, address: Address) -> bool {
        self == Self::V6 && address.as_v4().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn only_an_ipv6_packet_can_have_a_mapped_address() {
        for (family, address, expected) in [
            (Family::V6, "::ffff:10.0.0.1", true),
            (Family::V6, "::ffff:0.0.0.0", true),
            (Family::V6, "2001:db8::1", false),
            (Family::V6, "::", false),
            (Family::V4, "10.0.0.1", false),
            (Family::Arp, "10.0.0.1", false),
        ] {
            let address = Address::from(address.parse::<IpAddr>().unwrap());
            assert_eq!(family.is_mapped(address), expected, "{family:?} {address:?}");
        }
    }
}
