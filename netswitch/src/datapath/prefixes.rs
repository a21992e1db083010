//! Prefixes of addresses as the keys of tries.

use std::net::IpAddr;

use aya::{Pod, maps::lpm_trie::Key};
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

/// Bits in front of the address in the keys that have a number there: whose prefix it is.
pub(super) const NUMBER_BITS: u32 = 32;

/// Such a key; `data` makes it of the address.
pub(super) fn numbered_key<K: Pod>(network: &IpNetwork, data: impl FnOnce(Address) -> K) -> Key<K> {
    let address = key_of(network);
    Key::new(NUMBER_BITS + address.prefix_len(), data(address.data()))
}

pub(super) fn source_key(publication: u16, network: &IpNetwork) -> Key<SourceKey> {
    numbered_key(network, |address| SourceKey {
        publication: publication.into(),
        address,
    })
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
