//! Prefixes of addresses as the keys of tries.

use std::net::IpAddr;

use aya::maps::lpm_trie::Key;
use ipnetwork::IpNetwork;
use netswitch_common::{address::Address, publish::SourceKey};

/// Bits in front of an IPv4 address in its [`Address`] form.
const V4_OFFSET: u8 = 96;

pub(super) fn key_of(subnet: &IpNetwork) -> Key<Address> {
    let offset = if subnet.is_ipv4() { V4_OFFSET } else { 0 };
    Key::new(u32::from(offset + subnet.prefix()), Address::from(subnet.network()))
}

pub(super) fn subnet_of(key: &Key<Address>) -> Option<IpNetwork> {
    let prefix = u8::try_from(key.prefix_len()).ok()?;
    let address = IpAddr::from(key.data());
    let offset = if address.is_ipv4() { V4_OFFSET } else { 0 };
    IpNetwork::new(address, prefix.checked_sub(offset)?).ok()
}

/// Bits in front of the address in a [`SourceKey`].
pub(super) const SOURCE_OFFSET: u32 = 32;

pub(super) fn source_key(publication: u16, network: &IpNetwork) -> Key<SourceKey> {
    let address = key_of(network);
    let data = SourceKey {
        publication: publication.into(),
        address: address.data(),
    };
    Key::new(SOURCE_OFFSET + address.prefix_len(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_survives_its_key() {
        for text in ["10.1.0.0/16", "0.0.0.0/0", "192.168.7.4/32", "fd00:1::/64", "::/0"] {
            let subnet: IpNetwork = text.parse().unwrap();
            assert_eq!(subnet_of(&key_of(&subnet)), Some(subnet));
        }
        // the address of a host inside the subnet names the subnet
        let inside: IpNetwork = "10.1.2.3/16".parse().unwrap();
        assert_eq!(subnet_of(&key_of(&inside)).unwrap().to_string(), "10.1.0.0/16");
    }
}
