//! An endpoint: one interface of one running container on one network, and the rules for it.

pub mod add;
pub mod connect;
pub mod openings;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;
use serde::{Deserialize, Serialize};

use super::{Id, policy::Leashes, publish::Publication};

/// Exists while its container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: Id,
    pub network: Id,
    pub container: Id,
    pub sandbox: Id,
    /// Index into SLOTS and the id in every map; never 0.
    pub number: u32,
    pub generation: u32,
    /// Position in MEMBERS of its network; slot 0 is the host's port.
    pub slot: u32,
    #[serde(with = "mac_text")]
    pub mac: Mac,
    /// Address with the subnet's prefix length.
    pub v4: Option<IpNetwork>,
    pub v6: Option<IpNetwork>,
    /// `veth` and 7 characters.
    pub host_device: String,
    /// `eth0`, `eth1`, ….
    pub interface: String,
    pub mtu: u32,
    /// Whether the container's default route of that family goes through this endpoint.
    pub default_route_v4: bool,
    pub default_route_v6: bool,
    /// Of the host device, known once it exists.
    pub index: Option<u32>,
    #[serde(default)]
    pub publications: Vec<Publication>,
    /// As they were when it was made.
    #[serde(default, skip_serializing_if = "Leashes::is_none")]
    pub leashes: Leashes,
    /// Its own and its network's.
    #[serde(default)]
    pub openings: openings::Openings,
}

impl Endpoint {
    pub const fn is_leashed(&self) -> bool {
        !self.leashes.is_none()
    }

    /// Its addresses with prefix length, v4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpNetwork> + use<> {
        self.v4.into_iter().chain(self.v6)
    }
}

/// What a user asked of one network attachment; kept by the container, running or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub ip: Option<IpAddr>,
    pub ip6: Option<IpAddr>,
    #[serde(with = "optional_mac_text")]
    pub mac: Option<Mac>,
    pub aliases: Vec<String>,
    pub links: Vec<String>,
    pub link_local_ips: Vec<IpAddr>,
    pub driver_options: std::collections::BTreeMap<String, String>,
    /// Attached by `network connect` (inspect then shows `IPAMConfig: {}` and `DriverOpts: {}`, S44).
    pub connected: bool,
}

/// `02:42:…` in JSON.
pub mod mac_text {
    use netswitch_common::address::Mac;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(mac: &Mac, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(mac)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(input)?;
        super::parse_mac(&text).ok_or_else(|| D::Error::custom(format!("invalid MAC address {text:?}")))
    }
}

/// The same for an `Option`.
pub mod optional_mac_text {
    use netswitch_common::address::Mac;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(mac: &Option<Mac>, out: S) -> Result<S::Ok, S::Error> {
        mac.map(|mac| mac.to_string()).serialize(out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Mac>, D::Error> {
        Option::<String>::deserialize(input)?
            .map(|text| {
                super::parse_mac(&text).ok_or_else(|| D::Error::custom(format!("invalid MAC address {text:?}")))
            })
            .transpose()
    }
}

/// Reads `aa:bb:cc:dd:ee:ff`.
pub fn parse_mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}
